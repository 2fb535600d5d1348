"""From the rows of an experiment to its tables: python -m pconv_study.tables [NAME ...].

They are made of results/NAME, if the experiment ran here, or else of what is committed of it, and
lie in results/NAME/tables.  Those of committed rows must be the committed ones, byte for byte.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from importlib.resources import files
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from pconv_core.writing import whole
from pconv_study import settings, statistics
from pconv_study.experiment import RESULTS, facts, manifest
from pconv_study.settings import Cell, Experiment
from pconv_study.statistics import NOT_TRAINED, UP_TO_HALF

MEASURES = ["psnr", "ssim", "lite0", "psnr_edge", "psnr_inside", "psnr_out", "excess", "peak"]
IN_BINS = ["psnr", "ssim", "lite0"]  # the others are told up to a hole ratio of 0.5 alone
CURVED = ["psnr", "lite0"]
MARGIN = 0.2  # dB; the protocol's
_SETS = ["photos", "masks"]


def folder_of(name: str, results: Path = RESULTS) -> Path:
    """Folder of an experiment's rows: results/NAME if it ran here, or else what is committed."""
    own, committed = results / name, results / "reference" / name
    for folder in (own, committed):
        if (folder / "manifest.csv").is_file():
            return folder
    raise ValueError(f"there are no rows of {name!r}; they should be in {own} or {committed}")


def read(experiment: Experiment, results: Path = RESULTS) -> pd.DataFrame:
    """Rows of an experiment, held to checksums and settings, and of the one that it `continues`.

    What the settings ask for and is not there, and what is there and not asked for, is told on
    stderr.

    Raises
    ------
    ValueError
        If rows are missing, are not those that were noted, or were made with other settings.
    """
    folder = folder_of(experiment.name, results)
    lines = asked_for(experiment, folder)
    paths = sorted((folder / "rows").glob("*.csv"))
    found = {hashlib.sha256(path.read_bytes()).hexdigest()[:16]: path for path in paths}
    for digest in set(found).difference(manifest(folder)["rows_sha256"]):
        raise ValueError(f"{found[digest]}: no line of manifest.csv has its checksum, {digest}")
    for line in lines[~lines["rows_sha256"].isin(found)].itertuples():
        raise ValueError(f"{folder}/rows lacks {line.variant}, {line.random_seed}, {line.samples}")
    # What diverged left no row; its line of the manifest has a note.
    tables = [pd.read_csv(found[digest]) for digest in lines["rows_sha256"]]
    rows = pd.concat([table for table in tables if len(table)], ignore_index=True)
    if before := experiment.raw.get("continues"):
        first = Experiment(before, experiment.folder)
        _need_one_beginning(experiment, first, results)
        earlier = read(first, results)
        same = [earlier[k].isin([NOT_TRAINED, *rows[k]]) for k in ("random_seed", "variant")]
        methods = earlier["random_seed"] == NOT_TRAINED
        rows = pd.concat([earlier[methods | (same[0] & same[1])], rows], ignore_index=True)
    several = rows.groupby(_SETS)["size"].transform("nunique") > 1
    rows["masks"] += np.where(several, "@" + rows["size"].astype(str), "")
    return rows.fillna({"ratio": 0})  # a spectrum has none


def asked_for(experiment: Experiment, folder: Path) -> pd.DataFrame:
    """Lines of the manifest in a folder that are read-outs of the experiment as it stands.

    Raises
    ------
    ValueError
        If a read-out was made with other settings, photographs or definitions.
    """
    lines, digests = manifest(folder), _photographs(folder)
    cells, kept = {_key(cell): cell for cell in experiment.cells}, []
    for line in lines.itertuples():
        cell = cells.get((line.variant, line.random_seed))
        kept.append(cell is not None and line.samples in cell.readouts)
        if kept[-1]:
            wanted = cell.row_hash(line.samples, line.photos, facts(cell, digests))
            if wanted != line.hash:
                raise ValueError(
                    f"{folder}: {cell.name} at {line.samples} on {line.photos} was made with other "
                    f"settings, {line.hash} instead of {wanted}; run the experiment again"
                )
    chosen = lines[kept]
    for photos, part in chosen.groupby("photos"):
        there = set(zip(part["variant"], part["random_seed"], part["samples"], strict=True))
        wanted = [(*key, n) for key, cell in cells.items() for n in cell.readouts]
        if missing := [key for key in wanted if key not in there]:
            told = f"{len(missing)} of {len(wanted)} read-outs lack, the first {missing[0]}"
            print(f"{experiment.name} on {photos}: {told}", file=sys.stderr)
    for line in chosen[chosen["note"].notna()].itertuples():
        print(f"{line.variant}, {line.random_seed}, {line.samples}: {line.note}", file=sys.stderr)
    if len(chosen) < len(lines):
        told = f"{len(lines) - len(chosen)} read-outs are of no cell of it, and left out"
        print(f"{experiment.name}: {told}", file=sys.stderr)
    return chosen


