"""The shape of a hole: its depth, and growing it to an exact number of pixels."""

import numpy as np
from scipy.ndimage import distance_transform_edt


def depth(hole: np.ndarray) -> np.ndarray:
    """Distance in pixels of a hole's pixels (height, width) from the nearest known one, else 0.

    Exact, and beyond the sides of the picture nothing is known; ValueError if no pixel is.
    """
    if hole.all():
        raise ValueError("the picture is hole all over; some of it should be known")
    # SciPy's: OpenCV's exact transform was seen to give now and then another result for one input.
    return distance_transform_edt(hole)


def frame(size: tuple[int, int], margin: int) -> tuple[slice, slice]:
    """What the margin along the sides leaves of an array of this (height, width)."""
    return slice(margin, size[0] - margin), slice(margin, size[1] - margin)


def grow(hole: np.ndarray, pixels: int, margin: int) -> np.ndarray:
    """Dilate a hole (height, width), by a disc, until it has a number of pixels: the mask.

    None of the hole may lie in the margin, the strip along the sides that stays known; without any
    hole it grows from the middle.  Of pixels at one distance the upper ones come first.
    """
    if not hole.any():
        hole = np.zeros_like(hole)
        hole[hole.shape[0] // 2, hole.shape[1] // 2] = True
    distance = distance_transform_edt(~hole)
    inside = np.full(hole.shape, np.inf)
    inside[frame(hole.shape, margin)] = distance[frame(hole.shape, margin)]
    nearest = np.argsort(inside, axis=None, kind="stable")[:pixels]
    mask = np.ones(hole.shape, dtype=np.float32)
    mask.flat[nearest] = 0
    return mask
