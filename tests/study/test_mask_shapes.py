"""The shape of holes against written-out measures, and ours beside the paper's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pconv_core.masks import KINDS, random_mask
from pconv_study.mask_shapes import shape_of, widths_of


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(16, 60), st.integers(16, 60), st.integers(0, 99))
def test_shape_against_scipy(height, width, number):
    mask = random_mask((height, width), (0.1, 0.5), number=number)
    hole, side = mask == 0, min(height, width)
    found = shape_of(mask)
    depth = ndimage.distance_transform_edt(hole)
    # OpenCV's distance on 5 x 5 neighbours is near the exact one.
    assert found["mean_depth"] == pytest.approx(depth[hole].mean() / side, rel=0.03)
    assert found["known_parts"] == ndimage.label(~hole, np.ones((3, 3)))[1]
    # Pixels that have both kinds among their neighbours and themselves.
    wide = np.pad(hole, 1, mode="edge")
    near = [wide[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    both = np.any(near, axis=0) & ~np.all(near, axis=0)
    assert found["contour"] == pytest.approx(both.sum() / 2 / side)
    assert found["hole_ratio"] == hole.mean()


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(8, 24), st.integers(8, 24), st.integers(0, 99), st.sampled_from(KINDS))
def test_widths_against_written_out_squares(height, width, number, kind):
    """Every square of hole is looked at, in the mask that goes on beyond its sides."""
    mask = random_mask((height, width), (0.1, 0.6), number=number, kind=kind)
    hole = np.pad(mask == 0, 6, mode="edge")
    widest = np.zeros(hole.shape, int)
    for side in range(1, 7):
        for y in range(hole.shape[0] - side + 1):
            for x in range(hole.shape[1] - side + 1):
                square = np.s_[y : y + side, x : x + side]
                if hole[square].all():
                    widest[square] = np.maximum(widest[square], side)
    widest = widest[6:-6, 6:-6][mask == 0]
    shares = [(widest <= side).mean() for side in range(1, 6)]
    assert widths_of(mask, range(1, 6)) == pytest.approx(shares)
