"""What a run will take, before it is begun: hours, disk and memory of each chapter.

python -m pconv_core.study.plan --profile full --set pretrain_photos=places365:DIR

A few steps of every network and a few pictures by every method are measured on the machine at
hand, with the profile's own switches, features, batch, loader and processes.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import pandas as pd
from PIL import Image
from tqdm import tqdm

import pconv_core
from pconv_core import data, evaluation, hardware
from pconv_core.files.writing import whole
from pconv_core.losses import VGGFeatures
from pconv_core.masks import KINDS, LAMA, PAPER_LIKE
from pconv_core.study.plan_measures import CELLS
from pconv_core.study.profile import PHOTOS, Profile, load_profile, overrides_of
from pconv_core.study.run import OUTPUT_VARIABLE, STAGES, Study

NOTEBOOKS = Path("notebooks")
# Of a kind in chapter 1: at about the size of training, and those whose shapes, or widths, are
# measured.
MASKS, SHAPES, WIDTHS = 2000, 2400, 120
# Beside the one in every chapter.
FIGURES = {"01": 5, "05": 1, "06": 1, "07": 3, "08": 1, "09": 3, "10": 4}
# Chapter 5 measures at these shares of the two sizes' larger one, and four methods at each.
SIZES = (0.77, 0.94, 1.0, 1.11, 1.5)
UNFINISHED = 3  # checkpoints of one training: the last two and one being written
_TRAINING_CHAPTERS = dict(zip(("02", "03", "04"), STAGES, strict=True))
# Every chapter has these cells, more or less.
_EMPTY = (
    "from pconv_core.study import Study, figures, label\nfrom pconv_core.models import build_model",
    'profile = "demo"\noverrides = {}',
    "study = Study.of(globals())\np = study.profile",
    'net = build_model("pconv", p.size, p.base_channels, p.seed).eval().to(study.device)',
    'study.save_figure(study.examples_figure({"": net}, p.size), "plan")',
)


@dataclass(frozen=True)
class Costs:
    """What was measured; `plan_measures` says what its two dictionaries hold."""

    training: dict[tuple[str, int], dict]  # by model and size
    rest: dict
    chapter: float  # seconds of one that trains and measures nothing
    notebook: dict[str, int]  # bytes of each chapter with its outputs, by name


def estimate(profile: Profile, costs: Costs) -> pd.DataFrame:
    """Work out what each chapter takes.

    Returns
    -------
    DataFrame
        A row a chapter: chapter, seconds, disk (bytes that it leaves), memory (bytes at its peak).
    """
    rows = []
    for name, size in costs.notebook.items():
        number = name[:2]
        if number == "08" and profile.profile != "demo":
            continue
        trained = list(_trainings(profile, number))
        seconds = costs.chapter + FIGURES.get(number, 0) * costs.rest["figure"]
        seconds += sum(_training_seconds(profile, costs, *which) for which in trained)
        seconds += _other_seconds(profile, costs, number)
        found = [costs.training[model, side] for model, side, _ in trained]
        disk = 2 * size + sum(one["weights"] for one in found)
        memory = max([costs.rest["memory"], *(one["memory"] for one in found)])
        rows.append((name, seconds, disk, memory))
    return pd.DataFrame(rows, columns=["chapter", "seconds", "disk", "memory"])


def _trainings(profile: Profile, number: str) -> Iterator[tuple[str, int, str]]:
    """Yield model, size and stage of what a chapter trains."""
    if number in _TRAINING_CHAPTERS:
        for model in Study(profile).models:
            yield model, profile.size, _TRAINING_CHAPTERS[number]
    if number == "05":
        for stage in STAGES:
            yield "pconv", profile.small_size, stage


def _training_seconds(profile: Profile, costs: Costs, model: str, size: int, stage: str) -> float:
    one, steps = costs.training[model, size], Study(profile).steps(stage)
    saves = steps // profile.checkpoint_every
    return one["start"] + steps * one["step"][stage] + saves * one["save"]


def _other_seconds(profile: Profile, costs: Costs, number: str) -> float:
    """Seconds of what a chapter does beside training, figures and its start."""
    a, pictures = costs.rest, CELLS * profile.test_per_cell
    models = Study(profile).models
    small = ["pconv"]
    if number == "01":
        drawn = sum(MASKS * a["mask"][kind] + WIDTHS * a["shape"][kind] for kind in KINDS)
        return drawn + sum(SHAPES * a["shape"][kind] for kind in PAPER_LIKE)
    if number in _TRAINING_CHAPTERS:
        return pictures * _each(a, [*models, "mean fill"])
    if number == "05":
        small_share = profile.small_size / profile.size
        areas = sum(share**2 for share in (*SIZES, small_share))
        return pictures * areas * _each(a, ["pconv", *small, "mean fill", "Telea"])
    if number == "07":
        all_of_them = [*models, *small]
        towards = len(all_of_them) * a["towards"]
        # On masks of both kinds, and on three widths.
        sets = len(PAPER_LIKE) + len(LAMA) * data.LAMA_CELLS / CELLS
        return pictures * (sets * _each(a, [*all_of_them, *evaluation.BASELINES]) + towards)
    if number == "08":
        return a["deviations"]
    if number == "09":
        return a["photograph"] + pictures * _each(a, ["pconv", *evaluation.BASELINES])
    return 0.0


def _each(rest: dict, methods: list[str]) -> float:
    return sum(rest["picture"][method] for method in methods)


def stand_ins(profile: Profile, folder: Path) -> tuple[Profile, list[str]]:
    """Exchange what is not there yet; returns what can be measured, and lines that say what.

    The embedded photographs, as JPEG files in `folder`, stand in for those that are not there, and
    random features of a whole VGG-16 for trained ones.
    """
    changes, said = {}, []
    for name in PHOTOS:
        split = "test" if name == "test_photos" else "train"
        try:
            data.open_photos(getattr(profile, name), split)
            if getattr(profile, name) != "embedded":
                changes[name] = _absolute(getattr(profile, name))
        except ValueError as error:
            changes[name] = str(_written(split, folder))
            said.append(f"{error}; embedded photographs stand in for {name}")
    try:
        VGGFeatures(profile.features, profile.feature_width, profile.seed)
        if profile.features not in ("hed", "imagenet", "random"):
            changes["features"] = str(Path(profile.features).resolve())
    except (RuntimeError, ValueError) as error:
        changes |= {"features": "random", "feature_width": 1.0}
        said.append(f"{error}; random features of the same size stand in")
    return replace(profile, **changes), said


def _absolute(source: str) -> str:
    kind, colon, root = source.partition(":")
    if colon and kind in data.OFFICIAL:
        return f"{kind}:{Path(root).resolve()}"
    return str(Path(source).resolve())


def _written(split: str, folder: Path) -> Path:
    """Write the embedded photographs of a split as JPEG files."""
    for number, photo in enumerate(data.embedded(split)):
        path = folder / split / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(path, quality=90)
    return folder / split


def measure(profile: Profile, folder: Path) -> Costs:
    """Measure all costs of a profile, in processes of their own that write into `folder`."""
    settings = json.dumps(profile.settings())
    module = ["pconv_core.study.plan_measures"]
    entrants = list(dict.fromkeys(Study(profile).entrants.values()))
    with tqdm(total=len(entrants) + 2, desc="measured", leave=False, disable=None) as bar:
        # The first one reads files from the disk that the others find in memory.
        chapter = min(_chapter_seconds(profile, folder) for _ in range(2))
        bar.update()
        rest = json.loads(_said([*module, "rest", settings, str(folder)], folder))
        bar.update()
        training = {}
        for model, size in entrants:
            command = [*module, "training", settings, str(folder), model, str(size)]
            training[model, size] = json.loads(_said(command, folder))
            bar.update()
    notebook = {p.stem: p.stat().st_size for p in sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))}
    return Costs(training, rest, chapter, notebook)


def _chapter_seconds(profile: Profile, folder: Path) -> float:
    """Run a chapter that only begins and draws a figure, as make runs the others."""
    path = folder / "notebooks" / "01_plan.ipynb"
    path.parent.mkdir(exist_ok=True)
    cells = [nbformat.v4.new_code_cell(source) for source in _EMPTY]
    cells[1].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(book, path)
    plain = load_profile(profile.profile).settings()
    changed = {k: v for k, v in profile.settings().items() if v != plain[k]} | {"name": "plan"}
    options = [part for k, v in changed.items() for part in ("--set", f"{k}={json.dumps(v)}")]
    module = ["pconv_core.study.pipeline", "run", "notebooks/01_plan.ipynb"]
    began = time.perf_counter()
    _said([*module, "--profile", profile.profile, *options], folder)
    return time.perf_counter() - began


def _said(arguments: list[str], folder: Path) -> str:
    """Run a module of ours in `folder`, and return the last line that it prints.

    Raises
    ------
    RuntimeError
        If it fails, with the last line of what it said.
    """
    ours = str(Path(pconv_core.__file__).parents[1])
    path = os.pathsep.join([ours, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", *arguments]
    environment = {**os.environ, "PYTHONPATH": path}
    environment.pop(OUTPUT_VARIABLE, None)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise RuntimeError(f"{' '.join(arguments[:2])} failed: {last.removeprefix('error: ')}")
    return done.stdout.strip().splitlines()[-1]


def told(profile: Profile, table: pd.DataFrame, costs: Costs) -> str:
    """Write the table for a person: hours or minutes, disk, memory, and the sum."""
    total = {"chapter": "the whole study", "seconds": table["seconds"].sum()}
    total |= {"disk": table["disk"].sum(), "memory": table["memory"].max()}
    rows = pd.concat([table, pd.DataFrame([total])], ignore_index=True)
    long = total["seconds"] > 2 * 3600
    unit, length = ("hours", 3600) if long else ("minutes", 60)
    shown = pd.DataFrame(
        {
            "chapter": rows["chapter"],
            unit: (rows["seconds"] / length).map("{:,.1f}".format),
            "disk, GB": (rows["disk"] / 1e9).map("{:.2f}".format),
            "memory, GB": (rows["memory"] / 1e9).map("{:.1f}".format),
        }
    )
    largest = max(one["checkpoint"] for one in costs.training.values())
    more = f"While a network is trained, its checkpoints take {UNFINISHED * largest / 1e9:.2f} GB"
    return f"{shown.to_string(index=False)}\n{more} more."


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pconv_core.study.plan", description=__doc__)
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE")
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="write the table there, too")
    given = parser.parse_args(arguments)
    try:
        profile = load_profile(given.profile, overrides_of(given.set))
        if profile.profile == "style":
            raise ValueError(
                "profile style is that of `make style`; plan is for a study's chapters"
            )
        with TemporaryDirectory() as folder:
            # A profile's relative paths start where its notebooks run.
            with contextlib.chdir(NOTEBOOKS):
                measurable, said = stand_ins(profile, Path(folder))
            device = hardware.device(profile.device)
            print(f"measured on {hardware.describe(device, profile.precision)}", end="")
            print(f", {profile.processes} at once" if profile.processes > 1 else "")
            print(*said, sep="\n", end="\n" if said else "", flush=True)
            costs = measure(measurable, Path(folder))
        table = estimate(profile, costs)
        if given.out is not None:
            with whole(given.out) as unfinished:
                table.to_csv(unfinished, index=False, float_format="%.1f")
    except (OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(told(profile, table, costs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
