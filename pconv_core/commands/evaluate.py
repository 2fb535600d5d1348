"""PSNR, SSIM, L1 and a perceptual distance of a network on photographs and masks.

Measure I_comp, its hole alone (_hole) and I_out (_out) of each photograph with each its mask, and
their means by bin of hole ratio and over all.  lite0 is the distance of I_comp from the photograph
by unit-normalised features of EfficientNet-Lite0, without calibration; lower is better.
Photographs and masks are paired in the order of their names; masks are used again if there are
fewer.
"""

from itertools import cycle
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from pconv_core import evaluation, inpainting
from pconv_core.commands import options
from pconv_core.files import listing, pictures
from pconv_core.files.writing import whole
from pconv_core.masks import BINS


def add(command) -> None:
    """Add the options."""
    options.add(command)
    option = command.add_argument
    option("--images", required=True, type=Path, metavar="DIR")
    option("--masks", required=True, type=Path, metavar="DIR")
    option(
        "--size",
        type=int,
        help="cut the middle square of each photograph and resize it to "
        "this (default: the size of its mask)",
    )
    option("--out", required=True, type=Path, metavar="FILE.csv")


def run(given) -> None:
    """Write the table."""
    options.check(given, size=32)
    if given.out.suffix.lower() != ".csv":
        raise ValueError(f"--out is {given.out}; it should end in .csv")
    images, masks = listing.pictures(given.images), cycle(listing.pictures(given.masks))
    net = options.network(given)
    rows = []
    for path in tqdm(images, desc="evaluate", unit="picture", leave=False):
        rows.append(_measure(net, given, path, next(masks)))
    table = _with_means(pd.DataFrame(rows))
    with whole(given.out) as unfinished:
        table.to_csv(unfinished, index=False, float_format="%.4f")
    mean = table.iloc[-1]
    print(
        f"{len(rows)} pictures: I_comp {mean['psnr']:.2f} dB, SSIM {mean['ssim']:.3f}, "
        f"L1 {mean['l1']:.2f} %, Lite0 distance {mean['lite0']:.3f}; "
        f"I_out {mean['psnr_out']:.2f} dB; all in {given.out}"
    )


def _measure(net, given, path: Path, mask: Path) -> dict:
    hole = pictures.read_hole(mask, None, given.mask_hole)
    shape = (given.size, given.size) if given.size else hole.shape
    truth = _fitted(pictures.read(path).rgb(), shape)
    hole = _fitted(hole.astype(np.uint8), shape) > 0
    if hole.all() or not hole.any():
        raise ValueError(f"mask {mask} is {'all' if hole.all() else 'no'} hole")
    out = inpainting.fill(net, truth, hole)
    inpainting.check_numbers(out, given.checkpoint, path)
    comp = np.where(hole[..., None], out, truth)
    comps, truths = (torch.from_numpy(a.transpose(2, 0, 1))[None] for a in (comp, truth))
    distance = evaluation.lite0_distance(comps, truths).item()
    ratio = float(hole.mean())
    return {
        "row": "picture",
        "picture": path.name,
        "mask": mask.name,
        "hole_ratio": next((f"{lo}-{hi}" for lo, hi in BINS if lo < ratio <= hi), "other"),
        "ratio": ratio,
        **evaluation.picture_row(out, comp, truth, hole, distance),
    }


def _fitted(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Cut the largest middle part of the wanted proportions and resize it, masks to 0 and 1."""
    height, width = pixels.shape[:2]
    if (height, width) == shape:
        return pixels
    scale = min(height / shape[0], width / shape[1])
    tall, broad = (max(1, round(scale * side)) for side in shape)
    top, left = (height - tall) // 2, (width - broad) // 2
    part = np.ascontiguousarray(pixels[top : top + tall, left : left + broad])
    smooth = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    method = cv2.INTER_NEAREST if pixels.ndim == 2 else smooth
    return cv2.resize(part, shape[::-1], interpolation=method)


def _with_means(table: pd.DataFrame) -> pd.DataFrame:
    """Append the means of each bin of hole ratio, then the mean of all."""
    numbers = list(table.columns[table.columns.get_loc("ratio") :])
    bins = table.groupby("hole_ratio", as_index=False)[numbers].mean().assign(row="bin")
    everything = table[numbers].mean().to_frame().T.assign(row="all", hole_ratio="all")
    return pd.concat([table, bins, everything], ignore_index=True)
