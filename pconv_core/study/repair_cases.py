"""What people repair most, against Telea: thin lines, squares up to 800 pixels, a plain surface.

python -m pconv_core.study.repair_cases --out FILE.csv [--checkpoint FILE] [--cases lines ...]

Photographs that installed packages carry, none of which the shipped weights were trained on.  PSNR
is that of the hole alone.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from pconv_core import data, evaluation, inpainting
from pconv_core.files import weights
from pconv_core.files.writing import whole
from pconv_core.masks.seeding import generator
from pconv_core.models import IMAGENET_MEAN

CASES = ("lines", "squares", "plain")
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png")
LINE_SIZES = (256, 512)  # sides of the pictures with lines
LINE_WIDTHS = (1, 2, 3, 5, 8)
LARGE = (1500, 2000)  # height and width of the pictures with squares
SQUARES = (50, 100, 200, 400, 800)  # their sides
PLACES = 2  # of each square in each photograph
PLATE = 256  # side of the plain surfaces
PLAIN_HOLE = 40  # side of the square in them
PLAIN_COLOURS = {"red": (0.72, 0.10, 0.08), "blue": (0.35, 0.55, 0.85), "dark": (0.10, 0.10, 0.12)}
_LINES = 12  # in a picture, every second one curved
_POINTS = 24  # along a curved line
_BEND = 0.25  # radians, standard deviation of its turn at each of them
_GRADIENT = 0.06  # of a plain surface, from one side to the other
_NOISE = 1 / 255  # standard deviation
_GREY = 1 / 255  # as near to the ImageNet mean in all channels counts as that colour


class Case(NamedTuple):
    """A picture (H, W, 3), RGB in [0, 1], float32, its hole, and what the table says of them."""

    case: str
    picture: str
    size: int  # the shorter side
    hole_size: int  # width of the lines, side of the square
    rgb: np.ndarray
    hole: np.ndarray


def cases(kinds: Sequence[str] = CASES, seed: int = 0) -> Iterator[Case]:
    """Draw the cases of these kinds, the same for every method."""
    drawn = {"lines": _lines, "squares": _squares, "plain": _plain}
    for kind in kinds:
        yield from drawn[kind](seed)


def run(net, kinds: Sequence[str] = CASES, seed: int = 0) -> pd.DataFrame:
    """Repair all cases by a network and by Telea's method.

    Returns
    -------
    DataFrame
        A row a picture: case, picture, size, hole_size, hole_pixels, psnr and telea, both in dB
        over the hole, and grey, the hole's pixels that were left at the ImageNet mean; see
        `grey_pixels`.
    """
    rows = []
    for case in tqdm(cases(kinds, seed), desc="repair", unit="picture", leave=False):
        filled = inpainting.inpaint(net, case.rgb, case.hole)
        image = torch.from_numpy(case.rgb.transpose(2, 0, 1))[None]
        mask = torch.from_numpy(~case.hole).float()[None, None]
        telea = evaluation.telea(image, mask)[0].permute(1, 2, 0).numpy()
        found, truth = filled[case.hole], case.rgb[case.hole]
        rows.append(
            {
                **{name: getattr(case, name) for name in Case._fields[:4]},
                "hole_pixels": len(found),
                "psnr": evaluation.psnr(found, truth),
                "telea": evaluation.psnr(telea[case.hole], truth),
                "grey": grey_pixels(filled, case.hole),
            }
        )
    return pd.DataFrame(rows)


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean of each case and hole size over the pictures, and how often Telea was reached."""
    table = table.assign(reached=table["psnr"] >= table["telea"], pictures=1)
    how = {"pictures": "sum", "psnr": "mean", "telea": "mean", "reached": "sum", "grey": "sum"}
    return table.groupby(["case", "hole_size"], sort=False).agg(how).reset_index()


