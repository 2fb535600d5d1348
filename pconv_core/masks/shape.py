"""How deep a hole is."""

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
