"""What people repair most, against Telea: thin lines, squares up to 800 pixels, a plain surface.

python -m pconv_study.repair_cases writes results/shipped/tables/repair_cases.csv: the shipped
weights on photographs that installed packages carry, none of which they were trained on.
"""

from collections.abc import Iterator
from itertools import chain, product
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch

from pconv_core import data, evaluation, inpainting, weights
from pconv_core.baselines import BASELINES
from pconv_core.seeding import generator
from pconv_core.writing import whole

OUT = Path("results/shipped/tables/repair_cases.csv")
PHOTOGRAPHS = {"astronaut.png": ("test", 0), "chelsea.png": ("test", 1), "coffee.png": ("train", 0)}
LARGE = (1500, 2000)  # height and width of the pictures with squares
PLATE = 256  # side of the plain surfaces
PLATES = {"red": (0.72, 0.10, 0.08), "blue": (0.35, 0.55, 0.85), "dark": (0.10, 0.10, 0.12)}
_LINES, _POINTS = 12, 24  # in a picture, every second one curved; points along each

# Of a picture: case, its name, shorter side, width of the lines or side of the square; the picture
# (H, W, 3), RGB in [0, 1], float32; its hole (H, W).
Case = tuple[str, str, int, int, np.ndarray, np.ndarray]


def run(net, cases: Iterator[Case]) -> pd.DataFrame:
    """Repair cases by a network and by Telea's method.

    Returns
    -------
    DataFrame
        A row a picture: case, picture, size, hole_size, hole_pixels, psnr and telea, both in dB
        over the hole.
    """
    rows = []
    for *labels, rgb, hole in cases:
        filled = inpainting.inpaint(net, rgb, hole)[hole]
        image = torch.from_numpy(rgb.transpose(2, 0, 1))[None]
        telea = BASELINES["Telea"](image, torch.from_numpy(~hole).float()[None, None])
        telea = telea[0].permute(1, 2, 0).numpy()[hole]
        found = [evaluation.psnr(values, rgb[hole]) for values in (filled, telea)]
        rows.append([*labels, hole.sum(), *found])
    columns = ["case", "picture", "size", "hole_size", "hole_pixels", "psnr", "telea"]
    return pd.DataFrame(rows, columns=columns)


def photograph(name: str, size: tuple[int, int]) -> np.ndarray:
    """The middle of a photograph, resized: areas are averaged, what is smaller enlarged cubic."""
    split, number = PHOTOGRAPHS[name]
    photo = data.embedded(split)[number]
    scale = min(photo.shape[0] / size[0], photo.shape[1] / size[1])
    tall, broad = (round(scale * side) for side in size)
    top, left = (photo.shape[0] - tall) // 2, (photo.shape[1] - broad) // 2
    part = np.ascontiguousarray(photo[top : top + tall, left : left + broad])
    method = cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC
    return cv2.resize(part, size[::-1], interpolation=method).astype(np.float32) / 255


def lines(seed: int = 0) -> Iterator[Case]:
    """Straight and curved lines, the same at every size and width, drawn without smoothing."""
    for (number, name), size, width in product(enumerate(PHOTOGRAPHS), (256, 512), (1, 2, 3, 5, 8)):
        rng = generator(seed, number, "thin")
        canvas = np.zeros((size, size), dtype=np.uint8)
        for line in range(_LINES):
            start, heading = rng.random(2), rng.uniform(0, 2 * np.pi)
            length, turns = rng.uniform(0.3, 0.9), rng.normal(0, 0.25, _POINTS)
            angles = heading + np.cumsum(turns * (line % 2))
            steps = np.stack([np.cos(angles), np.sin(angles)], axis=1) * length / _POINTS
            path = np.rint((start + np.cumsum(steps, axis=0)) * size).astype(np.int32)
            cv2.polylines(canvas, [path], False, 1, width)
        yield "lines", name, size, width, photograph(name, (size, size)), canvas > 0


def squares(seed: int = 0) -> Iterator[Case]:
    """Squares of every size at two places of every photograph."""
    for number, name in enumerate(name for name in PHOTOGRAPHS for _ in range(2)):
        down, right = generator(seed, number, "mask").random(2)
        for side in (50, 100, 200, 400, 800):
            hole = np.zeros(LARGE, dtype=bool)
            top, left = round(down * (LARGE[0] - side)), round(right * (LARGE[1] - side))
            hole[top : top + side, left : left + side] = True
            yield "squares", name, LARGE[0], side, photograph(name, LARGE), hole


def plain(seed: int = 0) -> Iterator[Case]:
    """A square in a plain surface, a little brighter from side to side, with noise."""
    across = np.linspace(-0.5, 0.5, PLATE, dtype=np.float32)[None, :, None]
    hole = np.zeros((PLATE, PLATE), dtype=bool)
    hole[108:148, 108:148] = True
    for number, (name, colour) in enumerate(PLATES.items()):
        noise = generator(seed, number, "mask").normal(0, 1 / 255, (PLATE, PLATE, 3))
        rgb = np.clip(np.array(colour) + 0.06 * across + noise, 0, 1).astype(np.float32)
        yield "plain", f"{name} plate", PLATE, 40, rgb, hole


if __name__ == "__main__":
    table = run(weights.load("shipped").folded(), chain(lines(), squares(), plain()))
    with whole(OUT) as unfinished:
        table.to_csv(unfinished, index=False, float_format="%.2f")
