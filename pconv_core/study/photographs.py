"""Tables and figures of the trainings on photographs, from the files that `trained` left.

python -m pconv_core.study.photographs [--results DIR] [--set SETTING=VALUE]

Minutes, without weights or photographs, and on one machine the same bytes every time.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import pandas as pd

from pconv_core import evaluation
from pconv_core.files.figure import save
from pconv_core.files.writing import whole
from pconv_core.study import disc, figures, paired, trained, trainings
from pconv_core.study.profile import Profile, load_profile, overrides_of
from pconv_core.study.run import STAGES, Study, label
from pconv_core.study.tables import SHIPPED, published

NAME = "trainings"
MEASURES = ("psnr", "ssim", "l1", "lite0", "psnr_hole", "ssim_hole", "l1_hole")
_CASE = [*paired.CASE, evaluation.SOURCE]


class Measured:
    """What was measured of a run's networks, read from its folder.

    Parameters
    ----------
    folder : Path
        Of the run: a folder a random seed, and the files of `trained.measure_methods`.
    profile : Profile

    Raises
    ------
    ValueError
        If no network has been measured to its end.
    """

    def __init__(self, folder: Path, profile: Profile):
        self.folder, self.profile = folder, profile
        files = sorted(folder.glob(f"*/{trained.MANIFEST}/*.csv"))
        if not files:
            raise ValueError(
                f"{folder} holds no measured network; make trainings trains and measures them"
            )
        self.manifest = pd.concat(map(pd.read_csv, files), ignore_index=True)
        entrants = list(Study(profile).entrants.values())
        found = self.manifest.groupby(["model", "size"])["random_seed"].unique()
        # The seeds of each network, in the order in which networks are always shown.
        self.seeds = {e: sorted(found[e].tolist()) for e in entrants if e in found}
        if entrants[0] not in self.seeds:
            raise ValueError(
                f"{folder} lacks the {label(*entrants[0])}, from which the others are taken; "
                "make trainings measures it when its training ends"
            )

    @cached_property
    def origins(self) -> pd.Series:
        """Which photograph each test crop comes from."""
        return pd.read_csv(self.folder / trained.PICTURES / f"{trained.ORIGINS}.csv")["photograph"]

    def pictures(self, network: tuple[str, int], stage: str, size: int) -> pd.DataFrame:
        """Read a network's test crops: a row a picture and random seed, as `paired.named`."""
        tables = []
        for seed in self.seeds[network]:
            file = f"{network[0]}{network[1]}_{stage}.csv"
            table = pd.read_csv(self.folder / str(seed) / trained.PICTURES / file)
            table = table[table.pop("evaluated_at") == size].reset_index(drop=True)
            table["photograph"] = self.origins
            tables.append(paired.named(table, seed, label(*network)))
        return pd.concat(tables, ignore_index=True)

    def methods(self) -> pd.DataFrame:
        """Read the test crops of what needs no training: a row a picture and method."""
        table = pd.read_csv(self.folder / trained.PICTURES / f"{trainings.METHODS}.csv")
        table = table.drop(columns="evaluated_at")
        table.insert(1, "picture", table.groupby("model").cumcount())
        table["photograph"] = table["picture"].map(self.origins)
        return table

    def numbers(self) -> pd.DataFrame:
        """Read `disc.MEASURES` and towards_input of everything, means over random seeds."""
        rows = []
        for network, seeds in self.seeds.items():
            file = f"{network[0]}{network[1]}.csv"
            paths = [self.folder / str(seed) / trained.CASES / file for seed in seeds]
            means = pd.concat(map(pd.read_csv, paths)).mean()
            rows.append({"model": label(*network), "random_seeds": len(seeds), **means})
        fixed = pd.read_csv(self.folder / trained.CASES / f"{trainings.METHODS}.csv")
        return pd.concat([pd.DataFrame(rows), fixed], ignore_index=True)

    def finals(self) -> pd.DataFrame:
        """All test crops after the last stage; methods have every random seed, all the same."""
        last, size = STAGES[-1], self.profile.size
        networks = [self.pictures(network, last, size) for network in self.seeds]
        seeds = sorted({seed for found in self.seeds.values() for seed in found})
        methods = [self.methods().assign(random_seed=seed) for seed in seeds]
        return pd.concat([*networks, *methods], ignore_index=True)


def by_bin(finals: pd.DataFrame) -> pd.DataFrame:
    """Mean of every measure by method, bin and border, over random seeds and pictures."""
    return _means(finals, ["model", "hole_ratio", "border"])


