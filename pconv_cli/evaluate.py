"""PSNR, SSIM, L1 and a perceptual distance of a network on photographs and masks.

The mask of a.jpg is a.png, whatever the ending, a.jpg.png, a_mask.png or a_mask001.png, in a
subfolder of the same name if the photograph is in one; or one mask is for all.  What has no mask,
or cannot be used, is left out, named and counted; the exit code is 2 then.  Holes wider than those
of training are filled coarse to fine, as `inpaint` does.  Beside FILE.csv, a row a photograph, goes
FILE_means.csv: the means by bin of hole ratio and over all, and of how many photographs.
"""

from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm import tqdm

from pconv_cli import errors, files, options, texture
from pconv_core import photos
from pconv_core.masks import BINS
from pconv_core.writing import whole

if TYPE_CHECKING:
    from pandas import DataFrame

_COLUMNS = """Columns.  picture, mask: the files.  halvings: how often the photograph was halved to
fill a wide hole coarse to fine; 0 is one pass.  hole_ratio: the bin, lo-hi.  ratio: the share of
hole pixels.  psnr in dB, at most 100; ssim; l1, the mean difference in percent of the range: of
I_comp, whose known pixels are the photograph's.  lite0: the distance of I_comp from the photograph
by unit-normalised features of EfficientNet-Lite0, without calibration; lower is better.
psnr_hole, ssim_hole, l1_hole: of the hole alone.  psnr_edge: of its pixels at most 4 pixels from a
known one; psnr_inside: of the others, empty where there are none.  psnr_out, ssim_out, l1_out: of
I_out, the network's output all over, without texture.  In FILE_means.csv, pictures: how many."""


def add(command) -> None:
    """Add the options."""
    options.add(command)
    option = command.add_argument
    option("--images", required=True, type=Path, metavar="DIR", help="photographs without holes")
    masks = "mask pictures, or one for all"
    option("--masks", required=True, type=Path, metavar="FILE|DIR", help=masks)
    option(
        "--pair",
        choices=("name", "order"),
        default="name",
        help="order: photographs and masks are paired in the order of their names instead, 2 "
        "before 10, and masks used again if there are fewer (default name)",
    )
    square = "cut the middle square of each photograph and mask and shrink it to this (default: "
    square += "what the mask shows, at its size)"
    option("--size", type=int, help=square)
    larger = "enlarge what is smaller (default: leave it out)"
    option("--enlarge", action="store_true", help=larger)
    texture.add(command)
    option("--out", required=True, type=Path, metavar="FILE.csv", help="the table")
    options.add_overwrite(command)
    command.epilog = _COLUMNS


def run(given) -> None:
    """Write the tables."""
    # Imported here: --help should not wait for it.
    import pandas as pd

    options.check(given, size=32)
    texture.check(given.texture)
    if given.out.suffix.lower() != ".csv":
        raise ValueError(f"--out is {given.out}; it should end in .csv")
    out_means = given.out.with_name(f"{given.out.stem}_means{given.out.suffix}")
    options.check_results([given.out, out_means], given.overwrite)
    images = [p for p in files.pictures(given.images) if not _is_below(p, given)]
    images, beside = files.parted(images)
    if beside:
        errors.say("note", f"{len(beside)} pictures are masks by their names")
    pairs, left_out = _pairs(given, images)
    net = options.network(given)
    rows = []
    for path, mask in tqdm(pairs, desc="evaluate", unit="picture", leave=False):
        with errors.left_out(path, left_out):
            rows.append(_measure(net, given, path, mask))
    for message in left_out:
        errors.say("left out", message)
    if rows:
        _write(pd.DataFrame(rows), given.out, out_means)
    if left_out:
        raise ValueError(f"{len(left_out)} of {len(images)} pictures were left out, see above")


def _is_below(path: Path, given) -> bool:
    """Whether a picture is one of the masks, whose folder may lie among the photographs."""
    return given.masks != given.images and path.is_relative_to(given.masks)


