"""Occlusions: what moving objects hide between two frames, the paper's source of training masks.

Two frames of a scene of smooth shapes are simulated.  Every layer, the background included, moves
by an affine map of its own: camera and object motion.  A pixel without a counterpart in the other
frame is found as in Sundaram, Brox and Keutzer (2010): there the forward flow F and the backward
flow B do not cancel, |F + B|^2 > 0.01 (|F|^2 + |B|^2) + 0.5.
"""

import cv2
import numpy as np

from pconv_core.masks.growth import frame, grow

_MOST_LAYERS = 6
_CANVAS = 1.2  # side of the simulated frame over that of the mask, to rotate and crop
_TRIES = 8
# Part of the wanted hole that is to be occluded before it is dilated.
_RAW = (0.4, 1.0)
_OUTLINE = np.arange(64) * (2 * np.pi / 64)


def draw(size: tuple[int, int], margin: int, pixels: int, rng: np.random.Generator) -> np.ndarray:
    """Draw an occlusion mask with exactly `pixels` of hole: occluded, rotated, cropped, dilated.

    Arguments and result are those of `growth.grow`.
    """
    side = int(np.ceil(_CANVAS * max(size)))
    shapes = [_shape(side, rng) for _ in range(int(rng.integers(2, _MOST_LAYERS + 1)))]
    motions = [_motion(side, 0.3, rng), *(_motion(side, 1.0, rng) for _ in shapes)]
    turn = _rotate_and_crop(side, size, rng.uniform(0, 360))
    hole, inside = np.zeros((2, *size), dtype=bool)
    inside[frame(size, margin)] = True
    strength, low, high = 2 * pixels / hole.size, 0.0, None
    for _ in range(_TRIES):
        occluded = occlusions(side, shapes, [strength * m for m in motions])
        tried = cv2.warpAffine(occluded.astype(np.uint8), turn, size[::-1], flags=cv2.INTER_NEAREST)
        tried = (tried > 0) & inside
        found = int(tried.sum())
        if found <= pixels:
            low, hole = strength, tried
        else:
            high = strength
        if _RAW[0] * pixels <= found <= _RAW[1] * pixels:
            break
        # The faster everything moves, the more is hidden: bisect.
        strength = 2 * strength if high is None else (low + high) / 2
    return grow(hole, pixels, margin)


def occlusions(side: int, shapes: list[np.ndarray], motions: list[np.ndarray]) -> np.ndarray:
    """Find the pixels of frame 1 that have no counterpart in frame 2.

    Parameters
    ----------
    side : int
        Of both frames, in pixels.
    shapes : list of ndarray of shape (points, 2)
        Outlines (x, y) in frame 1, the farthest layer first.
    motions : list of ndarray of shape (2, 3)
        Displacement D of the background, then of each shape: (x, y, 1) moves by D (x, y, 1), in
        coordinates about the middle of the frame.

    Returns
    -------
    ndarray of shape (side, side), bool
    """
    forward = np.stack([np.vstack([m, [0, 0, 0]]) + np.eye(3) for m in motions])
    backward = np.linalg.inv(forward)
    middle = (side - 1) / 2
    moved = [s @ f[:2, :2].T + f[:2, 2] for s, f in zip(shapes, forward[1:], strict=True)]
    labels = _labels(side, [s + middle for s in shapes])
    labels_after = _labels(side, [s + middle for s in moved])

    y, x = np.mgrid[:side, :side] - middle
    x2, y2 = _apply(forward[labels], x, y)
    columns, rows = np.rint(x2 + middle).astype(int), np.rint(y2 + middle).astype(int)
    in_frame = (columns >= 0) & (columns < side) & (rows >= 0) & (rows < side)
    there = labels_after[rows.clip(0, side - 1), columns.clip(0, side - 1)]
    x3, y3 = _apply(backward[there], x2, y2)
    error = (x3 - x) ** 2 + (y3 - y) ** 2
    lengths = (x2 - x) ** 2 + (y2 - y) ** 2 + (x3 - x2) ** 2 + (y3 - y2) ** 2
    occluded = ~in_frame | (error > 0.01 * lengths + 0.5)
    # Outlines move by fractions of a pixel: that leaves specks along them.
    return cv2.medianBlur(occluded.view(np.uint8), 5) > 0


def _shape(side: int, rng: np.random.Generator) -> np.ndarray:
    """Outline of a random smooth shape, about the middle of the frame: a short Fourier series."""
    order = np.arange(1, 6)
    weights = rng.normal(0, 0.35, 5) / order
    waves = np.cos(np.outer(_OUTLINE, order) + rng.uniform(0, 2 * np.pi, 5))
    radius = side * rng.uniform(0.08, 0.35) * np.maximum(1 + waves @ weights, 0.15)
    outline = radius[:, None] * np.stack([np.cos(_OUTLINE), np.sin(_OUTLINE)], axis=1)
    return outline + rng.uniform(-0.5, 0.5, 2) * side


def _motion(side: int, speed: float, rng: np.random.Generator) -> np.ndarray:
    """Displacement of a layer: shift up to `speed` sides, rotation, zoom; see `occlusions`."""
    angle = rng.uniform(0, 2 * np.pi)
    length = speed * side * rng.uniform(0.2, 1)
    turn, zoom = speed * rng.normal(0, 0.5, 2)
    return np.array([[zoom, -turn, length * np.cos(angle)], [turn, zoom, length * np.sin(angle)]])


def _labels(side: int, outlines: list[np.ndarray]) -> np.ndarray:
    labels = np.zeros((side, side), dtype=np.uint8)
    for number, outline in enumerate(outlines, start=1):
        cv2.fillPoly(labels, [np.rint(outline).astype(np.int32)], number)
    return labels


def _apply(maps: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Move each point (x, y) by a map of its own, shape (..., 3, 3)."""
    return (
        maps[..., 0, 0] * x + maps[..., 0, 1] * y + maps[..., 0, 2],
        maps[..., 1, 0] * x + maps[..., 1, 1] * y + maps[..., 1, 2],
    )


def _rotate_and_crop(side: int, size: tuple[int, int], degrees: float) -> np.ndarray:
    """Map of the simulated frame to the mask: rotated about the middle, its middle cut out."""
    turn = cv2.getRotationMatrix2D(((side - 1) / 2,) * 2, degrees, 1)
    turn[:, 2] -= [(side - size[1]) / 2, (side - size[0]) / 2]
    return turn
