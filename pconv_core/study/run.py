"""One run of the study: its folders, its networks, and the comparison with the reference."""

import json
import os
import time
from dataclasses import fields
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure

from pconv_core import data, distributed, evaluation, hardware
from pconv_core.files.checkpoints import load_weights, save_weights
from pconv_core.files.figure import save
from pconv_core.losses import InpaintingLoss, VGGFeatures
from pconv_core.masks import BINS, PAPER_LIKE
from pconv_core.models import InpaintingNet, build_model
from pconv_core.study import figures
from pconv_core.study.profile import Profile, claim, load_profile
from pconv_core.study.tables import compare
from pconv_core.training import Keeper, Stage, Switches, train, write_record

STAGES = ("stage1", "stage2", "finetune")
# Beside the schedule: stage 2 with the style weight of stage 1, to see what that of 120 does.
STYLE_KEPT = "stage2_style1"
_BEFORE = {"stage2": "stage1", STYLE_KEPT: "stage1", "finetune": "stage2"}
# Of chapters 2 to 4.
STAGE_TABLES = {"stage1": "02_stage1", "stage2": "03_stage2", "finetune": "04_finetune"}
PAPER_RATES = (2e-4, 2e-4, 5e-5)
# The crops that tables are made of come from another random seed than those that train.
TEST_SEED_OFFSET = 1_000_000

RESULTS = Path("../results")  # as seen from notebooks/
# The one environment variable: a folder that a run writes to instead of results/NAME.
OUTPUT_VARIABLE = "PCONV_OUTPUT"
STAGING = ".staging"

MODEL_LABELS = {"pconv": "partial U-Net", "unet": "traditional U-Net", "conv": "Conv U-Net"}


