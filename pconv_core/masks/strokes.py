"""Brush strokes: many thin random walks of a few brushes, drawn as a map of times.

Each pixel of the map holds the moment at which a brush first covers it, so that one drawing holds
the hole at every moment, and its size at each of them is known.  The constants were fitted so that
depth, contour and islands of the holes are those of the paper's masks
(`pconv_study/paper_masks.csv`); lengths are in sides, the root of the area of the mask.
"""

import math

import cv2
import numpy as np

NEVER = 255  # the time of a pixel that no brush reaches
_STEP = 0.04  # of a walk, between two of its turns
_STAMPS = 5  # brush positions in a step: close enough for the thinnest brush
_WIDTH = (0.028, 0.113)  # of a brush: in small holes, and over the hole ratio in large ones
_THINNER = 2.4  # power of the covered share, which thins the brushes so that islands stay
_BRUSHES = (0.67, 1.0, 1.49)  # their widths over that of the mask
_ALIKE = 0.8  # how alike they become where all is covered
_USE = (0.33, 0.37, 0.3)  # parts of the walks that take each brush
_CHANGES = 0.08  # part of the steps with another brush than their walk's
_ROUNDED = 0.75  # part of the masks with round brushes
_WALK = (8, 22)  # fewest and most steps of a walk, in the mean over a mask
_LONGER = 2  # by how much they become longer where all is covered
_WANDER = 3.6  # radians, the widest range of a turn
_PARALLEL = 2.1  # how soon the walks become parallel as the share grows
_SPREAD = 0.2  # of the walks of a cluster
_ALONE = (0.3, 0.9)  # part of the walks without a cluster: this, and this times the share
_CLOSED = (0.027, 1.35)  # gaps narrower than this, times this power of the share, are closed
_PLANNED = 1.5  # length of the walks over what would be enough if they lay at random
_MOST_SHARE = 0.96  # of the room, that walks are planned to cover


def draw(
    size: tuple[int, int], margin: int, pixels: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, int]:
    """Walk until about `pixels` or more are covered, seldom fewer; arguments as `occlusion.draw`.

    Returns
    -------
    times : ndarray of shape (height, width), uint8
        `NEVER` where no brush came.
    centres : ndarray of shape (moments, 2)
        (x, y) of a brush at each time.
    found : int
        Pixels covered in all.
    """
    side = math.sqrt(size[0] * size[1])
    room = np.array([[size[1] - 2 * margin], [size[0] - 2 * margin]])
    share = min(pixels / room.prod(), _MOST_SHARE)
    random = rng.random(6).tolist()
    width = math.hypot(_WIDTH[0], _WIDTH[1] * pixels / side**2) * (1 - share**_THINNER)
    width *= math.exp(0.5 * (random[0] - 0.5))
    # A random set of strokes of length l and width w leaves exp(-l w / room) of the room known.
    area = -math.log(1 - share) * room.prod() / side**2
    length = _PLANNED * area / (width * np.dot(_BRUSHES, _USE)) + 0.2
    path, brushes = _walks(int(length / _STEP) + 1, share, room / side, random[2:], rng)
    # What leaves the room on one side comes in on the other: the walks are as dense everywhere.
    columns, rows = (side * path).astype(np.int32) % room[:, :, None] + margin
    moments = np.arange(len(brushes)) * min(NEVER, len(brushes)) // len(brushes)
    times = _paint(size, rows * size[1] + columns, brushes, moments, width * side, share, rng)
    gap = int(_CLOSED[0] * share ** _CLOSED[1] * side + random[1])
    if gap > 1:
        # Opening the times closes the hole at every moment at once.
        times = cv2.morphologyEx(times, cv2.MORPH_OPEN, np.ones((gap, gap), np.uint8))
    if margin:
        times[:margin], times[-margin:] = NEVER, NEVER
        times[:, :margin], times[:, -margin:] = NEVER, NEVER
    first = np.flatnonzero(np.diff(moments, prepend=-1))
    centres = np.stack([columns[first, 0], rows[first, 0]], axis=1)
    return times, centres, covered(times, NEVER - 1)


