"""The test set written down: every crop and mask of it, and how to know them again."""

import hashlib
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from pconv_core.masks import LAMA, PAPER_LIKE
from pconv_core.study.run import Study

NAME = "07_test_set"
MOST_ROWS = 5  # that a comparison names


def build(study: Study) -> pd.DataFrame:
    """List the crops and masks that chapter 7 measures every method on.

    Returns
    -------
    DataFrame
        A row a sample, in the order of evaluation: kind of mask, hole_ratio (the bin, or
        0-0.5 of kinds without bins) and border; photograph, its name within its source; share,
        down, right and mirrored (`data.Cut`); mask_number and seed, which the mask is a pure
        function of; ratio, the exact hole ratio; picture_sha256, of the crop's bytes (size, size,
        3), RGB from 0 to 255; mask_sha256, of the mask's bytes (size, size), 1 = known.  All of
        them text, numbers with every digit.
    """
    rows = []
    cells = (study.evaluation_cells(study.profile.size, kind) for kind in (*PAPER_LIKE, *LAMA))
    for (lo, hi), border, samples, numbers in chain.from_iterable(cells):
        for number in numbers:
            index, cut = samples.origin(number)
            image, mask = samples[number]
            rows.append(
                {
                    "kind": samples.kind,
                    "hole_ratio": f"{lo}-{hi}",
                    "border": border,
                    "photograph": samples.photos.label(index),
                    **cut._asdict(),
                    "mask_number": number,
                    "seed": samples.seed,
                    "ratio": 1 - mask.double().mean().item(),
                    "picture_sha256": _sha256(image * 255),
                    "mask_sha256": _sha256(mask),
                }
            )
    return pd.DataFrame(rows).map(str)


def write(study: Study) -> pd.DataFrame:
    """Write the manifest as a table of the run, and return it."""
    return study.save_table(build(study), NAME, trained=False)


def check(study: Study) -> str:
    """Compare the manifest that this run wrote with the committed one, digit for digit.

    Decoders of JPEG and resizing may round otherwise on another machine.  So pictures that differ
    in their SHA-256 alone, not in where they were cut, are a note and no error.

    Returns
    -------
    str
        One line: "agree", or which rows differ and in what.
    """
    new = _read(study.output / "tables" / f"{NAME}.csv")
    path = study.reference / "tables" / f"{NAME}.csv"
    if study.profile.compare_with == "itself":
        return compare(new, new)
    if not path.is_file():
        return f"{NAME}: there is no committed table to compare with"
    return compare(new, _read(path))


def compare(new: pd.DataFrame, old: pd.DataFrame) -> str:
    """Say in one line which rows of two manifests differ; see `check`."""
    if list(new.columns) != list(old.columns):
        return f"{NAME}: DIFFERS in its columns from the committed table"
    if len(new) != len(old):
        return f"{NAME}: DIFFERS: {len(new)} rows, the committed table has {len(old)}"
    unequal = new.ne(old)
    pictures = unequal.pop("picture_sha256")
    if unequal.any(axis=None):
        columns = ", ".join(unequal.columns[unequal.any()])
        return f"{NAME}: DIFFERS in {columns} of {_listed(unequal.any(axis=1))}"
    line = f"{NAME}: {len(new)} rows agree with the committed table"
    if pictures.any():
        line += f"; a note: the pictures were decoded to other bytes in {_listed(pictures)}"
    return line


def _listed(differs: pd.Series) -> str:
    """Name the first rows that differ, counted from 0, and the number of all."""
    rows = [str(row) for row in np.flatnonzero(differs)]
    more = ", ..." if len(rows) > MOST_ROWS else ""
    return f"{len(rows)} of {len(differs)} rows: {', '.join(rows[:MOST_ROWS])}{more}"


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _sha256(values: Tensor) -> str:
    """SHA-256 of a (C, H, W) tensor of whole numbers from 0 to 255, as bytes (H, W, C)."""
    pixels = values.round().byte().permute(1, 2, 0).contiguous()
    return hashlib.sha256(pixels.numpy().tobytes()).hexdigest()