class Study:
    """A profile with its folders and its trained networks.

    Parameters
    ----------
    profile : Profile
    results : Path
        Folder of all results.

    Notes
    -----
    What is not there yet is trained when it is asked for, so a notebook also runs alone.
    """

    def __init__(self, profile: Profile, results: Path = RESULTS):
        self.profile, self.results = profile, Path(results)
        self.reference = self.results / "reference" / profile.name
        self.output = Path(os.environ.get(OUTPUT_VARIABLE, self.results / profile.name))
        # A chapter that make runs is staged inside the folder that holds what the others left.
        staged = self.output.parent.name == STAGING
        self.root = self.output.parents[1] if staged else self.output

    @classmethod
    def of(cls, namespace: dict) -> "Study":
        """Make a study of a notebook's two parameters: `Study.of(globals())`.

        Raises
        ------
        ValueError
            If a parameter or setting is unknown, or the run's folder holds another run.
        """
        # Variables that hold plain values: what papermill was told beside the two.
        plain = (str, int, float, bool, list, dict, type(None))
        known = {"profile", "overrides", "In", "Out"}
        for name, value in namespace.items():
            constant = name.startswith("_") or name.isupper() or name in known
            if isinstance(value, plain) and not constant:
                raise ValueError(
                    f"no parameter is named {name!r}; there are profile and overrides, which may "
                    f'set it: overrides = {{"name": "...", "{name}": {value!r}}}'
                )
        study = cls(load_profile(namespace["profile"], namespace["overrides"]))
        claim(study.root, study.profile)
        return study

    @classmethod
    def of_reference(cls, name: str, results: Path = RESULTS) -> "Study":
        """Make a study that reads the committed run of a profile, and writes nothing."""
        study = cls(load_profile(name), results)
        study.output = study.root = study.reference
        return study

    def describe(self) -> str:
        """Say in two lines what this run is."""
        p = self.profile
        return (
            f"run {p.name}: {p.size} and {p.small_size} pixels, base_channels "
            f"{p.base_channels}, {p.stage1_steps} + {p.stage2_steps} + {p.finetune_steps} steps of "
            f"{p.batch_size} samples, perceptual features: {self.features_label}\n"
            f"({p.about})"
        )

    @property
    def features_label(self) -> str:
        """Which perceptual features trained the networks, as every table says."""
        kind = self.profile.features
        width = self.profile.feature_width
        return f"random VGG-16 x{width:g}" if kind == "random" else f"VGG-16 {Path(kind).name}"

    @property
    def test_kind(self) -> str:
        """Kind of the test masks: that of training, if its holes measure like the paper's."""
        kind = self.profile.mask_kind
        return kind if kind in PAPER_LIKE else PAPER_LIKE[0]

    # --- photographs -----------------------------------------------------------------------

    def samples(self, stage: str, size: int) -> data.Samples:
        """Training samples of a stage."""
        p = self.profile
        source = p.finetune_photos if stage == "finetune" else p.pretrain_photos
        unreadable = self.output / "logs" / f"unreadable_{stage}.txt"
        photos = data.open_photos(source, "train")
        return data.Samples(
            photos, size, p.seed, span=self._span, kind=p.mask_kind, unreadable=unreadable
        )

    def evaluation_set(self, size: int, kind: str | None = None):
        """The evaluation set at a size; the same squares of the photographs at every size.

        The masks are of `test_kind`, if no other kind is named.
        """
        return data.evaluation_set(*self._test_set(size, kind))

    def evaluation_cells(self, size: int, kind: str | None = None):
        """What the evaluation set at a size is made of; see `data.evaluation_cells`."""
        return data.evaluation_cells(*self._test_set(size, kind))

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
        images, masks = (torch.stack(c) for c in zip(*self.examples(size, count), strict=True))
        outs = {k: evaluation.network_fill(net)(images, masks) for k, net in networks.items()}
        titles = [f"hole ratio {lo}-{hi}" for lo, hi in BINS[:count]]
        return figures.fillings(images, masks, outs, titles)

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
        """P-Conv's schedule: style weight 1, then 120; learning rates of the recipe."""
        p, k = self.profile, STAGES.index(name.partition("_")[0])
        steps = (p.stage1_steps, p.stage2_steps, p.finetune_steps)
        rates = PAPER_RATES if p.recipe == "paper" else [p.learning_rate / 10**n for n in range(3)]
        style = 1.0 if name in ("stage1", STYLE_KEPT) else 120.0
        first, count = (n * p.batch_size * p.processes for n in (sum(steps[:k]), steps[k]))
        return Stage(name, first, count, rates[k], style, name == "finetune")

    def steps(self, stage: str) -> int:
        """How many steps a stage has."""
        return self.stage(stage).samples // (self.profile.batch_size * self.profile.processes)

    def train(self, model: str, size: int, stage: str) -> InpaintingNet:
        """Train one network through one stage, from the end of the stage before it.

        Writes the loss record to logs/ and the weights to checkpoints/.  If the profile asks for
        several processes, they are started, and waited for.

        Parameters
        ----------
        model : {"pconv", "conv", "unet"}
        size : int
            Training size in pixels.
        stage : {"stage1", "stage2", "finetune", "stage2_style1"}

        Raises
        ------
        RuntimeError
            If one of several processes fails.
        """
        p = self.profile
        if p.processes != distributed.processes():
            distributed.launch(
                p.processes,
                "pconv_core.study.stage_worker",
                *self._for_worker(),
                model,
                size,
                stage,
            )
            return self.network(model, size, stage)
        net = build_model(model, size, p.base_channels, p.seed)
        if stage in _BEFORE:
            net = self.network(model, size, _BEFORE[stage])
        keeper = self._keeper(model, size, stage)
        began, rows = time.monotonic(), []
        record = train(
            net.to(self.device),
            self.loss().to(self.device),
            self.samples(stage, size),
            self.stage(stage),
            p.batch_size,
            p.record_every,
            workers=_loader_processes(),
            switches=self.switches,
            keeper=keeper,
            watch=lambda step: rows.append((step, time.monotonic())),
        )
        if distributed.rank() == 0:
            write_record(record, self._new("logs", f"{model}{size}_{stage}.csv"))
            if p.name_hardware:
                minutes = _minutes(rows, began, self.steps(stage))
                name = hardware.describe(self.device, p.precision)
                row = {"hardware": name, "minutes": minutes}
                row["peak_gb"] = hardware.peak_memory(self.device) / 1e9
                path = self._new("logs", f"{model}{size}_{stage}_time.csv")
                pd.DataFrame([row]).to_csv(path, index=False, float_format="%.3f")
            settings = self._trained_with(model, size, stage)
            save_weights(self._new("checkpoints", f"{model}{size}_{stage}.pt"), net, settings)
            keeper.forget()
        return net

    def loss(self) -> InpaintingLoss:
        """Make the loss that the profile asks for."""
        return make_loss(self.profile, self._features)

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

    def training_time(self, model: str, size: int, stage: str) -> pd.Series:
        """Read hardware, minutes and peak_gb of a training, noted if the profile names hardware."""
        return pd.read_csv(self._found("logs", f"{model}{size}_{stage}_time.csv")).iloc[0]

    def record(self, model: str, size: int) -> pd.DataFrame:
        """Read the loss record of a network that was trained."""
        paths = [self._found("logs", f"{model}{size}_{stage}.csv") for stage in STAGES]
        return pd.concat([pd.read_csv(p) for p in paths], ignore_index=True)

    # --- results ---------------------------------------------------------------------------

    def evaluate(
        self, methods: dict[str, evaluation.Fill], size: int, kind: str | None = None
    ) -> pd.DataFrame:
        """Measure methods on the test crops of a size: a row a picture, `model` first."""
        tables = []
        for name, fill in methods.items():
            table = evaluation.evaluate(fill, self.evaluation_set(size, kind))
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

    def measure_stage(self, stage: str) -> pd.DataFrame:
        """Measure what the networks of `models` reach after a stage, and write it as its table.

        Returns
        -------
        DataFrame
            As `evaluation.overall` makes it, the mean fill beside the networks.
        """
        size = self.profile.size
        fills = {
            label(model, size): evaluation.network_fill(self.network(model, size, stage))
            for model in self.models
        }
        pictures = self.evaluate({**fills, "mean fill": evaluation.mean_fill}, size)
        return self.save_table(evaluation.overall(pictures), STAGE_TABLES[stage])

    def stage_table(self, stage: str) -> pd.DataFrame:
        """Read the table of an earlier stage; a chapter that runs alone has it measured first."""
        written = self._found("tables", f"{STAGE_TABLES[stage]}.csv").is_file()
        return self.table(STAGE_TABLES[stage]) if written else self.measure_stage(stage)

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
        return save(figure, self._new("figures", f"{name}.png"))

    def table(self, name: str) -> pd.DataFrame:
        """Read tables/NAME.csv of this run.

        Raises
        ------
        ValueError
            If no notebook has written it yet.
        """
        path = self._found("tables", f"{name}.csv")
        if not path.is_file():
            where, what = "this run", "run the notebook that writes it first"
            if self.output == self.reference:
                where, what = f"results/reference/{self.profile.name}", "it is to be promoted"
            raise ValueError(f"{where} has no table {name}; {what}")
        return pd.read_csv(path)

    def check(self, name: str, **tolerances: float | str | None) -> str:
        """Compare a table that this run wrote with the committed one.

        Processors round differently and training amplifies it, so trained numbers have a tolerance;
        everything else must be equal.

        Parameters
        ----------
        name : str
            Of the table.
        **tolerances : float or str
            Column = largest absolute difference allowed, in the column's unit, or, as "35%", in
            parts of the committed value; None if the column is not to be compared, as a verdict
            that a last digit can turn.

        Returns
        -------
        str
            One line: "agrees", or what differs most.
        """
        new = pd.read_csv(self.output / "tables" / f"{name}.csv")
        path = self.reference / "tables" / f"{name}.csv"
        if self.profile.compare_with == "itself":
            return compare(name, new, new, tolerances)
        if not path.is_file():
            return f"{name}: there is no committed table to compare with"
        return compare(name, new, pd.read_csv(path), tolerances)

    # --- inside ----------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """What networks are trained and run on."""
        return hardware.device(self.profile.device)

    @property
    def switches(self) -> Switches:
        """How the profile has its arithmetic carried out."""
        return Switches(**{f.name: getattr(self.profile, f.name) for f in fields(Switches)})

    def _test_set(self, size: int, kind: str | None) -> tuple:
        p = self.profile
        photos = data.open_photos(p.test_photos, "test")
        seed = p.seed + TEST_SEED_OFFSET
        return photos, size, p.test_per_cell, seed, self._span, kind or self.test_kind

    @property
    def _span(self) -> tuple[float, float]:
        return self.profile.crop_smallest, self.profile.crop_largest

    @cached_property
    def _features(self) -> VGGFeatures:
        return perceptual_features(self.profile)

    def _trained_with(self, model: str, size: int, stage: str) -> dict:
        """What weights depend on; a checkpoint of other settings is not used."""
        outside = ("profile", "name", "about", "small_size", "size", "test_photos", "test_per_cell")
        outside += ("checkpoint_every", "conv_unet", "name_hardware", "compare_with")
        settings = {k: v for k, v in self.profile.settings().items() if k not in outside}
        # Of "auto" what it is here: another machine would go on in another precision.
        settings["precision"] = hardware.precision(self.profile.precision, self.device)
        return {**settings, "model": model, "trained_size": size, "stage": stage}

    def _for_worker(self) -> tuple[str, str]:
        """What `stage_worker` makes this study of."""
        return json.dumps(self.profile.settings()), str(self.results)

    def _keeper(self, model: str, size: int, stage: str) -> Keeper:
        """Save a training now and then where the next run of it will look."""
        path = self.root / "unfinished" / f"{model}{size}_{stage}.pt"
        settings = self._trained_with(model, size, stage)
        return Keeper(path, self.profile.checkpoint_every, settings, refuse_others=False)

    def _new(self, kind: str, file: str) -> Path:
        path = self.output / kind / file
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _found(self, kind: str, file: str) -> Path:
        """This chapter's file, or else one that an earlier chapter of the run left."""
        path = self.output / kind / file
        return path if path.exists() else self.root / kind / file


