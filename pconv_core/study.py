"""One run of the study: its folders, its networks, and the comparison with the committed run."""

import json
import os
import time
from dataclasses import replace
from functools import cached_property
from io import StringIO
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure

from pconv_core import data, distributed, evaluation, figures, machine
from pconv_core.checkpoints import load_weights, save_weights
from pconv_core.losses import InpaintingLoss, VGGFeatures
from pconv_core.masks import BINS
from pconv_core.models import InpaintingNet, build_model, composite
from pconv_core.profiles import Profile, from_settings, load_profile
from pconv_core.training import Keeper, Stage, Switches, train, write_record

STAGES = ("stage1", "stage2", "finetune")
PAPER_RATES = (2e-4, 2e-4, 5e-5)
# The crops that tables are made of come from another seed than those that train.
TEST_SEED_OFFSET = 1_000_000

# Environment variables that `make` sets.  The first: where a run writes instead of
# results/PROFILE, which it may still read.  The second, if set: this run is to replace the
# committed tables, so it is compared with itself.
OUTPUT_VARIABLE = "PCONV_OUTPUT"
REFRESH_VARIABLE = "PCONV_REFRESH"
# Where trainings that were cut off lie, so that the next run goes on with them.
UNFINISHED_VARIABLE = "PCONV_UNFINISHED"

MODEL_LABELS = {"pconv": "partial U-Net", "unet": "traditional U-Net", "conv": "Conv U-Net"}