def overall(finals: pd.DataFrame, measured: Measured) -> pd.DataFrame:
    """Mean of every measure up to 0.5, the spread of PSNR over the random seeds, and the training.

    Returns
    -------
    DataFrame
        model, random_seeds, pictures and the photographs that they come from, the measures,
        spread_psnr (standard deviation over the random seeds' means, in dB); of networks features,
        samples (of each training), hardware and minutes, all random seeds added up.
    """
    half = finals[finals["ratio"] <= 0.5]
    table = _means(half, ["model"])
    by_seed = half.groupby(["model", "random_seed"], sort=False)["psnr"].mean()
    networks = {label(*network) for network in measured.seeds}
    spread = by_seed.groupby("model").std()
    table["spread_psnr"] = table["model"].map(spread.where(spread.index.isin(networks)))
    done = measured.manifest.assign(
        model=[label(*row) for row in measured.manifest[["model", "size"]].to_numpy().tolist()]
    ).groupby("model")
    table["features"] = table["model"].map(done["features"].first())
    samples = done["samples"].sum() / done["random_seed"].nunique()
    table["samples"] = table["model"].map(samples).astype("Int64")
    listed = done["hardware"].agg(lambda names: " and ".join(dict.fromkeys(names)))
    table["hardware"] = table["model"].map(listed)
    table["minutes"] = table["model"].map(done["minutes"].sum())
    # Random seeds say nothing of what is not trained.
    table["random_seeds"] = (
        table["random_seeds"].where(table["model"].isin(networks)).astype("Int64")
    )
    return table


def differences(finals: pd.DataFrame, of: str, others: Sequence[str]) -> pd.DataFrame:
    """One method less each other, up to 0.5 and by bin, in every measure.

    Returns
    -------
    DataFrame
        difference ("A - B"), hole_ratio, measure, mean, low, high, random_seeds, pictures.  The
        interval, 95 %, holds the spread over random seeds and that over photographs: see
        `paired.effect`.  With one random seed it is empty.
    """
    columns = ["random_seed", "model", "picture", *_CASE, *MEASURES]
    parts = [
        _effect(finals.loc[chosen, columns], other, of).assign(hole_ratio=name)
        for other in others
        for name, chosen in _parts(finals)
    ]
    return _ordered(pd.concat(parts, ignore_index=True))


def of_shipped(measured: Measured) -> pd.DataFrame:
    """The shipped weights less each method that learns nothing; one training, so over photographs.

    Returns
    -------
    DataFrame
        As `evaluation.differences` for each of `MEASURES`, its name in a column of its own.
    """
    table, parts = measured.methods(), []
    for measure in MEASURES:
        found = evaluation.differences(table, SHIPPED, measured.profile.seed, measure)
        parts.append(found.rename(columns={measure: "mean"}).assign(measure=measure))
    columns = ["difference", "hole_ratio", "measure", "mean", "low", "high", "pictures"]
    return pd.concat(parts, ignore_index=True)[columns]


def stages(measured: Measured) -> pd.DataFrame:
    """What stage 2 and fine-tuning change, for every network, as `differences`."""
    parts = []
    for network in measured.seeds:
        if network[1] != measured.profile.size:
            continue
        for before, after in pairwise(STAGES):
            both = pd.concat(
                measured.pictures(network, stage, network[1]).assign(model=stage)
                for stage in (before, after)
            )
            both = both.loc[
                both["ratio"] <= 0.5, ["random_seed", "model", "picture", *_CASE, *MEASURES]
            ]
            table = _effect(both, before, after).assign(hole_ratio=evaluation.UP_TO_HALF)
            table.insert(0, "model", label(*network))
            parts.append(table)
    return _ordered(pd.concat(parts, ignore_index=True))


def after_stages(measured: Measured) -> pd.DataFrame:
    """The partial U-Net less the networks of the same size after each stage, as `differences`.

    Returns
    -------
    DataFrame
        stage, then the columns of `differences`; up to 0.5.
    """
    ours, *others = (network for network in measured.seeds if network[1] == measured.profile.size)
    columns, parts = ["random_seed", "model", "picture", *_CASE, *MEASURES], []
    for stage in STAGES:
        for other in others:
            both = pd.concat(measured.pictures(n, stage, n[1]) for n in (ours, other))
            both = both.loc[both["ratio"] <= 0.5, columns]
            table = _effect(both, label(*other), label(*ours))
            parts.append(table.assign(hole_ratio=evaluation.UP_TO_HALF, stage=stage))
    return _ordered(pd.concat(parts, ignore_index=True))