def perceptual_features(profile: Profile) -> VGGFeatures:
    """Make the features that a profile names; raises what `VGGFeatures` does."""
    return VGGFeatures(profile.features, profile.feature_width, profile.seed)


def make_loss(
    profile: Profile, features: VGGFeatures, kind: type[InpaintingLoss] = InpaintingLoss
) -> InpaintingLoss:
    """Make the loss, or another kind of it, as a profile asks for it.

    Raises
    ------
    ValueError
        If the profile's features_share is above 1.
    """
    # A Gram entry falls as the width of the features, which is 1 where they are trained.
    return kind(features, profile.feature_width, profile.features_share, profile.seed)


def _minutes(rows: list[tuple[int, float]], began: float, steps: int) -> float:
    """Minutes of a training, of whose record's `rows` step and time were noted.

    One that was cut off counts in full, at the speed of its last part, if that has two rows; or
    else with that part only.
    """
    if len(rows) < 2:
        return (time.monotonic() - began) / 60
    (first, start), (last, end) = rows[0], rows[-1]
    return (end - start) / (last - first) * steps / 60


def _loader_processes() -> int:
    """One on two cores, more where a GPU waits for them; they cannot change what is seen."""
    return max(1, min(8, (os.cpu_count() or 1) // 2))


def label(model: str, size: int) -> str:
    """Name of a network in tables and figures: "partial U-Net 64"."""
    return f"{MODEL_LABELS[model]} {size}"
