"""Occlusions: what moving objects hide between two frames, the paper's source of training masks.

Two frames of a scene of many layers are simulated, at 128 to 256 pixels a side.  A pixel of one
frame without a counterpart in the other is found as in Sundaram, Brox and Keutzer (2010), in both
directions: hidden in the second frame, or not yet seen in the first.  Such pixels lie in thin,
broken bands along outlines.  That a real flow is estimated is simulated by pixels missed and
astray, and by specks beside the bands.  Then object after object becomes hole, each dilated by a
square, until the ratio is reached: by many contours, not by swelling.  Tiny islands of known pixels
are filled.  Depth, contour and known parts come near those of the paper's masks
(pconv_study/paper_masks.csv, measured by pconv_study/mask_shapes.py).
"""

import math

import cv2
import numpy as np

from pconv_core.masks.scenes import FASTEST, MOST_LAYERS, Scene, labels, random_scene
from pconv_core.masks.shape import frame, grow

_SIDES = (128, 256)  # of the simulated frame: at least, at most
_STEPS = 32  # of time in which one object's occlusions become hole, from one end to the other
_MOST_SCENES = 5  # one after another in a mask, until the ratio is reached
_NEVER = _STEPS * MOST_LAYERS  # a time after all others
_FOUND = (0.6, 1)  # part of the occluded pixels that the estimate finds
_ASTRAY = 0.004  # how far they are off, standard deviation in sides
_SPECKS = 4  # at most, for each `side` occluded pixels
# Bands laid at random leave exp(-length * width / area) of an area known.
_LAYERS = 36  # for each side**2 of scene and unit of -log(1 - share of hole)
_DILATION = (0.026, 0.054)  # side of the square, in sides
_SMALLEST = 0.0045  # area of a known island that stays, in side**2, where nearly all is hole


def draw(size: tuple[int, int], margin: int, pixels: int, rng: np.random.Generator) -> np.ndarray:
    """Draw an occlusion mask of shape `size`, (height, width), with exactly `pixels` of hole.

    A strip of `margin` pixels along the sides stays known.
    """
    inner = size[0] - 2 * margin, size[1] - 2 * margin
    area = inner[0] * inner[1]
    scale = min(max(1, _SIDES[0] / math.sqrt(area)), _SIDES[1] / math.sqrt(area))
    grid = max(1, round(scale * inner[0])), max(1, round(scale * inner[1]))
    hole = _simulate(grid, round(pixels / area * grid[0] * grid[1]), rng)
    if grid != inner:
        hole = _first(255 - _resize(255 * hole, inner), pixels)
    mask = np.ones(size, dtype=np.float32)
    mask[frame(size, margin)] -= hole
    return mask


