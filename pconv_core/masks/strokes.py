"""Brush strokes: random walks of discs, squares and diamonds, drawn as a map of times.

Each pixel of the map holds the moment at which the brush first covers it, so that one drawing
holds the hole at every moment of the walk, and its size at each of them is known.
"""

import math

import cv2
import numpy as np

NEVER = 255  # the time of a pixel that the brush does not reach
_STAMPS = (18, 44)  # fewest and most brush positions of a short walk
_MORE_STAMPS = 30  # of one that covers all, so that large holes are no less irregular
_STROKES = 6  # most strokes of a walk
_CROP = 1.25  # side of the box that is walked over that of the image, with border
_OVERLAP = 2.8  # area that a walk is planned to cover, over what is wanted
_DILATED = 0.25  # share of the walks that are dilated
# Corners of the brushes in radii, as complex numbers x + iy; a disc has none.
_CORNERS = np.array([[0] * 4, [1.25, 1.25j, -1.25, -1.25j], [1.5, 0.9j, -1.5, -0.9j]])
_DISC = 0


def draw(
    size: tuple[int, int], margin: int, pixels: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, int]:
    """Walk until at least `pixels` are covered, or as many as the times can tell apart.

    The strip of `margin` pixels along the sides stays uncovered.

    Returns
    -------
    times : ndarray of shape (height, width), uint8
        `NEVER` where the brush did not come.
    centres : ndarray of shape (stamps, 2)
        (x, y) of the brush at each time.
    found : int
        Pixels covered in all.
    """
    height, width = size
    room = (height - 2 * margin) * (width - 2 * margin)
    share = min(pixels / room, 0.97)
    times, centres = _walk(size, margin, share, 0, rng)
    while (found := covered(times, NEVER - 1)) < pixels and len(centres) < NEVER:
        share = min(1.3 * share, 0.99)
        walk, path = _walk(size, margin, share, len(centres), rng)
        times, centres = cv2.min(times, walk), np.concatenate([centres, path])
    return times, centres, found


def covered(times: np.ndarray, time: int) -> int:
    """Count the pixels that are covered by a time below `NEVER`, this one included."""
    return cv2.countNonZero((times <= time).view(np.uint8))


def _walk(size, margin, share, first, rng) -> tuple[np.ndarray, np.ndarray]:
    """One walk of several strokes, its times counted from `first`: (times, centres)."""
    random = rng.random(4).tolist()
    stamps = _STAMPS[0] + random[0] * (_STAMPS[1] - _STAMPS[0]) + share * _MORE_STAMPS
    stamps = min(int(stamps if first == 0 else stamps / 2), NEVER - first)
    inner = np.array([size[1] - 2 * margin, size[0] - 2 * margin], dtype=float)
    # n stamps of radius r, a step of 1.65 r each, leave 3.3 n r^2, less what they cross again.
    # Where it must not leave the box it crosses itself more.
    area = -math.log(1 - share) * inner[0] * inner[1] * (1 + share**2 if margin else _CROP**2)
    radius = max(1.0, math.sqrt(_OVERLAP * area / (3.3 * stamps)))
    dilation = int(random[1] * (2 + radius / 4)) if random[2] < _DILATED else 0
    stroke = (int(1 + random[3] * _STROKES) * rng.random(stamps)).astype(int)
    stroke.sort()
    brush = radius * (0.5 + rng.random(_STROKES))
    path = _path(stroke, brush[stroke], inner, margin, dilation, rng)
    times = np.full(size, NEVER, dtype=np.uint8)
    _stamp(times, first, path, stroke, brush, rng)
    if dilation:
        # Dilating the hole at every moment at once: each pixel takes the earliest time nearby.
        times = cv2.erode(times, np.ones((2 * dilation + 1,) * 2, np.uint8))
    if margin:
        times[:margin], times[-margin:] = NEVER, NEVER
        times[:, :margin], times[:, -margin:] = NEVER, NEVER
    return times, path


def _path(stroke, brush, inner, margin, dilation, rng) -> np.ndarray:
    """Centres (x, y) of the stamps: a walk whose heading drifts, and that jumps between strokes."""
    random = rng.random((4, len(stroke)))
    # Between two strokes the heading is new, and a jump over many boxes ends anywhere in the box.
    new = np.ones(len(stroke), dtype=bool)
    np.not_equal(stroke[1:], stroke[:-1], out=new[1:])
    turns = 2 * np.pi * random[0]
    turns[~new] *= 0.25
    steps = (1.1 + 1.1 * random[1]) * brush * np.exp(1j * (turns - np.pi / 4).cumsum())
    steps += new * (8 * inner[0] * random[2] + 8j * inner[1] * random[3])
    # Cropping: a larger box is walked than the image shows.  Or else: stay clear of the margin.
    slack = (brush + dilation)[:, None] if margin else (1 - _CROP) / 2 * inner
    half = np.maximum(inner / 2 - slack, 1e-9)
    path = _fold(steps.cumsum(), half).view(complex)[:, 0] * np.exp(2j * np.pi * random[0, 0])
    path = _fold(path, half) if margin else path.view(float).reshape(-1, 2)
    return path + (inner / 2 + margin)


def _fold(path: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Fold a complex path into the box of these half sides about 0, as a ball bounces off walls."""
    points = path.view(float).reshape(-1, 2)
    return half - np.abs((points + half) % (4 * half) - 2 * half)


def _stamp(times, first, path, stroke, brush, rng) -> None:
    """Draw the brush along the path, last position first, so that the earliest time stays."""
    random = rng.random((2, _STROKES))
    kinds = (len(_CORNERS) * random[0]).astype(int)
    corners = (brush * np.exp(2j * np.pi * random[1]))[:, None] * _CORNERS[kinds]
    polygons = path[:, None] + corners[stroke].view(float).reshape(-1, 4, 2)
    polygons = polygons.astype(np.int32)
    centres = path.astype(np.int32).tolist()
    kinds, widths = kinds.tolist(), (2 * np.maximum(brush, 1)).astype(int).tolist()
    strokes = stroke.tolist()
    for i in range(len(strokes) - 1, -1, -1):
        brush = strokes[i]
        if kinds[brush] == _DISC:
            start = centres[i - 1 if i and strokes[i - 1] == brush else i]
            cv2.line(times, start, centres[i], first + i, widths[brush])
        else:
            cv2.fillConvexPoly(times, polygons[i], first + i)
