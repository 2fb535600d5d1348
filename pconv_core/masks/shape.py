"""What a hole looks like in numbers: how deep it is, how long its contour, how many islands."""

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

__all__ = ["depth", "shape_of", "widths_of"]


def depth(hole: np.ndarray) -> np.ndarray:
    """Distance in pixels of a hole's pixels from the nearest known one, 0 where known.

    Exact, and beyond the sides of the picture nothing is known.

    Parameters
    ----------
    hole : ndarray of shape (height, width), bool

    Raises
    ------
    ValueError
        If no pixel is known.
    """
    if hole.all():
        raise ValueError("the picture is hole all over; some of it should be known")
    # SciPy's: OpenCV's exact transform was seen to give now and then another result for one input.
    return distance_transform_edt(hole)


def shape_of(mask: np.ndarray) -> dict[str, float]:
    """Measure the shape of a mask's hole.

    Parameters
    ----------
    mask : ndarray of shape (height, width)
        1 = known, 0 = hole; both occur.

    Returns
    -------
    dict
        "hole_ratio"; "mean_depth" and "max_depth", the distance of the hole's pixels to the nearest
        known one; "known_parts", the connected parts (of eight neighbours) of what is known; and
        "contour", half the sum of a 3 x 3 morphological gradient.  Lengths are in short sides of
        the mask, and those of the contour pixels times pixels over the side.
    """
    hole = (mask == 0).astype(np.uint8)
    side = min(hole.shape)
    # OpenCV's approximation on 5 x 5 neighbours, since the paper's masks were measured with it.
    deep = cv2.distanceTransform(hole, cv2.DIST_L2, 5)
    gradient = cv2.morphologyEx(hole, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    parts, _ = cv2.connectedComponents(1 - hole, connectivity=8)
    return {
        "hole_ratio": float(hole.mean()),
        "mean_depth": float(deep[hole > 0].mean() / side),
        "max_depth": float(deep.max() / side),
        "known_parts": parts - 1,  # one label is the hole's
        "contour": float(gradient.sum() / 2 / side),
    }


def widths_of(mask: np.ndarray, widths: Sequence[int]) -> list[float]:
    """Measure how wide a mask's hole is.

    The width of the hole at one of its pixels is the side of the largest square of hole that holds
    the pixel: of a horizontal or vertical line its thickness, of a slanting one a little less.
    Beyond its sides the mask goes on as it ends there.

    Parameters
    ----------
    mask : ndarray of shape (height, width)
        1 = known, 0 = hole; both occur.
    widths : sequence of int
        In pixels.

    Returns
    -------
    list of float
        For each width the share of the hole's pixels where it is that wide or less.
    """
    hole = (mask == 0).astype(np.uint8)
    pixels = int(hole.sum())
    return [1 - int((_wider(hole, width) * hole).sum()) / pixels for width in widths]


def _wider(hole: np.ndarray, width: int) -> np.ndarray:
    """Open a hole with a square one pixel wider than `width`: 1 where the hole is wider."""
    by = (width + 1,) * 4
    opened, square = cv2.copyMakeBorder(hole, *by, cv2.BORDER_REPLICATE), np.ones(by[:2], np.uint8)
    # A square of even side has no middle: what erodes to its first corner grows from its last.
    opened = cv2.dilate(cv2.erode(opened, square, anchor=(0, 0)), square, anchor=(width, width))
    return opened[by[0] : -by[0], by[0] : -by[0]]