def occlusions(
    first: np.ndarray, second: np.ndarray, motions: np.ndarray, pad: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the pixels of one frame that have no counterpart in another.

    The forward flow F of a pixel is its layer's motion, the backward flow B that of the layer seen
    where it comes to lie.  Without occlusion they cancel; the pixel has no counterpart if
    |F + B|^2 > 0.01 (|F|^2 + |B|^2) + 0.5 (Sundaram, Brox and Keutzer 2010).

    Parameters
    ----------
    first, second : ndarray of shape (height, width), uint8
        Number of the layer seen at each pixel of either frame.
    motions : ndarray of shape (layers, 2), int
        By how many pixels (x, y) a layer moves from `first` to `second`, at most `pad`, the width
        of the strip along the sides in which nothing is looked for.

    Returns
    -------
    places, owners : ndarrays of shape (found,)
        Flat indices into the frame without the strip; the nearer (higher) layer at each.
    """
    height, width = first.shape
    here = np.ascontiguousarray(first[pad : height - pad, pad : width - pad])
    steps = np.zeros(256, dtype=np.int32)
    steps[: len(motions)] = motions[:, 0] + width * motions[:, 1]
    target = cv2.LUT(here, steps)  # where each pixel moves to, as a flat index
    target += np.arange(pad, width - pad, dtype=np.int32)
    target += (width * np.arange(pad, height - pad, dtype=np.int32))[:, None]
    there = second.ravel().take(target, mode="clip")
    # Seeing the same layer again the flows cancel, so that the others are all to be checked.
    places = np.flatnonzero(here != there)
    here, there = here.ravel()[places], there.ravel()[places]
    forward, backward = motions.T[:, here], -motions.T[:, there]
    error = ((forward + backward) ** 2).sum(axis=0)
    lost = error > 0.01 * (forward**2 + backward**2).sum(axis=0) + 0.5
    return places[lost], np.maximum(here, there)[lost]


def _simulate(size: tuple[int, int], pixels: int, rng: np.random.Generator) -> np.ndarray:
    """Hole of `pixels` in a frame of this (height, width): uint8, 0 or 1."""
    side, share = math.sqrt(size[0] * size[1]), min(pixels / (size[0] * size[1]), 0.95)
    dilation = max(1, round(side * rng.uniform(*_DILATION)))
    area = (1 + 2 * FASTEST) ** 2
    layers = round(_LAYERS * area * -math.log(1 - share) * rng.uniform(1.15, 2.2))
    layers = min(max(4, layers), MOST_LAYERS)
    hole = np.zeros(size, dtype=bool)
    for _ in range(_MOST_SCENES):
        times = cv2.erode(_times(size, layers, dilation, rng), np.ones((dilation, dilation)))
        times = times[dilation:-dilation, dilation:-dilation].copy()
        times[hole] = 0
        hole = times < _NEVER
        if np.count_nonzero(hole) >= pixels:
            hole = _first(times, pixels)
            _, parts, figures, _ = cv2.connectedComponentsWithStats(1 - hole, connectivity=8)
            small = figures[:, cv2.CC_STAT_AREA] < _SMALLEST * share**4 * side**2
            small[0] = False  # label 0 is the hole
            times[small[parts]] = 0
            return _first(times, pixels)
    # Where nearly all is to be hole, scenes leave islands that only growing closes.
    return (grow(hole, pixels, 0) == 0).astype(np.uint8)


def _times(size, layers: int, pad: int, rng: np.random.Generator) -> np.ndarray:
    """When each pixel becomes hole, before dilation, on a frame wider by `pad` on each side."""
    side = math.sqrt(size[0] * size[1])
    # The crop, and what dilates into it; around it room for what moves in or out.
    view = size[0] + 2 * pad, size[1] + 2 * pad
    beyond = math.ceil(FASTEST * side)
    whole = view[0] + 2 * beyond, view[1] + 2 * beyond
    scene = random_scene(layers, whole, side, rng)
    first = labels(scene.outlines, whole)
    second = labels(scene.outlines + scene.motions[1:, None], whole)
    order = _order(scene, whole, side, rng)
    times = np.full(view, _NEVER, dtype=np.uint16)
    for found in (
        occlusions(first, second, scene.motions, beyond),
        occlusions(second, first, -scene.motions, beyond),
    ):
        rows, columns, owners = _as_estimated(*found, view, side, rng)
        within = _sweep(rows, columns, view, rng)
        times[rows, columns] = _STEPS * order[owners] + within
    return times


def _as_estimated(places, owners, size, side: float, rng: np.random.Generator) -> tuple:
    """Rows, columns and owners of what an estimated flow finds: some missed, some astray."""
    kept = rng.random(len(places)) < rng.uniform(*_FOUND)
    places, owners = places[kept], owners[kept]
    rows, columns = np.divmod(places, size[1])
    if not len(places):
        return rows, columns, owners
    astray = np.rint(rng.normal(0, _ASTRAY * side, (2, len(places)))).astype(int)
    rows = (rows + astray[0]).clip(0, size[0] - 1)
    columns = (columns + astray[1]).clip(0, size[1] - 1)
    count = 1 + int(rng.uniform(0, _SPECKS) * len(places) / side)
    at = rng.integers(0, len(rows), count)
    # Specks, more than half of them in clumps about a few places; written first.
    at = np.where(rng.random(count) < 0.6, at[rng.integers(0, max(1, count // 4), count)], at)
    away = 0.03 * side * rng.exponential(1, count) * rng.normal(0, 1, (2, count))
    return (
        np.append(np.rint(rows[at] + away[0]).astype(int).clip(0, size[0] - 1), rows),
        np.append(np.rint(columns[at] + away[1]).astype(int).clip(0, size[1] - 1), columns),
        np.append(owners[at], owners),
    )


def _order(scene: Scene, size, side: float, rng: np.random.Generator) -> np.ndarray:
    """Rank of each layer, the background's 0 included: about from one place outwards."""
    centres = scene.outlines.mean(axis=1)
    away = np.linalg.norm(centres - rng.random(2) * size[::-1], axis=1)
    ranks = np.zeros(len(centres) + 1, dtype=int)
    ranks[1 + np.argsort(away + rng.exponential(0.1 * side, len(away)))] = np.arange(len(away))
    return ranks


def _sweep(rows, columns, size, rng: np.random.Generator) -> np.ndarray:
    """Steps, 0 to `_STEPS` - 1, in which a line that sweeps over the frame meets the pixels."""
    angle = rng.uniform(0, 2 * np.pi)
    along = math.cos(angle) * (columns / size[1] - 0.5) + math.sin(angle) * (rows / size[0] - 0.5)
    return ((along / math.sqrt(2) + 0.5) * (_STEPS - 1)).astype(int)


def _resize(hole: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring a hole, 255 or 0, to another (height, width), with smooth edges."""
    scale = max(size) / max(hole.shape)
    if scale < 1:
        return cv2.resize(hole, size[::-1], interpolation=cv2.INTER_AREA)
    hole = cv2.resize(hole, size[::-1], interpolation=cv2.INTER_LINEAR_EXACT)
    return cv2.blur(hole, (2 * round(0.7 * scale) + 1,) * 2) if scale > 1.3 else hole


def _first(times: np.ndarray, pixels: int) -> np.ndarray:
    """Set the `pixels` of the lowest times, of one time the upper ones: uint8, 0 or 1."""
    until = int(np.searchsorted(np.cumsum(np.bincount(times.ravel())), pixels))
    chosen = (times < until).view(np.uint8)
    last = np.flatnonzero(times == until)[: pixels - np.count_nonzero(chosen)]
    chosen.flat[last] = 1
    return chosen