def by_size(measured: Measured) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The partial U-Nets of both training sizes at both sizes: means, and differences."""
    p = measured.profile
    large, small = ("pconv", p.size), ("pconv", p.small_size)
    means, gaps = [], []
    for size in sorted((p.size, p.small_size)):
        both = pd.concat(measured.pictures(n, STAGES[-1], size) for n in (large, small))
        half = both[both["ratio"] <= 0.5]
        means.append(_means(half, ["model"]).assign(evaluated_at=size))
        found = differences(both, label(*small), [label(*large)])
        gaps.append(found.assign(evaluated_at=size))
    return pd.concat(means, ignore_index=True), pd.concat(gaps, ignore_index=True)


def write(measured: Measured, out: Path) -> dict[str, pd.DataFrame]:
    """Write tables/NAME.csv and figures/NAME.png of a run below `out`, and return the tables."""
    finals = measured.finals()
    networks = [label(*network) for network in measured.seeds]
    ours, others = networks[0], [*networks[1:], *_fixed(finals)]
    table, gaps = by_bin(finals), differences(finals, ours, others)
    tables = {
        "manifest": measured.manifest,
        "psnr_by_bin": table,
        "psnr_overall": overall(finals, measured),
        "differences": gaps,
        "shipped_differences": of_shipped(measured),
        "stages": stages(measured),
        "after_stages": after_stages(measured),
        "disc": measured.numbers()[["model", "random_seeds", *disc.MEASURES]],
        "towards_input": measured.numbers().dropna()[["model", "random_seeds", "towards_input"]],
    }
    if ("pconv", measured.profile.small_size) in measured.seeds:
        tables["05_psnr_by_size"], tables["05_differences"] = by_size(measured)
    for name, content in tables.items():
        with whole(out / "tables" / f"{name}.csv") as unfinished:
            # With three decimals an end at -0.0003 would be read as 0, which is on no side.
            content.to_csv(unfinished, index=False, float_format="%.6f")
    for name, figure in _figures(measured, table, gaps, ours):
        with whole(out / "figures" / f"{name}.png") as unfinished:
            save(figure, unfinished)
    return tables


def _figures(measured: Measured, table: pd.DataFrame, gaps: pd.DataFrame, ours: str) -> Iterator:
    looks = {label(*which): look for look, which in Study(measured.profile).entrants.items()}
    looks = {name: look for name, look in looks.items() if name in set(table["model"])}
    looks |= {name: name for name in _fixed(table)}
    paper = published().query("source.str.startswith('paper')")
    yield "07_psnr_by_bin", figures.psnr_by_bin(table, looks, paper)
    others = {name: look for name, look in looks.items() if name not in (ours, "mean fill")}
    psnr, lite0 = (
        gaps[gaps["measure"] == name].rename(columns={"mean": name}) for name in ("psnr", "lite0")
    )
    yield "07_differences", figures.psnr_differences(psnr, ours, others, lite0)


def _fixed(finals: pd.DataFrame) -> list[str]:
    """Methods that were not trained for this run."""
    return [name for name in (*evaluation.BASELINES, SHIPPED) if name in set(finals["model"])]


def _means(pictures: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    groups = pictures.groupby(keys, sort=False)
    beside = {"random_seed", "model", "picture", *_CASE, *keys}
    table = groups[[c for c in pictures if c not in beside]].mean()
    table.insert(0, "random_seeds", groups["random_seed"].nunique())
    table.insert(1, "pictures", groups["picture"].nunique())
    table.insert(2, "photographs", groups["photograph"].nunique())
    return table.reset_index()


def _parts(pictures: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    yield evaluation.UP_TO_HALF, pictures["ratio"] <= 0.5
    for name in pictures["hole_ratio"].unique():
        yield name, pictures["hole_ratio"] == name


def _effect(pictures: pd.DataFrame, base: str, other: str) -> pd.DataFrame:
    """`paired.effect` on the random seeds that both have."""
    both = pictures[pictures["model"].isin([base, other])]
    seeds = set.intersection(*(set(part["random_seed"]) for _, part in both.groupby("model")))
    found = paired.effect(both[both["random_seed"].isin(seeds)], base, other)
    found = found.rename(columns={"metric": "measure", "difference": "mean"})
    return found.drop(columns=[base, other]).assign(difference=f"{other} - {base}")


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that say of what a row is before those that say what was found."""
    found = ["mean", "low", "high", "random_seeds", "pictures"]
    first = ("model", "stage", "difference", "hole_ratio", "measure")
    first = [c for c in first if c in table]
    return table[[*first, *found]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write tables and figures of results/NAME, or of the committed run where it is absent."""
    parser = argparse.ArgumentParser(prog="python -m pconv_core.study.photographs")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR")
    parser.add_argument("--profile", default="photographs")
    parser.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE")
    given = parser.parse_args(arguments)
    try:
        profile = load_profile(given.profile, {"name": NAME, **overrides_of(given.set)})
        out = given.results / profile.name
        own = any(out.glob(f"*/{trained.MANIFEST}/*.csv"))
        source = out if own else given.results / "reference" / profile.name
        tables = write(Measured(source, profile), out)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"read: {source}; written: {out}/tables, {out}/figures")
    shown = tables["psnr_overall"][
        ["model", "random_seeds", "psnr", "spread_psnr", "ssim", "lite0"]
    ]
    print(shown.round(3).to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