def covered(times: np.ndarray, time: int) -> int:
    """Count the pixels that are covered by a time below `NEVER`, this one included."""
    return cv2.countNonZero((times <= time).view(np.uint8))


def _walks(steps, share, room, random, rng) -> tuple[np.ndarray, np.ndarray]:
    """Walks one after the other: positions (2, steps, stamps) in sides, the brush of each step."""
    draws = rng.random((4, steps))
    # The denser, the longer, straighter and more parallel: islands are long, not many.
    mean_steps = (_WALK[0] + (_WALK[1] - _WALK[0]) * random[0]) * (1 + _LONGER * share**2)
    starts = draws[0] < 1 / mean_steps
    starts[0] = True
    walk = starts.cumsum() - 1
    walks = int(walk[-1]) + 1
    wander, brush, far = rng.random((3, walks))
    turns = (_WANDER * (1 - share) * wander**2)[walk] * (draws[1] - 0.5)
    directions = 2 * np.pi * (draws[1, starts] - 0.5) * max(0.1, 1 - _PARALLEL * share**3)
    turns[starts] = directions + 2 * np.pi * random[1]
    headings = turns.cumsum()
    headings -= (headings - turns)[starts][walk]
    move = _STEP * np.stack([np.cos(headings), np.sin(headings)])
    path = move.cumsum(axis=1) - move
    alone = far < _ALONE[0] + _ALONE[1] * share
    path += (_starts(alone, room, random[2:], rng) - path[:, starts])[:, walk]
    path = path[:, :, None] + move[:, :, None] * (np.arange(_STAMPS) / _STAMPS)
    brushes = np.digitize(brush, np.cumsum(_USE[:-1]))[walk]
    other = draws[2] < _CHANGES
    brushes[other] = (len(_BRUSHES) * draws[3, other]).astype(int)
    return path, brushes


def _starts(alone, room, random, rng) -> np.ndarray:
    """Where the walks begin, (2, walks): evenly spread in the room, or in a cluster with the last.

    The even ones are Roberts' sequence R2: multiples of powers of the plastic number, modulo 1.
    """
    order = np.arange(len(alone))
    even = (np.outer([0.7548776662466927, 0.5698402909980532], order) + np.array([random]).T) % 1
    cluster = np.maximum.accumulate(np.where(alone, order, 0))
    offset = _SPREAD * rng.standard_normal((2, len(alone)))
    return room * even[:, cluster] + np.where(alone, 0, offset)


def _paint(size, stamps, brushes, moments, width, share, rng) -> np.ndarray:
    """Dilate the marked stamps (steps, stamps) of each brush by its shape: the times."""
    times = np.full(size, NEVER, dtype=np.uint8)
    random = rng.random((len(_BRUSHES) + 1, 4)).tolist()
    # Corners are rounded by a disc that fits the thinnest brush, or not at all.
    disc = int(width * _BRUSHES[0] * random[-1][0])
    disc = disc if random[-1][1] < _ROUNDED else 0
    for number, draws in enumerate(random[:-1]):
        layer = np.full(size, NEVER, dtype=np.uint8)
        # The last first, so that the earliest time stays.
        steps = np.flatnonzero(brushes == number)[::-1]
        layer.reshape(-1)[stamps[steps]] = moments[steps, None]
        mean = width * _BRUSHES[number] ** (1 - _ALIKE * share**2)
        sides = [max(1, int(mean * (0.8 + 0.4 * draws[i]) + draws[i + 2]) - disc) for i in (0, 1)]
        # Dilating the hole at every moment at once: each pixel takes the earliest time nearby.
        times = cv2.min(times, cv2.erode(layer, np.ones(sides, np.uint8)))
    if disc > 1:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (disc + 1, disc + 1))
        times = cv2.erode(times, disc)
    return times
