"""Sets of masks on disk: 1-bit PNG files and an index, among them the paper's test set."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from pconv_core.masks.irregular import BINS, KINDS, hole_ratio, random_mask

INDEX = "index.csv"
PAPER_PER_CELL = 1000  # masks of each bin, with border and without


class MaskFile(NamedTuple):
    """One mask to be drawn: the arguments of `masks.random_mask` and its place in the set."""

    path: str  # relative to the folder of the set
    size: int
    lo: float
    hi: float
    border: bool
    seed: int
    number: int
    kind: str


def paper_test_set(
    seed: int, size: int = 512, per_cell: int = PAPER_PER_CELL, kind: str = KINDS[0]
) -> list[MaskFile]:
    """List the paper's test set: `per_cell` masks of size x size a bin, with and without border."""
    entries = []
    for lo, hi in BINS:
        for border in (True, False):
            folder = f"{lo}-{hi}_{'border' if border else 'no_border'}"
            for k in range(per_cell):
                path, number = f"{folder}/{k:05d}.png", len(entries)
                entries.append(MaskFile(path, size, lo, hi, border, seed, number, kind))
    return entries


def uniform_set(
    count: int, size: int, ratio: tuple[float, float], border: bool, seed: int, kind: str
) -> list[MaskFile]:
    """List `count` masks with hole ratios from one interval; arguments as `masks.random_mask`."""
    return [MaskFile(f"{k:06d}.png", size, *ratio, border, seed, k, kind) for k in range(count)]


def write(entries: list[MaskFile], out: str | Path, processes: int | None = None) -> pd.DataFrame:
    """Draw the masks of a list and write them: white = known, black = hole.

    The set appears whole or not at all: it is written beside `out`, a folder that is new or
    empty, and renamed at the end.  The files do not depend on how many processes draw them; as
    many as there are cores if not told.

    Returns
    -------
    DataFrame
        The index, also written as index.csv: file, bin, border, ratio (share of hole pixels).

    Raises
    ------
    ValueError
        If `out` holds something already, or a mask of the list cannot be.
    """
    out = Path(out).resolve()
    if out.is_file():
        raise ValueError(f"{out} is a file; masks should go into a new folder")
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} exists and is not empty; masks should go into a new folder")
    if not entries:
        raise ValueError("the set has 0 masks; it should have at least 1")
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        for folder in {Path(e.path).parent for e in entries}:
            (unfinished / folder).mkdir(parents=True, exist_ok=True)
        rows = list(_draw_all(entries, unfinished, processes or os.cpu_count() or 1))
        index = pd.DataFrame(rows, columns=["file", "bin", "border", "ratio"])
        index.to_csv(unfinished / INDEX, index=False, float_format="%.6f")
        os.replace(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return index


def _draw_all(entries: list[MaskFile], folder: Path, processes: int) -> Iterator[tuple]:
    """Yield a row of the index for each mask, in order, as they are written."""
    progress = {"total": len(entries), "desc": "masks", "unit": "mask", "leave": False}
    if processes == 1:
        yield from tqdm(map(_draw_one, entries, repeat(folder)), **progress)
        return
    # Spawned, not forked: a fork would copy the locks of OpenCV's and torch's threads.
    with ProcessPoolExecutor(processes, get_context("spawn"), cv2.setNumThreads, (1,)) as pool:
        yield from tqdm(pool.map(_draw_one, entries, repeat(folder), chunksize=64), **progress)


def _draw_one(entry: MaskFile, folder: Path) -> tuple[str, str, bool, float]:
    path, size, lo, hi, *others = entry
    mask = random_mask(size, (lo, hi), *others)
    encoded, png = cv2.imencode(".png", mask.astype(np.uint8), [cv2.IMWRITE_PNG_BILEVEL, 1])
    assert encoded
    (folder / path).write_bytes(png.tobytes())
    return path, f"{lo}-{hi}", entry.border, hole_ratio(mask)
