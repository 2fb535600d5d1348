"""What people repair most, against Telea: thin lines, squares up to 800 pixels, a plain surface.

python -m pconv_study.repair_cases [--out FILE.csv]: the shipped weights on photographs that
installed packages carry, none of which they were trained on.
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

from pconv_core import data, evaluation, inpainting, weights
from pconv_core.baselines import BASELINES
from pconv_core.seeding import generator
from pconv_core.writing import whole

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png")
LINE_SIZES = (256, 512)  # sides of the pictures with lines
LINE_WIDTHS = (1, 2, 3, 5, 8)
LARGE = (1500, 2000)  # height and width of the pictures with squares
SQUARES = (50, 100, 200, 400, 800)  # their sides
PLACES = 2  # of each square in each photograph
PLATE, PLAIN_HOLE = 256, 40  # sides of the plain surfaces and of the square in them
PLAIN_COLOURS = {"red": (0.72, 0.10, 0.08), "blue": (0.35, 0.55, 0.85), "dark": (0.10, 0.10, 0.12)}
_GRADIENT, _NOISE = 0.06, 1 / 255  # of a plain surface, from side to side; standard deviation
_LINES, _POINTS = 12, 24  # in a picture, every second one curved; points along each
_BEND = 0.25  # radians, standard deviation of a line's turn at each point


class Case(NamedTuple):
    """A picture (H, W, 3), RGB in [0, 1], float32, its hole, and what the table says of them."""

    case: str
    picture: str
    size: int  # the shorter side
    hole_size: int  # width of the lines, side of the square
    rgb: np.ndarray
    hole: np.ndarray


def run(net, cases: Iterator[Case]) -> pd.DataFrame:
    """Repair cases by a network and by Telea's method.

    Returns
    -------
    DataFrame
        A row a picture: case, picture, size, hole_size, hole_pixels, psnr and telea, both in dB
        over the hole.
    """
    rows = []
    for case in tqdm(cases, desc="repair", unit="picture", leave=False):
        filled = inpainting.inpaint(net, case.rgb, case.hole)
        image = torch.from_numpy(case.rgb.transpose(2, 0, 1))[None]
        mask = torch.from_numpy(~case.hole).float()[None, None]
        telea = BASELINES["Telea"](image, mask)[0].permute(1, 2, 0).numpy()
        truth, row = case.rgb[case.hole], dict(zip(Case._fields[:4], case[:4], strict=True))
        row |= {"hole_pixels": len(truth), "psnr": evaluation.psnr(filled[case.hole], truth)}
        rows.append(row | {"telea": evaluation.psnr(telea[case.hole], truth)})
    return pd.DataFrame(rows)


def photograph(name: str, size: tuple[int, int]) -> np.ndarray:
    """The middle of a photograph, resized: areas are averaged, what is smaller enlarged cubic."""
    photo = next(
        photos[k]
        for photos in map(data.embedded, ("train", "test"))
        for k in range(len(photos))
        if photos.path(k).name == name
    )
    scale = min(photo.shape[0] / size[0], photo.shape[1] / size[1])
    tall, broad = (round(scale * side) for side in size)
    top, left = (photo.shape[0] - tall) // 2, (photo.shape[1] - broad) // 2
    part = np.ascontiguousarray(photo[top : top + tall, left : left + broad])
    method = cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC
    return cv2.resize(part, size[::-1], interpolation=method).astype(np.float32) / 255


def lines(seed: int = 0) -> Iterator[Case]:
    """Straight and curved lines, the same at every size and width, drawn without smoothing."""
    for number, name in enumerate(PHOTOGRAPHS):
        for size in LINE_SIZES:
            for width in LINE_WIDTHS:
                rng = generator(seed, number, "thin")
                canvas = np.zeros((size, size), dtype=np.uint8)
                for line in range(_LINES):
                    start, heading = rng.random(2), rng.uniform(0, 2 * np.pi)
                    length, turns = rng.uniform(0.3, 0.9), rng.normal(0, _BEND, _POINTS)
                    angles = heading + np.cumsum(turns * (line % 2))
                    steps = np.stack([np.cos(angles), np.sin(angles)], axis=1) * length / _POINTS
                    path = np.rint((start + np.cumsum(steps, axis=0)) * size).astype(np.int32)
                    cv2.polylines(canvas, [path], False, 1, width)
                yield Case("lines", name, size, width, photograph(name, (size, size)), canvas > 0)


def squares(seed: int = 0) -> Iterator[Case]:
    """Squares of every size at two places of every photograph."""
    height, width = LARGE
    for number, name in enumerate(PHOTOGRAPHS):
        for place in range(PLACES):
            down, right = generator(seed, number * PLACES + place, "mask").random(2)
            for side in SQUARES:
                hole = np.zeros(LARGE, dtype=bool)
                top, left = round(down * (height - side)), round(right * (width - side))
                hole[top : top + side, left : left + side] = True
                yield Case("squares", name, height, side, photograph(name, LARGE), hole)


def plain(seed: int = 0) -> Iterator[Case]:
    """A square in a plain surface, a little brighter from side to side, with noise."""
    across = np.linspace(-0.5, 0.5, PLATE, dtype=np.float32)[None, :, None]
    hole = np.zeros((PLATE, PLATE), dtype=bool)
    inside = slice((PLATE - PLAIN_HOLE) // 2, (PLATE + PLAIN_HOLE) // 2)
    hole[inside, inside] = True
    for number, (name, colour) in enumerate(PLAIN_COLOURS.items()):
        noise = generator(seed, number, "mask").normal(0, _NOISE, (PLATE, PLATE, 3))
        rgb = np.clip(np.array(colour) + _GRADIENT * across + noise, 0, 1).astype(np.float32)
        yield Case("plain", f"{name} plate", PLATE, PLAIN_HOLE, rgb, hole)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table of the shipped weights, and print its means."""
    parser = argparse.ArgumentParser(prog="python -m pconv_study.repair_cases")
    out = Path("results/shipped/tables/repair_cases.csv")
    parser.add_argument("--out", default=out, type=Path, metavar="FILE.csv")
    given = parser.parse_args(arguments)
    net = weights.load("shipped").folded()
    table = pd.concat([run(net, cases()) for cases in (lines, squares, plain)])
    with whole(given.out) as unfinished:
        table.to_csv(unfinished, index=False, float_format="%.2f")
    print(table.groupby(["case", "hole_size"], sort=False)[["psnr", "telea"]].mean().round(2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
