"""Irregular masks: random walks of discs, squares and diamonds, at a guaranteed hole ratio.

A mask is a pure function of (seed, number).  The walk is drawn as a *time map*: each pixel holds
the moment at which the brush first covers it.  The strokes are rotated and cropped as they are
drawn and the map is dilated; only then is it decided at which moment the hole stops, so that its
ratio is known exactly.
"""

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from pconv_core.seeding import generator

# Six bins of hole ratio, each lo < ratio <= hi (the paper's test set).
BINS = ((0.01, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 0.5), (0.5, 0.6))
# A mask "without border" keeps its hole 50 of 512 pixels away from each side.
BORDER_MARGIN = 50 / 512
MIN_MASK_SIZE = 8

_NEVER = 255  # the time of a pixel that no stroke reaches
_MAX_STAMPS = 250  # brush positions of one mask; their times stay below _NEVER
_MAX_STROKES = 8
_CROP = 1.25  # side of the box that is walked over that of the image, with border


def random_mask(
    size: int | tuple[int, int],
    ratio: tuple[float, float] = (0.01, 0.6),
    border: bool = True,
    seed: int = 0,
    number: int = 0,
) -> np.ndarray:
    """Draw one irregular mask.

    Parameters
    ----------
    size : int or (height, width)
        In pixels, at least 8.
    ratio : (lo, hi)
        Interval of the hole-to-image ratio; lo < ratio <= hi is guaranteed.
    border : bool
        Whether the hole may touch the border; if not, it stays `margin_pixels` away.
    seed, number : int
        The mask is a pure function of these two and the arguments above.

    Returns
    -------
    ndarray of shape (height, width), float32
        1 = known, 0 = hole.

    Raises
    ------
    ValueError
        If the size is too small or no mask of that kind can lie in the interval.

    Examples
    --------
    >>> mask = random_mask(64, (0.2, 0.3), seed=1)
    >>> bool(0.2 < hole_ratio(mask) <= 0.3)
    True
    """
    size = (size, size) if isinstance(size, int) else tuple(size)
    if min(size) < MIN_MASK_SIZE:
        raise ValueError(
            f"mask size is {size[0]}x{size[1]}; sides should be at least {MIN_MASK_SIZE}"
        )
    margin = 0 if border else margin_pixels(size)
    room = (size[0] - 2 * margin) * (size[1] - 2 * margin)
    fewest, most = _pixel_limits(size, ratio, room, border)
    rng = generator(seed, number, "mask")
    target = int(rng.integers(fewest, most + 1))
    times = _time_map(size, margin, target / room, rng)
    hole = _stop_at(times, fewest, target, most, margin)
    return np.where(hole, np.float32(0), np.float32(1))


def margin_pixels(size: tuple[int, int]) -> int:
    """Width in pixels of the strip that a mask without border keeps known (50 at 512)."""
    return max(1, round(BORDER_MARGIN * min(size)))


def hole_ratio(mask: np.ndarray) -> float:
    """Share of hole pixels in a 0/1 mask."""
    return float(1 - np.mean(mask, dtype=np.float64))


def _pixel_limits(size, ratio, room: int, border: bool) -> tuple[int, int]:
    """Fewest and most hole pixels that satisfy lo < ratio <= hi."""
    lo, hi = ratio
    if not 0 <= lo < hi <= 1:
        raise ValueError(f"hole ratio is ({lo:g}, {hi:g}]; it should satisfy 0 <= lo < hi <= 1")
    pixels = size[0] * size[1]
    # The small number forgives decimal ratios such as 0.3, which binary floats miss.
    fewest, most = int(lo * pixels + 1e-6) + 1, min(int(hi * pixels + 1e-6), room)
    if fewest > most:
        kind = "with" if border else "without"
        raise ValueError(
            f"no {size[0]}x{size[1]} mask {kind} border has a hole ratio in ({lo:g}, {hi:g}]; "
            f"it should allow a whole number of pixels, at most {room / pixels:.3f} of the image"
        )
    return fewest, most


