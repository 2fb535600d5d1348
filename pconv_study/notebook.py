"""What a chapter calls: its networks, its rows, tables and figures, and the checks at its end."""

import os
import tempfile
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from pconv_core import evaluation
from pconv_core.data import evaluation_set
from pconv_core.masks import BINS
from pconv_core.models import InpaintingNet
from pconv_core.writing import whole
from pconv_study import figures, measures, statistics
from pconv_study.experiment import Run
from pconv_study.settings import Cell, Experiment, digest
from pconv_study.statistics import NOT_TRAINED

ROOT = Path(__file__).resolve().parents[1]
# Two environment variables of the pipeline: where all results lie, and where a chapter's outputs
# wait until its last cell has run.
RESULTS_VARIABLE, OUTPUT_VARIABLE = "PCONV_RESULTS", "PCONV_OUTPUT"
SMALL = "partial small"
_SHARE = Fraction(7, 8)  # of the size: P-Conv's 224 of 256
FIRST_STEPS = 20
# Of the first steps' losses: see `Study.agrees_losses`.  With another instruction set or number of
# threads those of the first step were seen to differ by 8e-6, the totals of the next two by 4e-4,
# and the means of all but the first by 3 %, the last two in the traditional network.
AT_ONCE, SOON, GROWN = 1e-3, 1e-2, 0.1
_LAST_DECIMAL = 2e-4
_UNTRAINED = 2e-3  # of numbers of what learns nothing, the same on any machine
TERMS = ["total", "valid", "hole", "perceptual", "style_out", "style_comp", "tv"]


class Disagreement(AssertionError):
    """This run differs from the committed one by more than rounding can explain."""


