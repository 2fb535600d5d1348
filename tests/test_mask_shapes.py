"""The shape of holes against written-out measures, and ours beside the paper's."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pconv_core.masks import random_mask
from pconv_core.masks.shape import shape_of
from pconv_core.study import mask_shapes


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(16, 60), st.integers(16, 60), st.integers(0, 99))
def test_shape_against_scipy(height, width, number):
    mask = random_mask((height, width), (0.1, 0.5), number=number)
    hole, side = mask == 0, min(height, width)
    found = shape_of(mask)
    depth = ndimage.distance_transform_edt(hole)
    # OpenCV's distance on 5 x 5 neighbours is near the exact one.
    assert found["mean_depth"] == pytest.approx(depth[hole].mean() / side, rel=0.03)
    assert found["max_depth"] == pytest.approx(depth.max() / side, rel=0.03)
    assert found["known_parts"] == ndimage.label(~hole, np.ones((3, 3)))[1]
    # Pixels that have both kinds among their neighbours and themselves.
    near = [
        np.pad(hole, 1, mode="edge")[y : y + height, x : x + width]
        for y in range(3)
        for x in range(3)
    ]
    both = np.any(near, axis=0) & ~np.all(near, axis=0)
    assert found["contour"] == pytest.approx(both.sum() / 2 / side)
    assert found["hole_ratio"] == hole.mean()


def test_of_a_square():
    mask = np.ones((100, 100), np.float32)
    mask[40:60, 40:60] = 0
    found = shape_of(mask)
    assert found["contour"] == pytest.approx((4 * 20 - 4 + 4 * 20 + 4) / 2 / 100)
    assert found["max_depth"] == pytest.approx(0.1)
    assert found["known_parts"] == 1


def test_the_papers_figures():
    paper = mask_shapes.of_paper()
    assert len(paper) == 20
    means = mask_shapes.paper_means()
    assert (
        means["masks"].sum() == ((paper["hole_ratio"] > 0.25) & (paper["hole_ratio"] <= 0.55)).sum()
    )


def test_a_ratio_of_1_is_the_papers_mean():
    means = mask_shapes.paper_means()
    ours = means.assign(kind="occlusion", border=True)
    relative = mask_shapes.over_paper(pd.concat([ours, ours.assign(hole_ratio="0.5-0.6")]))
    assert len(relative) == len(means)
    assert relative[list(mask_shapes.SHAPES)].to_numpy() == pytest.approx(1)
