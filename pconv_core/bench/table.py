"""The benchmark's table: what the mask costs, and how fast masks, photographs and pictures are.

Two sides are timed in one process, taking turns, so that whatever else the machine does falls on
both.  A row holds the medians, and the median and quartiles of the ratios of the pairs.
"""

import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from pconv_core import hardware
from pconv_core.bench import loading, networks, side_by_side, whole_step
from pconv_core.bench.networks import LEVELS, Cell
from pconv_core.training import PRECISIONS

PAIRS = 7
# Two trainings at once: threads of each, and how these wait; the last is how it would be if
# pconv_core did not set that.
SIDE_BY_SIDE = (
    ("one thread each", 1, "PASSIVE"),
    ("two threads each", 2, "PASSIVE"),
    ("two threads each, spinning", 2, "ACTIVE"),
)
_MEASURED = ("seconds", "seconds_low", "seconds_high", "reference_seconds", "ratio", "ratio_low")
_MEASURED += ("ratio_high", "pairs", "memory_mib", "reference_memory_mib", "images_per_second")
_MEASURED += ("note",)
_NO_TIME = "not measured: no time left"
_ONE_VALUE = "impossible: batch norm cannot train on one value a channel"


def machine_name(device: torch.device) -> str:
    """Name of the machine as a file name: `cpu-amd-epyc-2-threads`."""
    machine = hardware.describe(device).rpartition(", torch")[0]
    return re.sub(r"[^a-z0-9]+", "-", f"{device.type} {machine}".lower()).strip("-")


def run(out: Path, minutes: float = 20, pairs: int = PAIRS, only: str = "") -> Path:
    """Measure all there is time for; write MACHINE.csv in the folder `out` and return its path.

    Parameters
    ----------
    minutes : float
        What would start later is listed as not measured.
    pairs : int
        How often each side is timed.
    only : str
        Measure the rows whose benchmark, or whose note in the table that there is, begins so; the
        others stay.  None at all is a ValueError.
    """
    device = hardware.device()
    deadline = time.monotonic() + 60 * minutes
    path = out / f"{machine_name(device)}.csv"
    tasks = list(_tasks(device, pairs))
    machine = {"machine": hardware.describe(device)}
    rows = [{**machine, **settings, "note": _NO_TIME} for settings, _ in tasks]
    if only and path.is_file():
        rows = pd.read_csv(path).astype({"note": object}).fillna({"note": ""}).to_dict("records")
    begins = [(row["benchmark"].startswith(only), row["note"].startswith(only)) for row in rows]
    chosen = [place for place, found in enumerate(begins) if any(found)]
    if not chosen:
        names = dict.fromkeys(row["benchmark"] for row in rows)
        raise ValueError(
            f"no row of {path} begins with {only!r}; it should be one of {', '.join(names)}"
        )
    with tqdm(chosen, desc="benchmark", unit="row", leave=False) as progress:
        for place in progress:
            settings, measure = tasks[place]
            progress.set_postfix_str(" ".join(str(v) for v in settings.values())[:60])
            if time.monotonic() > deadline:
                break
            measured = {"note": _ONE_VALUE} if _one_value(settings) else measure()
            rows[place] = {**machine, **settings, **measured}
    columns = ["machine", "benchmark", *Cell.__annotations__, *_MEASURED]
    out.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows).reindex(columns=columns)
    table.to_csv(path, index=False, float_format="%.5g")
    return path


def _tasks(device: torch.device, pairs: int) -> Iterator[tuple[dict, Callable[[], dict]]]:
    """Yield the rows to be measured: their settings and what measures them, most wanted first."""
    yield from _comparisons(_main_cells(device), device, pairs)
    yield from _other_tasks(device, pairs)
    yield from _comparisons(_grid(device), device, pairs)


def _comparisons(cells: Iterator[Cell], device, pairs) -> Iterator[tuple[dict, Callable]]:
    for cell in cells:
        settings = {"benchmark": f"{cell.subject} / {cell.reference}", **vars(cell)}
        yield settings, partial(networks.compare_networks, cell, device, pairs)