def _pairs(given, images: list[Path]) -> tuple[list[tuple[Path, Path]], list[str]]:
    """List what is measured, (photograph, mask), and say of each other one why it is not."""
    if given.pair == "order" and given.masks.is_dir():
        return list(zip(images, cycle(files.pictures(given.masks)), strict=False)), []
    masks, pairs, left_out = files.Masks(given.masks), [], []
    for image in images:
        try:
            pairs.append((image, masks.of(image, given.images)))
        except ValueError as error:
            left_out.append(str(error))
    if not pairs:
        raise ValueError(
            f"{left_out[0]}, nor for any other picture; masks should bear the pictures' names, or "
            "be paired with them in order: --pair order"
        )
    return pairs, left_out


def _write(table: "DataFrame", out: Path, out_means: Path) -> None:
    means = _means(table)
    for rows, path in ((table, out), (means, out_means)):
        with whole(path) as unfinished:
            # Names that are not UTF-8 as they are.
            rows.to_csv(unfinished, index=False, float_format="%.4f", errors="surrogateescape")
    mean = means.iloc[-1]
    print(
        f"{len(table)} pictures: I_comp {mean['psnr']:.2f} dB, SSIM {mean['ssim']:.3f}, "
        f"L1 {mean['l1']:.2f} %, Lite0 distance {mean['lite0']:.3f}; "
        f"I_out {mean['psnr_out']:.2f} dB; all in {out}, means in {out_means}"
    )


def _measure(net, given, path: Path, mask: Path) -> dict:
    import torch

    from pconv_core import evaluation, inpainting

    hole = photos.read_hole(mask, None, given.mask_hole)
    shape = (given.size, given.size) if given.size else hole.shape
    truth = _fitted(photos.read(path).rgb(), shape, path, given.enlarge)
    hole = _fitted(hole, shape, mask, given.enlarge)
    if hole.all() or not hole.any():
        raise ValueError(f"mask {mask} is {'all' if hole.all() else 'no'} hole")
    out = inpainting.coarse_to_fine(net, truth, hole)
    options.check_numbers(out, given.checkpoint, path)
    comp = texture.textured(np.where(hole[..., None], out, truth), hole, given.texture)
    comps, truths = (torch.from_numpy(a.transpose(2, 0, 1))[None] for a in (comp, truth))
    distance = evaluation.lite0_distance(comps, truths).item()
    ratio = float(hole.mean())
    return {
        "picture": path.relative_to(given.images).as_posix(),
        "mask": mask.relative_to(given.masks).as_posix() if given.masks.is_dir() else mask.name,
        "halvings": inpainting.halvings(net, hole),
        "hole_ratio": next((f"{lo}-{hi}" for lo, hi in BINS if lo < ratio <= hi), "other"),
        "ratio": ratio,
        **evaluation.picture_row(out, comp, truth, hole, distance),
    }


def _fitted(pixels: np.ndarray, shape: tuple[int, int], path: Path, enlarge: bool) -> np.ndarray:
    """Cut the largest middle part of the wanted proportions and resize it, a picture or a hole."""
    height, width = pixels.shape[:2]
    if (height, width) == shape:
        return pixels
    scale = min(height / shape[0], width / shape[1])
    if scale < 1 and not enlarge:
        raise ValueError(
            f"{path} is {height}x{width}, smaller than {shape[0]}x{shape[1]} (height x width); "
            "--enlarge takes it all the same"
        )
    tall, broad = (max(1, round(scale * side)) for side in shape)
    top, left = (height - tall) // 2, (width - broad) // 2
    part = np.ascontiguousarray(pixels[top : top + tall, left : left + broad])
    if part.dtype == bool:
        return photos.resized_hole(part, shape)
    method = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    return cv2.resize(part, shape[::-1], interpolation=method)


def _means(table: "DataFrame") -> "DataFrame":
    """Average over each bin of hole ratio, then over all; `pictures` says how many."""
    import pandas as pd

    numbers = list(table.columns[table.columns.get_loc("ratio") :])
    groups = pd.concat([table, table.assign(hole_ratio="all")]).groupby("hole_ratio", sort=False)
    means = groups[numbers].mean()
    means.insert(0, "pictures", groups.size())
    order = [f"{lo}-{hi}" for lo, hi in BINS] + ["other", "all"]
    return means.reindex([name for name in order if name in means.index]).reset_index()
