"""Irregular masks at a guaranteed hole ratio: occlusions as in the paper, brush strokes, thin ones.

A mask is a pure function of (seed, number).  Strokes are drawn as a map of the order in which the
pixels become hole, and stop where the ratio lies in the interval; occlusions and thin objects
become hole one after another until it does.
"""

import math

import cv2
import numpy as np

from pconv_core.masks import occlusion, strokes, thin
from pconv_core.masks.shape import grow
from pconv_core.seeding import generator

# Six bins of hole ratio, each lo < ratio <= hi (the paper's test set).
BINS = ((0.01, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 0.5), (0.5, 0.6))
# A mask "without border" keeps its hole 50 of 512 pixels away from each side.
BORDER_MARGIN = 50 / 512
MIN_MASK_SIZE = 8

PAPER_LIKE = ("occlusion", "strokes")  # their holes measure like the paper's; the first is its way
KINDS = (*PAPER_LIKE, "thin", "mixed")  # the first is the default
_MIXED = {"thin": 0.4, "occlusion": 0.4, "strokes": 0.2}  # shares of a kind in "mixed"
_STREAMS = {"occlusion": "occlusion", "strokes": "mask", "thin": "thin"}
_NEAR = 0.025  # of all pixels: a hole this near to its random ratio may stop


def random_mask(
    size: int | tuple[int, int],
    ratio: tuple[float, float] = (0.01, 0.6),
    border: bool = True,
    seed: int = 0,
    number: int = 0,
    kind: str = KINDS[0],
) -> np.ndarray:
    """Draw one irregular mask.

    Parameters
    ----------
    size : int or (height, width)
        In pixels, at least 8.
    ratio : (lo, hi)
        Interval of the hole-to-image ratio; lo < ratio <= hi is guaranteed, and that at least one
        pixel is known.
    border : bool
        Whether the hole may touch the border; if not, it stays `margin_pixels` away.
    seed, number : int
        The mask is a pure function of these two and the other arguments.
    kind : {"occlusion", "strokes", "thin", "mixed"}
        The pixels that moving objects hide from one frame to the next; random brush strokes;
        scratches, hairs, letters and specks; or one of these three, drawn for each number.

    Returns
    -------
    ndarray of shape (height, width), float32
        1 = known, 0 = hole.

    Raises
    ------
    ValueError
        If the kind is unknown, the size too small, or no such mask can lie in the interval.
    """
    if kind not in KINDS:
        raise ValueError(f"kind of mask is {kind!r}; it should be one of {', '.join(KINDS)}")
    size = (size, size) if isinstance(size, int) else tuple(size)
    if min(size) < MIN_MASK_SIZE:
        raise ValueError(f"mask size is {size[0]}x{size[1]}; at least {MIN_MASK_SIZE} is needed")
    margin = 0 if border else margin_pixels(size)
    fewest, most = _pixel_limits(size, ratio, margin)
    if kind == "mixed":
        kind = str(generator(seed, number, "kind").choice(list(_MIXED), p=list(_MIXED.values())))
    rng = generator(seed, number, _STREAMS[kind])
    target = int(rng.integers(fewest, most + 1))
    if kind == "strokes":
        return _stroke_mask(size, margin, fewest, target, most, rng)
    return (thin if kind == "thin" else occlusion).draw(size, margin, target, rng)


def margin_pixels(size: tuple[int, int]) -> int:
    """Width in pixels of the strip that a mask without border keeps known (50 at 512)."""
    return max(1, round(BORDER_MARGIN * min(size)))


def hole_ratio(mask: np.ndarray) -> float:
    """Share of hole pixels in a 0/1 mask."""
    return float(1 - np.mean(mask, dtype=np.float64))


def _pixel_limits(size, ratio, margin: int) -> tuple[int, int]:
    """Fewest and most hole pixels that satisfy lo < ratio <= hi; at least one stays known."""
    lo, hi = ratio
    if not 0 <= lo < hi <= 1:
        raise ValueError(f"hole ratio is ({lo:g}, {hi:g}]; it should satisfy 0 <= lo < hi <= 1")
    pixels = size[0] * size[1]
    room = min((size[0] - 2 * margin) * (size[1] - 2 * margin), pixels - 1)
    # The small number forgives decimal ratios such as 0.3, which binary floats miss.
    fewest, most = int(lo * pixels + 1e-6) + 1, min(int(hi * pixels + 1e-6), room)
    if fewest > most:
        kind = "without" if margin else "with"
        raise ValueError(
            f"no {size[0]}x{size[1]} mask {kind} border has a hole ratio in ({lo:g}, {hi:g}]; "
            f"it should allow a whole number of pixels, 1 to {room} of {pixels}"
        )
    return fewest, most


def _stroke_mask(size, margin, fewest, target, most, rng) -> np.ndarray:
    """Stop the brush at the moment when the hole has about `target` pixels."""
    times, centres, pixels_after = strokes.draw(size, margin, target, rng)
    before, after, pixels_before = -1, len(centres) - 1, 0
    if pixels_after < target:
        return grow(times < strokes.NEVER, target, margin)
    near, room = times.size * _NEAR, (size[0] - 2 * margin) * (size[1] - 2 * margin)
    low, high = max(fewest, target - near), min(most, target + near)
    while after - before > 1 and pixels_before < low and pixels_after > high:
        # What is still known falls about exponentially: its logarithm is interpolated.
        known = [math.log(room + 1 - n) for n in (pixels_before, target, pixels_after)]
        steps = round((known[0] - known[1]) / (known[0] - known[2]) * (after - before))
        time = before + min(max(1, steps), after - before - 1)
        pixels = strokes.covered(times, time)
        if pixels < target:
            before, pixels_before = time, pixels
        else:
            after, pixels_after = time, pixels
    ends = {pixels_before: before, pixels_after: after}
    allowed = [pixels for pixels in ends if fewest <= pixels <= most]
    if allowed:
        time = ends[min(allowed, key=lambda pixels: abs(pixels - target))]
        return (times > time).astype(np.float32)
    return _cut(times, after, centres[after], target - pixels_before)


def _cut(times: np.ndarray, last: int, centre: np.ndarray, pixels: int) -> np.ndarray:
    """End with `pixels` of the last stamp, those nearest to its centre."""
    mask = (times >= last).astype(np.float32)
    stamp = times == last
    left, top, width, height = cv2.boundingRect(stamp.view(np.uint8))
    rows, columns = np.nonzero(stamp[top : top + height, left : left + width])
    rows, columns = rows + top, columns + left
    distance = (rows - centre[1]) ** 2 + (columns - centre[0]) ** 2
    nearest = np.argsort(distance, kind="stable")[:pixels]
    mask[rows[nearest], columns[nearest]] = 0
    return mask