def _time_map(size, margin: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Random walk of a brush, as the time at which each pixel is first covered.

    `share` of the area inside the margin is to be covered; the brush is sized so that the walk
    reaches about half as much again.
    """
    stamps = int(rng.integers(60, _MAX_STAMPS + 1))
    inner = np.array([size[1], size[0]], dtype=float) - 2 * margin
    # n stamps of radius r that move by about r leave 2 n r^2 behind, less what they cross again.
    area = -np.log(1 - min(share, 0.95)) * inner.prod() * (1 if margin else _CROP**2)
    radius = max(1.0, float(np.sqrt(1.5 * area / (2 * stamps))))
    dilation = int(rng.integers(0, max(1, round(radius / 2)) + 1))
    times = np.full(size, _NEVER, dtype=np.uint8)
    for stroke in _strokes(stamps, radius, inner, margin, dilation, rng):
        _draw(times, *stroke)
    if dilation:
        # Dilating the hole at every moment at once: each pixel takes the earliest time nearby.
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * dilation + 1,) * 2)
        times = cv2.erode(times, kernel)
    if margin:
        framed = np.full_like(times, _NEVER)
        inside = (slice(margin, -margin),) * 2
        framed[inside] = times[inside]
        times = framed
    return times


def _strokes(stamps, radius, inner, margin, dilation, rng) -> list[tuple]:
    """Split the walk into strokes, last first: (first time, centres, radius, corners)."""
    count = int(rng.integers(1, _MAX_STROKES + 1))
    turn = rng.uniform(0, 2 * np.pi)
    ends = np.sort(rng.integers(1, stamps, count - 1))
    strokes = []
    for first, last in zip([0, *ends], [*ends, stamps], strict=True):
        if first == last:
            continue
        brush = radius * rng.uniform(0.5, 1.5)
        # Cropping: a larger box is walked than the image shows.  Or else: stay clear of the margin.
        slack = brush + dilation if margin else -(_CROP - 1) / 2 * inner
        low, high = np.minimum(slack, inner / 2), np.maximum(inner - slack, inner / 2)
        turns = np.cumsum(rng.normal(0, 0.5, last - first)) + rng.uniform(0, 2 * np.pi)
        steps = brush * rng.uniform(0.6, 1.2, last - first)
        path = np.cumsum(steps[:, None] * np.stack([np.cos(turns), np.sin(turns)], 1), axis=0)
        path = _reflect(path + rng.uniform(low, high), low, high)
        path = _rotate(path - inner / 2, turn) + inner / 2
        if margin:
            path = _reflect(path, low, high)
        corners = _brush_corners(brush, rng)
        corners = None if corners is None else _rotate(corners, turn)
        strokes.append((int(first), path + margin, brush, corners))
    return strokes[::-1]


def _rotate(points: np.ndarray, angle: float) -> np.ndarray:
    """Rotate (x, y) rows about the origin."""
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def _reflect(path: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Fold a path back into the box [low, high] as a ball bounces off walls."""
    width = np.maximum(high - low, 1e-9)
    return low + width - np.abs((path - low) % (2 * width) - width)


def _brush_corners(radius: float, rng: np.random.Generator) -> np.ndarray | None:
    """Corners of a square or diamond about the origin, at a random rotation; None for a disc."""
    shape = rng.integers(3)
    if shape == 0:
        return None
    reach = np.array([1.25, 1.25, 1.25, 1.25] if shape == 1 else [1.5, 0.9, 1.5, 0.9])
    angles = rng.uniform(0, 2 * np.pi) + np.arange(4) * np.pi / 2
    return radius * reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)


def _draw(times: np.ndarray, first: int, path: np.ndarray, radius: float, corners) -> None:
    """Stamp the brush along the path, last position first, so that the earliest time stays."""
    centres = np.rint(path).astype(int)
    for i in range(len(path) - 1, -1, -1):
        if corners is None:
            cv2.circle(times, centres[i].tolist(), max(1, round(radius)), first + i, cv2.FILLED)
        else:
            cv2.fillConvexPoly(times, np.rint(path[i] + corners).astype(np.int32), first + i)


def _stop_at(times: np.ndarray, fewest: int, target: int, most: int, margin: int) -> np.ndarray:
    """Return the hole, as booleans, at the moment when it has `target` pixels within 1 % of all.

    If the hole jumps over that from one moment to the next, or the walk ends before it is reached,
    the pixels nearest to the hole are added one by one, which is exact.
    """
    covered = np.bincount(times.ravel(), minlength=_NEVER + 1)[:_NEVER].cumsum()
    after = int(np.searchsorted(covered, target))
    slack = times.size // 100
    low, high = max(fewest, target - slack), min(most, target + slack)
    near = [t for t in (after - 1, after) if 0 <= t < _NEVER and low <= covered[t] <= high]
    if near:
        return times <= min(near, key=lambda t: abs(int(covered[t]) - target))
    hole = times < after
    candidates = times == after
    if after == _NEVER and margin:
        candidates[:margin], candidates[-margin:] = False, False
        candidates[:, :margin], candidates[:, -margin:] = False, False
    return _grow(hole, candidates, target - int(hole.sum()))


def _grow(hole: np.ndarray, candidates: np.ndarray, pixels: int) -> np.ndarray:
    """Add the `pixels` candidates that lie nearest to the hole."""
    rows, columns = np.nonzero(candidates)
    start = hole.copy()
    if not start.any():
        start[rows[len(rows) // 2], columns[len(rows) // 2]] = True
    # SciPy's: OpenCV's exact transform was seen to give now and then another result for one input.
    distance = distance_transform_edt(~start)
    nearest = np.argsort(distance[rows, columns], kind="stable")[:pixels]
    grown = hole.copy()
    grown[rows[nearest], columns[nearest]] = True
    return grown
