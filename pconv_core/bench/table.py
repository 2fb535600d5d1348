"""The benchmark's table: what the mask costs, and how fast masks, photographs and pictures are.

Two sides are timed in one process, taking turns, so that whatever else the machine does falls on
both.  A row holds the medians, and the median and quartiles of the ratios of the pairs.
"""

import re
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from pconv_core import hardware
from pconv_core.bench import loading
from pconv_core.bench.networks import (
    LEVELS,
    Cell,
    compare_networks,
    one_photograph,
    step_with_loss,
    vgg_passes,
)
from pconv_core.training import PRECISIONS

PAIRS = 7
_MEASURED = ("seconds", "seconds_low", "seconds_high", "reference_seconds", "ratio", "ratio_low")
_MEASURED += ("ratio_high", "pairs", "memory_mib", "reference_memory_mib", "images_per_second")
_MEASURED += ("note",)
_NO_TIME = "not measured: no time left"
_ONE_VALUE = "impossible: batch norm cannot train on one value a channel"


def machine_name(device: torch.device) -> str:
    """Name of the machine as a file name: `cpu-amd-epyc-2-threads`."""
    machine = hardware.describe(device).rpartition(", torch")[0]
    return re.sub(r"[^a-z0-9]+", "-", f"{device.type} {machine}".lower()).strip("-")


def run(
    out: Path, minutes: float = 20, pairs: int = PAIRS, only: str = "", missing: bool = False
) -> Path:
    """Measure all there is time for and write MACHINE.csv.

    Parameters
    ----------
    out : Path
        Folder.
    minutes : float
        What would start later is listed as not measured.
    pairs : int
        How often each side is timed.
    only : str
        Measure the rows again whose benchmark begins so; the table's other rows stay.
    missing : bool
        Measure what an earlier run had no time for; the other rows stay.

    Returns
    -------
    Path
        Of the table.

    Raises
    ------
    ValueError
        If no benchmark begins so, or this machine has no table yet to renew rows in.
    """
    device = hardware.device()
    deadline = time.monotonic() + 60 * minutes
    rows = []
    path = out / f"{machine_name(device)}.csv"
    tasks = list(_tasks(device, pairs))
    chosen = [place for place, (s, _) in enumerate(tasks) if s["benchmark"].startswith(only)]
    old = pd.read_csv(path) if (only or missing) and path.is_file() else None
    if missing and old is not None:
        chosen = [place for place in chosen if old["note"][place] == _NO_TIME]
        if not chosen:
            return path
    if not chosen or (old is None and (only or missing)):
        raise ValueError(
            f"no row of {path} begins with {only!r}; it should be one of "
            f"{', '.join(dict.fromkeys(s['benchmark'] for s, _ in tasks))}, all measured before"
        )
    tasks = [tasks[place] for place in chosen]
    with tqdm(tasks, desc="benchmark", unit="row", leave=False) as progress:
        for settings, measure in progress:
            progress.set_postfix_str(" ".join(str(v) for v in settings.values())[:60])
            if time.monotonic() > deadline:
                rows.append({**settings, "note": _NO_TIME})
            elif _one_value(settings):
                rows.append({**settings, "note": _ONE_VALUE})
            else:
                rows.append({**settings, **measure()})
    table = pd.DataFrame(rows)
    settings = [name for name in table if name not in _MEASURED]
    table = table.reindex(columns=[*settings, *_MEASURED])
    table.insert(0, "machine", hardware.describe(device))
    if old is not None:
        table = table.set_axis(chosen).reindex(columns=old.columns)
        table = pd.concat([old.drop(index=chosen), table]).sort_index()
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.5g")
    return path


def _tasks(device: torch.device, pairs: int) -> Iterator[tuple[dict, Callable[[], dict]]]:
    """Yield the rows to be measured: their settings and what measures them, most wanted first."""
    yield from _comparisons(_main_cells(device), device, pairs)
    yield from _other_tasks(device, pairs)
    yield from _comparisons(_grid(device), device, pairs)


def _comparisons(cells: Iterator[Cell], device, pairs) -> Iterator[tuple[dict, Callable]]:
    for cell in cells:
        settings = {"benchmark": cell.benchmark, **vars(cell)}
        yield settings, lambda cell=cell: compare_networks(cell, device, pairs)


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
    step = {"batch": 4, "size": 256, "base_channels": 64, "precision": "float32"}
    yield (
        {"benchmark": "step with loss / without", "phase": "training", **step},
        lambda: step_with_loss(device, pairs, **step),
    )
    yield (
        {"benchmark": "VGG as usual / ours", "phase": "training", "batch": 4, "size": 256},
        lambda: vgg_passes(device, pairs, 4, 256),
    )
    for kind in ("strokes", "occlusion"):
        settings = {"benchmark": f"masks: {kind}", "batch": 1, "size": 256}
        yield settings, lambda kind=kind: loading.masks_per_second(kind, 256, pairs)
    yield {"benchmark": "masks: test set", "batch": 12_000, "size": 512}, loading.mask_test_set
    for size in (512, 1024):
        settings = {"benchmark": "loading: usual / ours", "batch": 1, "size": size}
        yield settings, lambda size=size: loading.loading(size, pairs)
    for size in (512, 1024, 2048):
        settings = {"benchmark": "one photograph", "phase": "inference", "batch": 1, "size": size}
        yield (
            {**settings, "base_channels": 64, "precision": "float32"},
            lambda size=size: one_photograph(device, size, pairs),
        )