def _need_one_beginning(experiment: Experiment, first: Experiment, results: Path) -> None:
    """Refuse to continue cells that were not trained as those of this experiment begin."""
    now, then = (
        _trajectories(e, _photographs(folder_of(e.name, results))) for e in (experiment, first)
    )
    for key in now.keys() & then.keys():
        if now[key] != then[key]:
            raise ValueError(f"{experiment.name} does not continue {first.name}: {key} is another")


def _trajectories(experiment: Experiment, digests: dict[str, str]) -> dict[tuple[str, int], str]:
    trained = [cell for cell in experiment.cells if cell.seed is not None]
    return {_key(cell): cell.trajectory(0, facts(cell, digests)) for cell in trained}


def _photographs(folder: Path) -> dict[str, str]:
    """Digests of the sets of photographs that an experiment used."""
    table = pd.read_csv(folder / "photographs.csv", dtype={"digest": str})
    return dict(zip(table["photos"], table["digest"], strict=True))


def _key(cell: Cell) -> tuple[str, int]:
    return cell.variant, NOT_TRAINED if cell.seed is None else cell.seed


def pairs(experiment: Experiment, variants: Sequence[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Families of comparisons, and in them pairs: a variant less another.

    The experiment's `pairs` are [variants, others] as shell patterns, or with the name of a family
    third; a pair belongs to the first that it fits.  Without any, the baseline less all others.
    """
    patterns = experiment.raw.get("pairs", [[experiment.raw["baseline"], "*"]])
    for pair in permutations(variants, 2):
        for family in patterns:
            if all(map(fnmatchcase, pair, family)):
                yield family[2] if len(family) > 2 else " less ".join(family), pair
                break


def _parts(rows: pd.DataFrame, experiment: Experiment) -> Iterator[tuple[dict, pd.DataFrame]]:
    """Rows of a set of photographs and masks at a number of samples that have a measure.

    Methods are beside every number of samples; without `samples` each variant is at its last.
    """
    last = rows.groupby("variant")["samples"].transform("max")
    rungs = [last] if "samples" not in experiment.raw else np.unique(rows["samples"])
    for rung in rungs if len(rungs) == 1 else rungs[rungs > 0]:
        at = rows[(rows["samples"] == rung) | (rows["random_seed"] == NOT_TRAINED)]
        for _, group in at.groupby(_SETS):
            for measure in [m for m in MEASURES if m in group]:
                part = group.dropna(subset=measure)
                if measure not in IN_BINS or part["hole_ratio"].nunique() == 1:
                    part = part.assign(hole_ratio=np.nan)  # up to 0.5 alone
                if len(part):
                    yield {"samples": part["samples"].max(), "measure": measure}, part


def means(rows: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    """Mean of every variant and method, with `low` to `high` over random seeds by Student's t."""
    parts = _parts(rows, experiment)
    found = pd.concat(statistics.means(part, [labels["measure"]]) for labels, part in parts)
    table = found.drop_duplicates(ignore_index=True)  # methods are at every number of samples
    count = table["random_seeds"].where(table["random_seeds"] > 1)
    half = stats.t.isf(0.025, count - 1) * table["sd"] / np.sqrt(count)
    return table.assign(low=table["mean"] - half, high=table["mean"] + half)


def differences(rows: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    """All `pairs` at every number of samples, with Holm's p of each family.

    `equivalent` says of PSNR whether a difference is shown to lie within -+ `MARGIN`.
    """
    order, tables = [*experiment.raw["variants"], *experiment.methods], []
    for labels, part in _parts(rows, experiment):
        there = set(part["variant"])
        family = {pair: name for name, pair in pairs(experiment, [v for v in order if v in there])}
        if family:
            found = statistics.differences(part, list(family), labels["measure"])
            made = zip(found["variant"], found["other"], strict=True)
            tables.append(found.assign(family=[family[p] for p in made], samples=labels["samples"]))
    if not tables:  # of an experiment that has but one network yet
        return pd.DataFrame()
    table = pd.concat(tables, ignore_index=True)
    table["equivalent"] = statistics.equivalent(table, MARGIN).where(table["measure"] == "psnr")
    table = statistics.with_holm(table, [*_SETS, "samples", "family", "measure"])
    if "samples" not in experiment.raw:  # read at their ends, which differ
        last = rows.groupby("variant")["samples"].max()
        table["samples"] = np.maximum(*(table[name].map(last) for name in ("variant", "other")))
    return table


def interactions(rows: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    """(both - a) - (b - none), what b changes beside a less alone, of all `interactions`."""
    names, table = ("a", "b", "both", "none"), []
    for labels, part in _parts(rows[rows["ratio"] <= 0.5], experiment):
        for four in experiment.raw["interactions"]:
            if set(four) <= set(part["variant"]):
                which = dict(zip(names, four, strict=True)) | part[_SETS].iloc[0].to_dict()
                weights = dict(zip(four, (-1, -1, 1, 1), strict=True))
                found = statistics.contrast(part, weights, labels["measure"])
                table.append({**which, **labels, **found})
    if not table:  # of an experiment that is not done yet
        return pd.DataFrame()
    return statistics.with_holm(pd.DataFrame(table), [*_SETS, "samples", "measure"])


def learning(rows: pd.DataFrame, of_all: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Learning curves up to a hole ratio of 0.5, their slopes, and where they cross methods."""
    curve = of_all[(of_all["part"] == UP_TO_HALF) & of_all["measure"].isin(CURVED)]
    trained = rows[(rows["ratio"] <= 0.5) & (rows["random_seed"] != NOT_TRAINED)]
    slopes, crossings = [], []
    for keys, lines in curve.groupby([*_SETS, "measure"]):
        labels = dict(zip([*_SETS, "measure"], keys, strict=True))
        of_set = trained[(trained["photos"] == keys[0]) & (trained["masks"] == keys[1])]
        slopes.append(statistics.slopes(of_set, keys[2]).assign(**labels))
        levels = lines[lines["random_seeds"] == 0].set_index("variant")["mean"]
        for variant, line in lines[lines["random_seeds"] > 0].groupby("variant"):
            line = line.set_index("samples")["mean"]
            for method, level in levels.items() if len(line) > 1 else ():
                at = statistics.crossing(line, level, keys[2] == "psnr")
                crossings.append({**labels, "variant": variant, "method": method, "samples": at})
    crossed = pd.DataFrame(crossings).astype({"samples": "Int64"}) if crossings else curve[:0]
    return {"curve": curve, "slopes": pd.concat(slopes), "crossings": crossed}


def make(name: str, results: Path = RESULTS, experiments: Path = settings.FOLDER) -> bool:
    """Write all tables of an experiment; whether they are those committed for the same rows."""
    experiment = Experiment(name, experiments)
    rows = read(experiment, results)
    made = {"means": means(rows, experiment), "differences": differences(rows, experiment)}
    if "interactions" in experiment.raw:
        made["interactions"] = interactions(rows, experiment)
    if "samples" in experiment.raw and rows["samples"].where(rows["samples"] > 0).nunique() > 1:
        made |= learning(rows, made["means"])
    committed = folder_of(name, results) == results / "reference" / name
    same = True
    for title, table in made.items():
        if table.empty:
            continue
        path = results / name / "tables" / f"{title}.csv"
        tests = table.filter(regex="^p(_holm)?$").map(lambda p: float(f"{p:.3g}"))
        with whole(path) as unfinished:
            table.round(6).assign(**tests).to_csv(unfinished, index=False)
        old = results / "reference" / name / "tables" / path.name
        if committed and not (old.is_file() and old.read_bytes() == path.read_bytes()):
            print(f"{path} is not {old}", file=sys.stderr)
            same = False
    return same


def published(name: str = "published") -> pd.DataFrame:
    """Figures of others that come with the package.

    By default those of the paper, P-Conv and other re-implementations: source, model, data,
    hole_ratio, psnr_db, ssim, l1_percent, note; absent figures are NaN.
    """
    with (files("pconv_study") / f"{name}.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype={"mask": str})


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns 1 if the committed tables are others."""
    parser = argparse.ArgumentParser(prog="python -m pconv_study.tables")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all that have rows")
    given = parser.parse_args(arguments)
    paths = [p for at in ("*", "reference/*") for p in RESULTS.glob(f"{at}/manifest.csv")]
    known = sorted({path.parent.name for path in paths} & {*settings.names()})
    try:
        agreed = [make(name) for name in given.names or known]
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0 if all(agreed) else 1


if __name__ == "__main__":
    sys.exit(main())