class Study:
    """A profile with its folders and its trained networks.

    Parameters
    ----------
    profile : Profile

    Notes
    -----
    What is not there yet is trained when it is asked for, so a notebook also runs alone.
    """

    def __init__(self, profile: Profile):
        self.profile = profile
        self.root = Path(profile.results) / profile.profile
        self.output = Path(os.environ.get(OUTPUT_VARIABLE, self.root))
        # Read now: a run by hand overwrites them.
        self._committed = {p.stem: p.read_text() for p in self.root.glob("tables/*.csv")}

    @classmethod
    def of(cls, settings: dict) -> "Study":
        """Make a study of a notebook's parameters: `Study.of(globals())`."""
        return cls(from_settings(settings))

    @classmethod
    def committed(cls, name: str, results: str) -> "Study":
        """Make a study that reads what is committed of a profile's run, and writes nothing.

        Parameters
        ----------
        name : str
            Of the profile.
        results : str
            Folder of all results.
        """
        study = cls(replace(load_profile(name), results=results))
        study.output = study.root
        return study

    def describe(self) -> str:
        """Say in one line what this run is."""
        p = self.profile
        return (
            f"profile {p.profile}: {p.size} and {p.small_size} pixels, base_channels "
            f"{p.base_channels}, {p.stage1_steps} + {p.stage2_steps} + {p.finetune_steps} steps of "
            f"{p.batch_size} samples, perceptual features: {self.features_label}"
        )

    @property
    def features_label(self) -> str:
        """Which perceptual features trained the networks, as every table says."""
        kind = self.profile.features
        width = self.profile.feature_width
        return f"random VGG-16 x{width:g}" if kind == "random" else f"VGG-16 {Path(kind).name}"

    # --- photographs -----------------------------------------------------------------------

    def samples(self, stage: str, size: int) -> data.Samples:
        """Training samples of a stage."""
        p = self.profile
        source = p.finetune_photos if stage == "finetune" else p.pretrain_photos
        unreadable = self.output / "logs" / f"unreadable_{stage}.txt"
        photos = data.open_photos(source, "train")
        return data.Samples(photos, size, p.seed, span=self._span, unreadable=unreadable)

    def evaluation_set(self, size: int):
        """The evaluation set at a size; the same squares of the photographs at every size."""
        p = self.profile
        photos = data.open_photos(p.test_photos, "test")
        return data.evaluation_set(
            photos, size, p.test_per_cell, p.seed + TEST_SEED_OFFSET, self._span
        )

    def examples(self, size: int, count: int = 5):
        """`count` test crops to look at, one from each of the first bins: images, masks."""
        picked = list(enumerate(cell for cell in self.evaluation_set(size) if cell[1]))[:count]
        return [
            (images[k % len(images)], masks[k % len(masks)]) for k, (*_, images, masks) in picked
        ]

    def examples_figure(
        self, networks: dict[str, InpaintingNet], size: int, count: int = 5
    ) -> Figure:
        """Draw test crops: input, mask, I_out and I_comp of each network, ground truth."""
        examples = self.examples(size, count)
        show = figures.to_picture
        rows = {
            "input": [show(image * mask) for image, mask in examples],
            "mask": [show(mask) for _, mask in examples],
        }
        for name, net in networks.items():
            fill = evaluation.network(net)
            outs = [fill(image[None], mask[None])[0] for image, mask in examples]
            rows[f"{name}\n$I_{{out}}$"] = [show(out) for out in outs]
            pairs = zip(outs, examples, strict=True)
            rows[f"{name}\n$I_{{comp}}$"] = [show(composite(o, i, m)) for o, (i, m) in pairs]
        rows["ground truth"] = [show(image) for image, _ in examples]
        return figures.picture_rows(rows, [f"hole ratio {lo}-{hi}" for lo, hi in BINS[:count]])

    # --- networks --------------------------------------------------------------------------

    @property
    def models(self) -> list[str]:
        """The models that are trained at the size that stands for 256."""
        return ["pconv", "unet", *(["conv"] if self.profile.conv_unet else [])]

    @property
    def entrants(self) -> dict[str, tuple[str, int]]:
        """(model, training size) of all networks, by the key of their look in `figures`."""
        p = self.profile
        small = {"pconv_small": ("pconv", p.small_size)}
        return {**{model: (model, p.size) for model in self.models}, **small}

    def stage(self, name: str) -> Stage:
        """The seed's schedule: style weight 1, then 120; learning rates of the recipe."""
        p = self.profile
        rates = {
            "seed": [p.learning_rate, p.learning_rate / 10, p.learning_rate / 100],
            "paper": PAPER_RATES,
        }[p.recipe]
        first = {"stage1": 0, "stage2": p.stage1_steps, "finetune": p.stage1_steps + p.stage2_steps}
        stages = {
            "stage1": Stage("stage1", 0, p.stage1_steps, rates[0], 1.0),
            "stage2": Stage("stage2", 0, p.stage2_steps, rates[1], 120.0),
            "finetune": Stage("finetune", 0, p.finetune_steps, rates[2], 120.0, True),
        }
        return replace(stages[name], first_step=first[name])

    def train(self, model: str, size: int, stage: str) -> InpaintingNet:
        """Train one network through one stage, from the end of the stage before it.

        Writes the loss record to logs/ and the weights to checkpoints/.  If the profile asks for
        several processes, they are started, and waited for.

        Parameters
        ----------
        model : {"pconv", "conv", "unet"}
        size : int
            Training size in pixels.
        stage : {"stage1", "stage2", "finetune"}

        Raises
        ------
        RuntimeError
            If one of several processes fails.
        """
        p = self.profile
        if p.processes != distributed.processes():
            distributed.launch(
                p.processes, "pconv_core.stage_worker", json.dumps(p.settings()), model, size, stage
            )
            return self.network(model, size, stage)
        position = STAGES.index(stage)
        if position == 0:
            net = build_model(model, size, p.base_channels, p.seed)
        else:
            net = self.network(model, size, STAGES[position - 1])
        keeper = self._keeper(model, size, stage)
        watch = _Stopwatch(self.stage(stage).steps)
        record = train(
            net.to(self.device),
            InpaintingLoss(self._features, style_scale=p.feature_width).to(self.device),
            self.samples(stage, size),
            self.stage(stage),
            p.batch_size,
            p.record_every,
            workers=_loader_processes(),
            switches=Switches(p.channels_last, p.precision, p.compiled, p.fused_adam, p.accumulate),
            keeper=keeper,
            watch=watch,
        )
        if distributed.rank() == 0:
            write_record(record, self._new("logs", f"{model}{size}_{stage}.csv"))
            if p.name_hardware:
                self._write_time(model, size, stage, watch.minutes())
            settings = self._trained_with(model, size, stage)
            save_weights(self._new("checkpoints", f"{model}{size}_{stage}.pt"), net, settings)
            keeper.forget()
        return net

    def network(self, model: str, size: int, stage: str) -> InpaintingNet:
        """Return a trained network, from its checkpoint or, if there is none, by training it."""
        net = build_model(model, size, self.profile.base_channels, self.profile.seed)
        path = self._found("checkpoints", f"{model}{size}_{stage}.pt")
        if load_weights(path, net, self._trained_with(model, size, stage)):
            if stage == "finetune":
                net.freeze_encoder_norm()
            return net.eval().to(self.device)
        return self.train(model, size, stage)

    def log(self, model: str, size: int) -> pd.DataFrame:
        """Loss record of one network over all stages; trains it if it was not trained yet."""
        self.network(model, size, STAGES[-1])
        return self.record(model, size)

    def record(self, model: str, size: int) -> pd.DataFrame:
        """Read the loss record of a network that was trained."""
        paths = [self._found("logs", f"{model}{size}_{stage}.csv") for stage in STAGES]
        return pd.concat([pd.read_csv(p) for p in paths], ignore_index=True)

    # --- results ---------------------------------------------------------------------------

    def evaluate(self, methods: dict[str, evaluation.Fill], size: int) -> pd.DataFrame:
        """Measure methods on the test crops of a size: a row a picture, `model` first."""
        tables = []
        for name, fill in methods.items():
            table = evaluation.evaluate(fill, self.evaluation_set(size))
            table.insert(0, "model", name)
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def training_facts(self) -> dict[str, object]:
        """Say how the networks were trained: the last columns of `save_table`, by their names."""
        p = self.profile
        steps = p.stage1_steps + p.stage2_steps + p.finetune_steps
        facts = {
            "features": self.features_label,
            "samples": steps * p.batch_size * p.processes,
        }
        if p.name_hardware:
            stages = [(m, s, stage) for m, s in self.entrants.values() for stage in STAGES]
            paths = [self._found("logs", f"{m}{s}_{stage}_time.csv") for m, s, stage in stages]
            times = [pd.read_csv(path).iloc[0] for path in paths if path.is_file()]
            facts["hardware"] = " and ".join(dict.fromkeys(time["hardware"] for time in times))
            facts["minutes"] = round(sum(time["minutes"] for time in times), 3)
        return facts

    def save_table(self, table: pd.DataFrame, name: str, trained: bool = True) -> pd.DataFrame:
        """Write tables/NAME.csv, three decimals, and return the table.

        If networks were trained for it, the last columns say with which perceptual features and
        on how many samples each; in a profile that names its hardware also on what, and the
        minutes of all trainings added up.
        """
        if trained:
            table = table.assign(**self.training_facts())
        table.to_csv(self._new("tables", f"{name}.csv"), index=False, float_format="%.3f")
        return table

    def save_figure(self, figure: Figure, name: str) -> Figure:
        """Write figures/NAME.png and return the figure, to be shown."""
        return figures.save(figure, self._new("figures", f"{name}.png"))

    def figure(self, name: str) -> Path:
        """Path of figures/NAME.png of this run or, failing that, of the one in results/PROFILE."""
        return self._found("figures", f"{name}.png")

    def table(self, name: str) -> pd.DataFrame:
        """Read tables/NAME.csv of this run.

        Raises
        ------
        ValueError
            If no notebook has written it yet.
        """
        path = self._found("tables", f"{name}.csv")
        if not path.is_file():
            raise ValueError(f"this run has no table {name}; run the notebook that writes it first")
        return pd.read_csv(path)

    def check(self, name: str, **tolerances: float | None) -> str:
        """Compare a table that this run wrote with the committed one.

        Processors round differently and training amplifies it, so trained numbers have a tolerance;
        everything else must be equal.

        Parameters
        ----------
        name : str
            Of the table.
        **tolerances : float
            Column = largest absolute difference allowed, in the column's unit; None if the column
            is not to be compared, as a verdict that a last digit can turn.

        Returns
        -------
        str
            One line: "agrees", or what differs most.
        """
        written = (self.output / "tables" / f"{name}.csv").read_text()
        committed = written if REFRESH_VARIABLE in os.environ else self._committed.get(name)
        if committed is None:
            return f"{name}: there is no committed table to compare with"
        return compare(name, _read(written), _read(committed), tolerances)

    # --- inside ----------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """What networks are trained and run on."""
        gpu = self.profile.device == "auto" and torch.cuda.is_available()
        return torch.device("cuda" if gpu else "cpu")

    @property
    def _span(self) -> tuple[float, float]:
        return self.profile.crop_smallest, self.profile.crop_largest

    @cached_property
    def _features(self) -> VGGFeatures:
        p = self.profile
        return VGGFeatures(p.features, p.feature_width, p.seed)

    def _trained_with(self, model: str, size: int, stage: str) -> dict:
        """What weights depend on; a checkpoint of other settings is not used."""
        outside = ("profile", "results", "small_size", "size", "test_photos", "test_per_cell")
        outside += ("checkpoint_every", "conv_unet", "deviations", "name_hardware")
        settings = {k: v for k, v in self.profile.settings().items() if k not in outside}
        return {**settings, "model": model, "trained_size": size, "stage": stage}

    def _write_time(self, model: str, size: int, stage: str, minutes: float) -> None:
        """Note what a training ran on and how long it took."""
        row = {"hardware": machine.describe(self.device), "minutes": minutes}
        path = self._new("logs", f"{model}{size}_{stage}_time.csv")
        pd.DataFrame([row]).to_csv(path, index=False, float_format="%.3f")

    def _keeper(self, model: str, size: int, stage: str) -> Keeper:
        """Save a training now and then where the next run of it will look."""
        folder = Path(os.environ.get(UNFINISHED_VARIABLE, self.output / "unfinished"))
        path = folder / f"{model}{size}_{stage}.pt"
        settings = self._trained_with(model, size, stage)
        return Keeper(path, self.profile.checkpoint_every, settings, refuse_others=False)

    def _new(self, kind: str, file: str) -> Path:
        path = self.output / kind / file
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _found(self, kind: str, file: str) -> Path:
        """This run's file, or else the one in results/PROFILE."""
        path = self.output / kind / file
        return path if path.exists() else self.root / kind / file