def _one_value(settings: dict) -> bool:
    """Whether the last level of a training step has one pixel of one image."""
    training = settings.get("phase") == "training"
    return training and settings["batch"] == 1 and settings["size"] <= 2**LEVELS


def _main_cells(device: torch.device) -> Iterator[Cell]:
    for compiled, phase in product((False, True), ("training", "inference")):
        yield Cell("PConvUNet", "ConvUNet", phase, compiled=compiled)
    if device.type == "cuda":
        for phase in ("training", "inference"):
            yield Cell("PConvUNet", "ConvUNet", phase, 32, precision="bfloat16", compiled=True)
    for phase in ("training", "inference"):
        yield Cell("textbook", "PConvUNet", phase)


def _grid(device: torch.device) -> Iterator[Cell]:
    """All combinations; on a CPU at a quarter of the width, and what it is slow at last."""
    base = 64 if device.type == "cuda" else 16
    batches = list(product((128, 256, 512), (1, 4, 16)))
    # Few CPUs have bfloat16 arithmetic, so that it takes ten times as long on the others.
    for precision, large, compiled in product(PRECISIONS, (False, True), (False, True)):
        chosen = [(s, b) for s, b in batches if (b * s**2 > 4 * 256**2) is large]
        for (size, batch), phase in product(chosen, ("training", "inference")):
            yield Cell("PConvUNet", "ConvUNet", phase, batch, size, base, precision, compiled)


def _other_tasks(device, pairs) -> Iterator[tuple[dict, Callable[[], dict]]]:
    small = {"batch": 4, "size": 256}
    step = {**small, "base_channels": 64, "precision": "float32"}
    row = {"benchmark": "step with loss / without", "phase": "training"}
    yield {**row, **step}, partial(networks.step_with_loss, device, pairs, **step)
    row["benchmark"] = "VGG as usual / ours"
    yield {**row, **small}, partial(networks.vgg_passes, device, pairs, **small)
    half = {"batch": 8, "size": 128, "base_channels": 32}
    for precision in PRECISIONS:
        full = {**step, "precision": precision}
        row["benchmark"] = "whole step as usual / ours"
        yield {**row, **full}, partial(whole_step.usual_and_ours, device, pairs, **full)
        part = {**half, "precision": precision}
        row["benchmark"] = "features_share 1 / 0.25"
        yield {**row, **part}, partial(whole_step.share_of_features, device, pairs, **part)
    part = {**half, "precision": "float32"}
    row["benchmark"] = "whole step eager / compiled"
    yield {**row, **part}, partial(whole_step.eager_and_compiled, device, pairs, **part)
    row["benchmark"] = "whole step, Adam usual / fused"
    yield {**row, **part}, partial(whole_step.plain_and_fused, device, pairs, **part)
    for kind in ("strokes", "occlusion"):
        row = {"benchmark": f"masks: {kind}", "batch": 1, "size": 256}
        yield row, partial(loading.masks_per_second, kind, 256, pairs)
    yield {"benchmark": "masks: test set", "batch": 12_000, "size": 512}, loading.mask_test_set
    for size in (512, 1024):
        row = {"benchmark": "loading: usual / ours", "batch": 1, "size": size}
        yield row, partial(loading.loading, size, pairs)
    for size in (512, 1024, 2048):
        row = {**step, "benchmark": "one photograph", "phase": "inference"}
        row |= {"batch": 1, "size": size}
        yield row, partial(networks.one_photograph, device, size, pairs)
    if device.type == "cpu":
        row = {"phase": "training", **side_by_side.SETTINGS}
        for name, *how in SIDE_BY_SIDE:
            row["benchmark"] = f"two trainings at once / alone: {name}"
            yield dict(row), partial(side_by_side.side_by_side, min(pairs, 3), *how)
