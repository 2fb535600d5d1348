"""Thin holes: scratches, hairs, letters and specks, from one pixel of width on.

The paper's masks have few lines as thin as those that people want removed from photographs.  Here
every mask has a line width of its own, drawn evenly in scale, from one pixel to a sixteenth of the
side; objects of about that width become hole one after another until the ratio is reached.
"""

import math

import cv2
import numpy as np

from pconv_core.masks.shape import frame, grow

_WIDEST = 1 / 16  # of a mask's lines, in sides; at least two pixels
_VARIES = (0.7, 1.4)  # width of one object over that of its mask
_USE = (0.35, 0.65, 0.85, 1.0)  # up to here scratches, hairs, letters; then specks
_LENGTH = (0.1, 1.2)  # of scratches and hairs, in sides
_POINTS = 16  # along a hair
_BEND = 0.35  # radians, standard deviation of a hair's turn at each of them
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_TALL = (7, 14)  # height of letters over the width of their lines
_HERSHEY = 21  # pixels of a letter's height at font scale 1
_SPECK = (1, 3)  # diameters of a speck over the width
_MOST_OBJECTS = 5000  # after so many the hole grows instead


def draw(size: tuple[int, int], margin: int, pixels: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a mask of thin objects; arguments and result as those of `occlusion.draw`."""
    hole = np.zeros((size[0] - 2 * margin, size[1] - 2 * margin), dtype=np.uint8)
    side, found = math.sqrt(hole.size), 0
    width = math.exp(rng.uniform(0, math.log(max(2, _WIDEST * side))))
    for _ in range(_MOST_OBJECTS):
        thing = np.zeros_like(hole)
        _draw_object(thing, max(1, round(width * rng.uniform(*_VARIES))), side, rng)
        # Cut off where there would be too many.
        new = np.flatnonzero(thing > hole)[: pixels - found]
        hole.flat[new] = 1
        found += len(new)
        if found == pixels:
            break
    mask = np.ones(size, dtype=np.float32)
    inside = grow(hole > 0, pixels, 0) if found < pixels else 1 - hole
    mask[frame(size, margin)] = inside
    return mask


def _draw_object(canvas: np.ndarray, width: int, side: float, rng: np.random.Generator) -> None:
    """Draw one object of this line width, its pixels 1."""
    height, length = canvas.shape
    centre = rng.uniform(0, (length, height))
    choice = rng.random()
    if choice < _USE[1]:
        turns = np.zeros(_POINTS) if choice < _USE[0] else rng.normal(0, _BEND, _POINTS)
        path = centre + _path(turns, side * rng.uniform(*_LENGTH), rng)
        cv2.polylines(canvas, [np.rint(path).astype(np.int32)], False, 1, width)
    elif choice < _USE[2]:
        text = "".join(rng.choice(list(_LETTERS), int(rng.integers(1, 9))))
        scale = width * rng.uniform(*_TALL) / _HERSHEY
        font = _FONTS[int(rng.integers(len(_FONTS)))]
        (wide, _), _ = cv2.getTextSize(text, font, scale, width)
        start = int(centre[0] - wide / 2), int(centre[1])
        cv2.putText(canvas, text, start, font, scale, 1, width)
    else:
        axes = np.maximum(np.rint(width * rng.uniform(*_SPECK, 2) / 2), 0).astype(int)
        place = tuple(int(c) for c in centre)
        cv2.ellipse(canvas, place, tuple(axes.tolist()), rng.uniform(0, 180), 0, 360, 1, -1)


def _path(turns: np.ndarray, length: float, rng: np.random.Generator) -> np.ndarray:
    """Points of a line about its middle, (points, 2): in a random direction, with these turns."""
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(turns)
    steps = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (length / len(turns))
    path = np.cumsum(steps, axis=0)
    return path - path.mean(axis=0)