class _Stopwatch:
    """Watches a training.

    One that was cut off counts in full, at the speed of its last part, if that has two rows of the
    record; or else with that part only.
    """

    def __init__(self, steps: int):
        self.steps = steps
        self.began = time.monotonic()
        self.rows: list[tuple[int, float]] = []  # step and time of the record's

    def __call__(self, step: int) -> None:
        self.rows.append((step, time.monotonic()))

    def minutes(self) -> float:
        if len(self.rows) < 2:
            return (time.monotonic() - self.began) / 60
        (first, start), (last, end) = self.rows[0], self.rows[-1]
        return (end - start) / (last - first) * self.steps / 60


def _loader_processes() -> int:
    """One on two cores, more where a GPU waits for them; they cannot change what is seen."""
    return max(1, min(8, (os.cpu_count() or 1) // 2))


def label(model: str, size: int) -> str:
    """Name of a network in tables and figures: "partial U-Net 64"."""
    return f"{MODEL_LABELS[model]} {size}"


def _read(text: str) -> pd.DataFrame:
    return pd.read_csv(StringIO(text))


def compare(
    name: str, new: pd.DataFrame, old: pd.DataFrame, tolerances: dict[str, float | None]
) -> str:
    """Say in one line whether two tables agree; see `Study.check`."""
    if list(new.columns) != list(old.columns) or len(new) != len(old):
        return f"{name}: DIFFERS in its columns or number of rows from the committed table"
    loose = [c for c in new.columns if c in tolerances]
    for column in new.columns.difference(loose, sort=False):
        if not new[column].equals(old[column]):
            return f"{name}: DIFFERS in column {column} from the committed table"
    # What learns nothing must give the same on every machine, but for the last decimal.
    names = new["model"] if "model" in new else pd.Series("", index=new.index)
    fixed = names.isin(list(evaluation.BASELINES))
    for column in loose:
        if tolerances[column] is None:
            continue
        gaps = (new[column] - old[column]).abs().mask(new[column].isna() & old[column].isna(), 0)
        if not (gaps[fixed] <= 0.0021).all():
            return f"{name}: DIFFERS in column {column} of a method that is not trained"
        gap = gaps.max(skipna=False)
        if not gap <= tolerances[column]:
            return (
                f"{name}: DIFFERS by {gap:.3f} in column {column}, more than {tolerances[column]}"
            )
    allowed = ", ".join(
        f"{c} not compared" if t is None else f"{c} within {t:g}" for c, t in tolerances.items()
    )
    return f"{name}: {len(new)} rows agree with the committed table ({allowed or 'exactly'})"