class Study:
    """A chapter's two parameters, and what it does with them.

    Parameters
    ----------
    profile : str
        A file in experiments/base.
    overrides : mapping, optional
        Other values of the profile's settings, by dotted names such as "stages.stage1.samples";
        "random_seed"; "name", of the folder in results/; "roots.NAME", where the photographs are
        that the profile calls by this name; "compare": False, for a run that becomes the reference.
    root : Path
        Folder of the project.

    Raises
    ------
    ValueError
        If a name is unknown, with the nearest one that is known.

    Notes
    -----
    Weights lie in results/states by the hash of all that decides them: a touched file trains
    nothing again, and changed settings only what they decide.
    """

    def __init__(self, profile: str, overrides: Mapping | None = None, root: Path = ROOT):
        changes = dict(overrides or {})
        name, compare = changes.pop("name", None), changes.pop("compare", True)
        roots = {k: str(changes.pop(k)) for k in list(changes) if k.startswith("roots.")}
        self.random_seed = changes.pop("random_seed", None)
        self.experiment = Experiment("study", root / "experiments", changes, base=profile)
        changes |= {} if self.random_seed is None else {"random_seed": self.random_seed}
        self.random_seed = self.random_seed or self.experiment.raw["seeds"][0]
        self.settings = self.experiment.expanded({})  # raises where a name is unknown
        small = round(self.settings["size"] * _SHARE)
        self.experiment.raw["variants"][SMALL] = {"size": small}
        self.profile, self.changes, self._compare = profile, changes, compare
        self.name = name or (f"{profile}-{digest(changes)[:6]}" if changes else profile)
        results = Path(os.environ.get(RESULTS_VARIABLE, root / "results"))
        self.output = Path(os.environ.get(OUTPUT_VARIABLE, results / self.name))
        self._reference = root / "results" / "reference"
        roots = {key.removeprefix("roots."): str(Path(v).expanduser()) for key, v in roots.items()}
        self.run = Run(self.experiment, roots, results)

    def __repr__(self) -> str:
        """Say what this run is."""
        s = self.settings
        steps = " + ".join(str(t["samples"] // s["batch_size"]) for t in s["stages"].values())
        return f"{self.name}: {s['size']} pixels, {steps} steps of {s['batch_size']} samples"

    @property
    def size(self) -> int:
        """Side of the crops in pixels; of the smaller network see `cell`."""
        return self.settings["size"]

    @property
    def variants(self) -> list[str]:
        """Names of the networks of experiments/study.yaml."""
        return list(self.experiment.raw["variants"])

    def schedule(self) -> pd.DataFrame:
        """Settings of the stages, a row each, with their steps."""
        table = pd.DataFrame(self.settings["stages"]).T.rename_axis("stage")
        table.insert(0, "steps", table["samples"] // self.settings["batch_size"])
        return table.drop(columns=["samples", "cosine", "photos"])

    # --- networks --------------------------------------------------------------------------

    def cell(self, variant: str) -> Cell:
        """A variant of experiments/study.yaml with this run's random seed."""
        return self.experiment._cell(variant, self.random_seed)

    def train(self, variant: str, stage: str) -> tuple[InpaintingNet, pd.DataFrame]:
        """Train a network to the end of a stage, or read what was trained before.

        Returns
        -------
        InpaintingNet, DataFrame
            The network as it is measured, and its loss record over all stages up to this one.
        """
        cell = self.cell(variant)
        samples = cell.ends()[_place(stage, self.settings["stages"])]
        net, record, _ = self.run.network(cell, samples)
        net.samples_seen = samples
        of_stage = record[record["stage"] == stage]
        self._write("logs", f"{_slug(variant)}-{stage}.csv", of_stage, "%.6f")
        return net, record

    def first_steps(self, variant: str) -> pd.DataFrame:
        """Train the first twenty steps now, whatever was trained before.

        Returns
        -------
        DataFrame
            The loss record, a row a step.
        """
        cell = self.cell(variant)
        settings = {**deepcopy(dict(cell.settings)), "record_every": 1, "average": 0.0}
        with tempfile.TemporaryDirectory() as folder:
            apart = Run(self.experiment, self.run.roots, Path(folder))
            count = FIRST_STEPS * settings["batch_size"]
            record = apart.network(replace(cell, settings=settings), count)[1]
        self._write("logs", f"{_slug(variant)}-first.csv", record, "%.6f")
        return record

    # --- measuring -------------------------------------------------------------------------

    def measure(
        self,
        methods: Mapping[str, InpaintingNet | evaluation.Fill],
        wanted: Mapping[str, int] | None = None,
        photos: str = "test",
    ) -> pd.DataFrame:
        """Measure networks, and functions that fill, on photographs of the profile.

        Parameters
        ----------
        methods : mapping of name -> network or callable
            See `evaluation.Fill`.
        wanted : mapping, optional
            See `measures.measure`; without it, what the profile says.
        photos : str
            Name of the set of photographs.

        Returns
        -------
        DataFrame
            Rows as those of an experiment: variant, random_seed (-1 of what was not trained here),
            samples, photos, and what `measures.measure` returns.
        """
        wanted = self.settings["measures"][photos] if wanted is None else wanted
        tables = []
        for name, given in methods.items():
            net = given if isinstance(given, nn.Module) else None
            fill = given if net is None else evaluation.network_fill(net)
            samples = getattr(net, "samples_seen", 0)
            seed = self.random_seed if samples else NOT_TRAINED
            where = (self.run.photos(photos), self.size, tuple(self.settings["span"]))
            table = measures.measure(net, fill, *where, wanted)
            labels = {"variant": name, "random_seed": seed, "samples": samples, "photos": photos}
            tables.append(table.assign(**labels)[[*labels, *table.columns]])
        return pd.concat(tables, ignore_index=True)

    def overall(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Mean PSNR, SSIM and Lite0 distance up to a hole ratio of 0.5, by variant and samples."""
        table = statistics.means(rows, ["psnr", "ssim", "lite0"])
        table = table[table["part"] == statistics.UP_TO_HALF]
        wide = table.pivot(index=["variant", "samples"], columns="measure", values="mean")
        return wide[["psnr", "ssim", "lite0"]].rename_axis(columns=None).reset_index()

    def examples(self, count: int = 5, size: int | None = None) -> tuple[Tensor, Tensor]:
        """`count` test crops to look at, one of each of the first bins: images and masks."""
        span = tuple(self.settings["span"])
        crops = evaluation_set(self.run.photos("test"), size or self.size, 1, measures.SEED, span)
        pairs = [(images[0], masks[0]) for _, border, images, masks in crops if border][:count]
        images, masks = zip(*pairs, strict=True)
        return torch.stack(images), torch.stack(masks)

    def examples_figure(
        self, networks: Mapping[str, InpaintingNet], count: int = 5, size: int | None = None
    ) -> Figure:
        """Draw test crops: input, I_out and I_comp of each network, ground truth."""
        images, masks = self.examples(count, size)
        outs = {k: evaluation.network_fill(net)(images, masks) for k, net in networks.items()}
        titles = [f"hole ratio {lo}-{hi}" for lo, hi in BINS[:count]]
        return figures.fillings(images, masks, outs, titles)

    # --- what is left ----------------------------------------------------------------------

    def save_table(self, table: pd.DataFrame, name: str) -> pd.DataFrame:
        """Write tables/NAME.csv, four decimals, and return the table."""
        self._write("tables", f"{name}.csv", table, "%.4f")
        return table

    def save_figure(self, figure: Figure, name: str) -> Figure:
        """Write figures/NAME.png, and return the figure, to be shown."""
        path = self.output / "figures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        return figures.save(figure, path)

    def committed(self, experiment: str, files: str = "rows/*.csv") -> pd.DataFrame:
        """Read what is committed of an experiment: one table, or all that a pattern names.

        Raises
        ------
        ValueError
            If there is none.
        """
        folder = self._reference / experiment
        paths = sorted(folder.glob(files))
        if not paths:
            raise ValueError(f"{folder} holds no {files}")
        return pd.concat([pd.read_csv(path) for path in paths], ignore_index=True)

    # --- checks ----------------------------------------------------------------------------

    def agrees(self, name: str, **tolerances: float | str) -> None:
        """Compare a table that this run wrote with the committed one of the same profile.

        Parameters
        ----------
        name : str
            Of the table.
        **tolerances : float or str
            Column = largest difference, absolute or, as "5%", of the committed value.  Other
            numbers agree to their last decimal, those at 0 samples nearly so, all else is equal.

        Raises
        ------
        Disagreement
            Naming the largest difference.
        """
        old = self._to_compare("tables", name)
        if old is not None:
            new = pd.read_csv(self.output / "tables" / f"{name}.csv")
            _compare(name, new, old, tolerances)

    def agrees_losses(self, record: pd.DataFrame, variant: str) -> None:
        """Compare losses of the first twenty steps, total and each term, with the committed ones.

        Parameters
        ----------
        record : DataFrame
            Of `first_steps`.

        Raises
        ------
        Disagreement
            If a loss of the first step differs by more than 0.1 %, which is rounding, the total of
            the second or third by more than 1 %, or the mean of all but the first by more than a
            tenth, which is what rounding grows to.
        """
        old = self._to_compare("logs", f"{_slug(variant)}-first")
        if old is None:
            return
        if len(record) != len(old):
            raise Disagreement(f"{variant}: {len(record)} first steps instead of {len(old)}")
        for term in TERMS:
            new, was = (t[term].to_numpy() for t in (record, old))
            for step, share in enumerate((AT_ONCE, SOON, SOON)[: 3 if term == "total" else 1]):
                _close(f"{variant}: {term} of step {step + 1}", new[step], was[step], share)
            _close(f"{variant}: {term} after step 1", new[1:].mean(), was[1:].mean(), GROWN)

    def _to_compare(self, kind: str, name: str) -> pd.DataFrame | None:
        """The committed table, or None where there is nothing that this run should equal."""
        if not self._compare:
            return None
        path = self._reference / self.profile / kind / f"{name}.csv"
        if self.changes or not path.parents[1].is_dir():
            print(f"{self.name} is a run of its own: nothing is committed to compare {name} with")
            return None
        if not path.is_file():
            raise Disagreement(f"{path} is not there, so that {name} cannot be compared")
        return pd.read_csv(path)

    def _write(self, kind: str, name: str, table: pd.DataFrame, digits: str) -> None:
        with whole(self.output / kind / name) as unfinished:
            table.to_csv(unfinished, index=False, float_format=digits)


def _compare(name: str, new: pd.DataFrame, old: pd.DataFrame, tolerances: Mapping) -> None:
    if list(new.columns) != list(old.columns) or len(new) != len(old):
        found = f"{len(new)} rows of {', '.join(new)}"
        raise Disagreement(f"{name}: {found}; committed are {len(old)} of {', '.join(old)}")
    if unknown := set(tolerances) - set(new.columns):
        raise ValueError(f"{name} has no column {sorted(unknown)[0]}; it has {', '.join(new)}")
    untrained = new.get("samples", pd.Series(1, new.index)) == 0
    worst, said = 1.0, ""
    for column in new.columns:
        parts = (new[column] != old[column]) * float("inf")
        if column in tolerances or pd.api.types.is_float_dtype(new[column]):
            allowed = tolerances.get(column, _LAST_DECIMAL)
            if isinstance(allowed, str):
                allowed = float(allowed.rstrip("%")) / 100 * old[column].abs()
            both = new[column].isna() & old[column].isna()
            gaps = (new[column] - old[column]).abs().mask(both, 0)
            parts = (gaps / allowed).mask(untrained, gaps / _UNTRAINED).fillna(float("inf"))
        row = parts.fillna(0).idxmax()
        if parts[row] > worst:
            worst, found = parts[row], f"{column} of row {row} is {new[column][row]}"
            said = f"{name}: {found}, committed is {old[column][row]}"
    if said:
        raise Disagreement(said)


def _close(what: str, new: float, old: float, share: float) -> None:
    if not abs(new - old) <= share * abs(old) + 2e-6:  # the record has six decimals
        raise Disagreement(f"{what} is {new:.6f}, committed is {old:.6f}")


def _place(name: str, stages: Mapping) -> int:
    if name not in stages:
        raise ValueError(f"no stage is named {name!r}; there are: {', '.join(stages)}")
    return list(stages).index(name)


def _slug(variant: str) -> str:
    return variant.replace(" ", "-")
