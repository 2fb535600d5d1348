"""A second test set: thin, medium and thick holes, as the protocol of LaMa names them.

Suvorov et al. (2021, arXiv 2109.07161) test on chains of straight strokes and on rectangles, in
three widths.  The numbers are those of their settings at 256 pixels (random_thin_256 and its
brothers), here parts of the side; the drawing is ours.  No hole ratio is asked for: it is what
comes out, at most one half.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

from pconv_core.masks.irregular import MIN_MASK_SIZE
from pconv_core.seeding import generator


class _Width(NamedTuple):
    """Least and most of everything; lengths in pixels of a mask of 256."""

    chains: tuple[int, int]  # of strokes
    length: tuple[int, int]  # of a stroke
    width: tuple[int, int]  # of a stroke
    boxes: float = 0.0  # weight of masks with rectangles instead, where strokes have weight 1
    count: tuple[int, int] = (0, 0)  # of the rectangles
    side: tuple[int, int] = (0, 0)  # of a rectangle
    margin: int = 0  # that rectangles leave known along the sides


_WIDTHS = {
    "lama-thin": _Width((4, 50), (10, 50), (5, 15)),
    "lama-medium": _Width((4, 5), (10, 110), (5, 55), 0.3, (1, 5), (10, 50)),
    "lama-thick": _Width((1, 5), (10, 210), (5, 105), 0.3, (1, 3), (30, 150), 10),
}
LAMA = tuple(_WIDTHS)
MOST_HOLE = 0.5
_SIDE = 256
_STROKES = (1, 5)  # in a chain


def lama_mask(size: int, kind: str, seed: int = 0, number: int = 0) -> np.ndarray:
    """Draw one mask of a test set of `LAMA`, a pure function of the four arguments.

    Returns
    -------
    ndarray of shape (size, size), float32
        1 = known, 0 = hole, which is at least a pixel and at most half of the mask; one with
        more is drawn anew, as LaMa's are.
    """
    if kind not in LAMA:
        raise ValueError(f"kind of mask is {kind!r}; it should be one of {', '.join(LAMA)}")
    if size < MIN_MASK_SIZE:
        raise ValueError(f"mask size is {size}; it should be at least {MIN_MASK_SIZE}")
    rng, width = generator(seed, number, "lama"), _WIDTHS[kind]
    while True:
        hole = np.zeros((size, size), dtype=np.uint8)
        draw = _boxes if rng.random() < width.boxes / (1 + width.boxes) else _chains
        draw(hole, width, rng)
        if 0 < hole.mean() <= MOST_HOLE:
            return (1 - hole).astype(np.float32)


def _chains(hole: np.ndarray, width: _Width, rng: np.random.Generator) -> None:
    """Draw chains of strokes, each of a length, direction and width of its own."""
    scale = len(hole) / _SIDE
    for _ in range(rng.integers(*width.chains, endpoint=True)):
        strokes = int(rng.integers(*_STROKES, endpoint=True))
        place, ahead = rng.uniform(0, len(hole), 2), rng.uniform(0, 2 * math.pi)
        # Within a half circle, or most chains would come back over themselves.
        angles = ahead + rng.uniform(-math.pi / 2, math.pi / 2, strokes)
        lengths = scale * rng.uniform(*width.length, strokes)
        for angle, length in zip(angles, lengths, strict=True):
            end = place + length * np.array([math.cos(angle), math.sin(angle)])
            thickness = max(1, round(scale * rng.uniform(*width.width)))
            cv2.line(hole, place.astype(int), end.astype(int), 1, thickness)
            place = end


def _boxes(hole: np.ndarray, width: _Width, rng: np.random.Generator) -> None:
    """Draw rectangles that stay clear of the margin."""
    scale = len(hole) / _SIDE
    margin = round(scale * width.margin)
    for _ in range(rng.integers(*width.count, endpoint=True)):
        sides = np.maximum(1, np.rint(scale * rng.uniform(*width.side, 2))).astype(int)
        top, left = rng.integers(margin, len(hole) - margin - sides, endpoint=True)
        hole[top : top + sides[0], left : left + sides[1]] = 1
