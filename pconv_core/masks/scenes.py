"""Scenes of moving layers: limbs, trunks and rounded things in groups that move together."""

import math
from typing import NamedTuple

import cv2
import numpy as np

MOST_LAYERS = 255  # a label is one byte, and 0 is the background
FASTEST = 0.06  # most that a layer moves between the two frames, in sides
_JOINTS = 12  # along a limb
_POINTS = 2 * _JOINTS  # of every outline
_ANGLES = np.arange(_POINTS) * (2 * np.pi / _POINTS)
_LATTICE = np.array([0.7548776662, 0.5698402910])
_ORDERS = np.arange(1, 6)[:, None]


class Scene(NamedTuple):
    """Layers over a background that stands still, the farthest first.

    `outlines` are closed polygons (x, y) in the first frame, shape (layers, points, 2), in pixels.
    `motions` are (x, y) from the first frame to the second, shape (layers + 1, 2), whole pixels,
    the background's zero first.
    """

    outlines: np.ndarray
    motions: np.ndarray


def random_scene(count: int, size: tuple[int, int], side: float, rng: np.random.Generator) -> Scene:
    """Draw `count` layers, in groups anywhere in (height, width); shapes scale with `side`."""
    group = np.sort(rng.integers(0, max(1, count // 4), count))
    groups = int(group[-1]) + 1
    # What is near looks large.
    scale = np.sort(_log_uniform(rng, 0.5, 2, groups))[group]
    # Trees, people and poles are often parallel: one direction for the scene, more or less.
    upright = rng.uniform(0, 2 * np.pi) + rng.normal(0, rng.choice([0.15, 0.4, 2]), groups)
    heading = upright[group] + rng.normal(0, 0.3, count)
    thin = rng.random(count) < rng.uniform(0.55, 1)
    shapes = np.empty((count, _POINTS, 2))
    shapes[thin] = _limbs(heading[thin], rng)
    shapes[~thin] = _blobs(count - np.count_nonzero(thin), rng)
    # Spread evenly: a lattice of irrational steps (the plastic number's) from a random start.
    lattice = (rng.random(2) + np.arange(groups)[:, None] * _LATTICE) % 1
    centres = (lattice * size[::-1])[group]
    centres = centres + side * scale[:, None] * rng.normal(0, 0.1, (count, 2))
    outlines = centres[:, None] + side * scale[:, None, None] * shapes
    outlines += rng.normal(0, 0.004 * side, outlines.shape)
    motions = np.zeros((count + 1, 2), dtype=np.int32)
    motions[1:] = np.rint(side * _motions(group, rng))
    return Scene(outlines, motions)


def labels(outlines: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Number of the nearest layer at every pixel, 0 = background: (height, width), uint8."""
    picture = np.zeros(size, dtype=np.uint8)
    for number, outline in enumerate(np.rint(outlines).astype(np.int32), start=1):
        cv2.fillPoly(picture, [outline], number)
    return picture


def _limbs(heading: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Outlines of long thin shapes that bend and taper, about their middle, in sides."""
    count = len(heading)
    length = _log_uniform(rng, 0.25, 1.1, count)
    width = np.minimum(_log_uniform(rng, 0.04, 0.2, count), 0.6 * length)
    bends = rng.uniform(0, 0.35, (count, 1)) * rng.normal(0, 1, (count, _JOINTS))
    angles = heading[:, None] + np.cumsum(bends, axis=1)
    along = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    spine = np.cumsum(along * (length / _JOINTS)[:, None, None], axis=1)
    spine -= spine.mean(axis=1, keepdims=True)
    taper = np.linspace(1, rng.uniform(0.4, 1, count), _JOINTS, axis=1)
    taper *= 1 + rng.normal(0, 0.15, (count, _JOINTS))
    taper[:, [0, -1]] *= 0.6
    across = along[..., ::-1] * [-1, 1] * (taper * width[:, None] / 2)[..., None]
    return np.concatenate([spine + across, (spine - across)[:, ::-1]], axis=1)


def _blobs(count: int, rng: np.random.Generator) -> np.ndarray:
    """Outlines of rounded shapes, a short Fourier series each, about their middle, in sides."""
    weights = rng.normal(0, 0.35, (2, count, len(_ORDERS))) / _ORDERS[:, 0]
    waves = weights[0] @ np.cos(_ORDERS * _ANGLES) + weights[1] @ np.sin(_ORDERS * _ANGLES)
    radius = np.maximum(1 + waves / math.sqrt(2), 0.15) * _log_uniform(rng, 0.05, 0.25, (count, 1))
    return radius[..., None] * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


def _motions(group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Motions of the layers, in sides: small, those of a group alike, a few groups fast."""
    groups, count = int(group.max()) + 1, len(group)
    fast = rng.random(groups) < 0.1
    speed = np.where(
        fast, _log_uniform(rng, 0.015, 0.06, groups), _log_uniform(rng, 0.004, 0.012, groups)
    )
    speed = np.minimum(speed[group] * _log_uniform(rng, 0.5, 1.5, count), FASTEST)
    angle = rng.uniform(0, 2 * np.pi) + rng.normal(0, 1, groups)[group] + rng.normal(0, 0.5, count)
    return speed[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _log_uniform(rng: np.random.Generator, low: float, high: float, shape) -> np.ndarray:
    return np.exp(rng.uniform(np.log(low), np.log(high), shape))