def grey_pixels(filled: np.ndarray, hole: np.ndarray) -> int:
    """Count the hole's pixels of the ImageNet mean's colour, with all their neighbours in it.

    That is what a network leaves where it reaches nothing known.  A single pixel of that colour may
    lie on the way from one colour to another.
    """
    grey = hole & (np.abs(filled - IMAGENET_MEAN) < _GREY).all(axis=2)
    return int(cv2.erode(grey.astype(np.uint8), np.ones((3, 3), np.uint8)).sum())


def photograph(name: str, size: tuple[int, int]) -> np.ndarray:
    """The middle of a photograph, resized: areas are averaged, what is smaller enlarged cubic."""
    sources = {
        p.path(i).name: (p, i) for p in map(data.embedded, ("train", "test")) for i in range(len(p))
    }
    photos, index = sources[name]
    photo = photos[index]
    scale = min(photo.shape[0] / size[0], photo.shape[1] / size[1])
    tall, broad = (round(scale * side) for side in size)
    top, left = (photo.shape[0] - tall) // 2, (photo.shape[1] - broad) // 2
    part = np.ascontiguousarray(photo[top : top + tall, left : left + broad])
    method = cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC
    return cv2.resize(part, size[::-1], interpolation=method).astype(np.float32) / 255


def _lines(seed: int) -> Iterator[Case]:
    for number, name in enumerate(PHOTOGRAPHS):
        for size in LINE_SIZES:
            rgb = photograph(name, (size, size))
            for width in LINE_WIDTHS:
                rng = generator(seed, number, "thin")  # the same lines at every size and width
                yield Case("lines", name, size, width, rgb, _line_hole(size, width, rng))


def _line_hole(size: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Straight and curved lines across a square, drawn without smoothing."""
    canvas = np.zeros((size, size), dtype=np.uint8)
    for number in range(_LINES):
        start, heading, length = rng.random(2), rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.9)
        turns = rng.normal(0, _BEND, _POINTS) * (number % 2)
        angles = heading + np.cumsum(turns)
        steps = np.stack([np.cos(angles), np.sin(angles)], axis=1) * length / _POINTS
        path = np.rint((start + np.cumsum(steps, axis=0)) * size).astype(np.int32)
        cv2.polylines(canvas, [path], False, 1, width)
    return canvas > 0


def _squares(seed: int) -> Iterator[Case]:
    height, width = LARGE
    for number, name in enumerate(PHOTOGRAPHS):
        rgb = photograph(name, LARGE)
        for place in range(PLACES):
            down, right = generator(seed, number * PLACES + place, "mask").random(2)
            for side in SQUARES:
                hole = np.zeros(LARGE, dtype=bool)
                top, left = round(down * (height - side)), round(right * (width - side))
                hole[top : top + side, left : left + side] = True
                yield Case("squares", name, height, side, rgb, hole)


def _plain(seed: int) -> Iterator[Case]:
    across = np.linspace(-0.5, 0.5, PLATE, dtype=np.float32)[None, :, None]
    hole = np.zeros((PLATE, PLATE), dtype=bool)
    start = (PLATE - PLAIN_HOLE) // 2
    hole[start : start + PLAIN_HOLE, start : start + PLAIN_HOLE] = True
    for number, (name, colour) in enumerate(PLAIN_COLOURS.items()):
        noise = generator(seed, number, "mask").normal(0, _NOISE, (PLATE, PLATE, 3))
        rgb = np.clip(np.array(colour) + _GRADIENT * across + noise, 0, 1).astype(np.float32)
        yield Case("plain", f"{name} plate", PLATE, PLAIN_HOLE, rgb, hole)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table and print its means."""
    parser = argparse.ArgumentParser(prog="python -m pconv_core.study.repair_cases")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.csv")
    parser.add_argument("--checkpoint", type=Path, default=weights.SHIPPED, metavar="FILE")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    try:
        net = weights.load_network(given.checkpoint).folded()
        table = run(net, given.cases, given.seed)
        with whole(given.out) as unfinished:
            table.to_csv(unfinished, index=False, float_format="%.2f")
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(means(table).round(2).to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
