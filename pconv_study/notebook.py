"""What a chapter calls: its networks, its rows, tables and figures, and the checks at its end."""

import os
import tempfile
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from pconv_core import evaluation
from pconv_core.data import evaluation_set
from pconv_core.masks import BINS
from pconv_core.models import InpaintingNet, composite
from pconv_core.writing import whole
from pconv_study import figures, measures, statistics
from pconv_study.experiment import Run, locked
from pconv_study.settings import Cell, Experiment, digest, pick
from pconv_study.statistics import NOT_TRAINED

ROOT = Path(__file__).resolve().parents[1]
# Two environment variables of the pipeline: where all results lie, and where a chapter's outputs
# wait until its last cell has run.
RESULTS_VARIABLE, OUTPUT_VARIABLE = "PCONV_RESULTS", "PCONV_OUTPUT"
SMALL = "partial small"
FIRST_STEPS = 20
# Of the first steps' losses: see `Study.agrees_losses`.  With another instruction set or number of
# threads those of the first step were seen to differ by 8e-6, the totals of the next two by 4e-4,
# and the means of all but the first by 3 %, the last two in the traditional network.
ALLOWED = {"step 1": "0.1%", "total 2": "1%", "total 3": "1%", "later": "10%"}
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
        name, self._compare = changes.pop("name", None), changes.pop("compare", True)
        given = [key for key in changes if key.startswith("roots.")]
        roots = {k.removeprefix("roots."): Path(changes.pop(k)).expanduser() for k in given}
        of_base = {key: value for key, value in changes.items() if key != "random_seed"}
        self.experiment = Experiment("study", root / "experiments", of_base, base=profile)
        self.random_seed = changes.get("random_seed", self.experiment.raw["seeds"][0])
        self.settings = self.experiment.expanded({})  # raises where a name is unknown
        self.size = self.settings["size"]  # of the crops, in pixels
        # P-Conv's 224 of 256.
        self.experiment.raw["variants"][SMALL] = {"size": round(self.size * 7 / 8)}
        self.variants = list(self.experiment.raw["variants"])
        self.profile, self.changes = profile, changes
        self.name = name or (f"{profile}-{digest(changes)[:6]}" if changes else profile)
        results = Path(os.environ.get(RESULTS_VARIABLE, root / "results"))
        self.output = Path(os.environ.get(OUTPUT_VARIABLE, results / self.name))
        self._reference = root / "results" / "reference"
        self.run = Run(self.experiment, {k: str(path) for k, path in roots.items()}, results)

    def __repr__(self) -> str:
        """Say what this run is."""
        s = self.settings
        steps = " + ".join(str(t["samples"] // s["batch_size"]) for t in s["stages"].values())
        return f"{self.name}: {s['size']} pixels, {steps} steps of {s['batch_size']} samples"

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
        ends = dict(zip(self.settings["stages"], cell.ends(), strict=True))
        samples = pick(ends, stage, "stage")
        net, record, _ = self.run.network(cell, samples)
        net.samples_seen = samples
        of_stage = record[record["stage"] == stage]
        self._write("logs", f"{_slug(variant)}-{stage}.csv", of_stage, "%.6f")
        return net, record

    def first_steps(self, variant: str) -> pd.DataFrame:
        """Train the first twenty steps now, whatever was trained before; a row a step."""
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
        """Draw test crops: input, mask, I_out and I_comp of each network, ground truth."""
        images, masks = self.examples(count, size)
        rows = {"input": images * masks, "mask": masks}
        for name, net in networks.items():
            out = evaluation.network_fill(net)(images, masks)
            rows |= {f"{name}\n$I_{{out}}$": out}
            rows |= {f"{name}\n$I_{{comp}}$": composite(out, images, masks)}
        rows["ground truth"] = images
        pictures = {label: [figures.to_picture(x) for x in row] for label, row in rows.items()}
        titles = [f"hole ratio {lo}-{hi}" for lo, hi in BINS[:count]]
        return figures.picture_rows(pictures, titles)

    # --- what is left ----------------------------------------------------------------------

    def save_table(self, table: pd.DataFrame, name: str) -> pd.DataFrame:
        """Write tables/NAME.csv, four decimals, and return the table."""
        self._write("tables", f"{name}.csv", table, "%.4f")
        return table

    def save_figure(self, figure: Figure, name: str) -> Figure:
        """Write figures/NAME.png, and return the figure, to be shown."""
        with whole(self.output / "figures" / f"{name}.png") as unfinished:
            return figures.save(figure, unfinished)

    def committed(self, experiment: str, files: str = "rows/*.csv") -> pd.DataFrame:
        """Read what is committed of an experiment: all tables of a pattern; ValueError if none."""
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
        """Compare what `first_steps` found with the committed losses.

        Raises
        ------
        Disagreement
            If one differs by more than `ALLOWED`: of all terms the first step's, which is rounding,
            and the mean of all later ones, to which rounding grows; of the total two more.
        """
        old = self._to_compare("logs", f"{_slug(variant)}-first")
        if old is not None:
            _compare(f"{variant}'s losses", _first(record), _first(old), ALLOWED)

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
        # Chapters side by side may write the same loss record.
        with locked(self.output / ".lock"), whole(self.output / kind / name) as unfinished:
            table.to_csv(unfinished, index=False, float_format=digits)


def _compare(name: str, new: pd.DataFrame, old: pd.DataFrame, tolerances: Mapping) -> None:
    if list(new.columns) != list(old.columns) or len(new) != len(old):
        found = f"{len(new)} rows of {', '.join(new)}"
        raise Disagreement(f"{name}: {found}; committed are {len(old)} of {', '.join(old)}")
    if unknown := set(tolerances) - set(new.columns):
        raise ValueError(f"{name} has no column {sorted(unknown)[0]}; it has {', '.join(new)}")
    untrained = new.get("samples", pd.Series(1, new.index)) == 0
    parts = {}  # of what is allowed
    for column in new.columns:
        gaps = (new[column] != old[column]).map({True: float("inf"), False: 0.0})
        if column in tolerances or pd.api.types.is_float_dtype(new[column]):
            allowed = tolerances.get(column, _LAST_DECIMAL)
            if isinstance(allowed, str):
                allowed = float(allowed.rstrip("%")) / 100 * old[column].abs() + 1e-6
            gaps = (new[column] - old[column]).abs()
            gaps = (gaps / allowed).mask(untrained, gaps / _UNTRAINED).fillna(float("inf"))
        same = (new[column] == old[column]) | (new[column].isna() & old[column].isna())
        parts[column] = gaps.mask(same, 0.0)
    row, column = pd.DataFrame(parts).stack().idxmax()
    if parts[column][row] > 1:
        found = f"{column} of row {row} is {new[column][row]}"
        raise Disagreement(f"{name}: {found}, committed is {old[column][row]}")


def _first(record: pd.DataFrame) -> pd.DataFrame:
    """What is compared of the losses of the first steps, a row a term."""
    terms = record[TERMS].round(6)  # as it is written
    total = {"total 2": terms["total"].iloc[1], "total 3": terms["total"].iloc[2]}
    table = pd.DataFrame({"step 1": terms.iloc[0], "later": terms.iloc[1:].mean(), **total})
    return table.assign(steps=len(record))


def _slug(variant: str) -> str:
    return variant.replace(" ", "-")
