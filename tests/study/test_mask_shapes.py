"""The shape of holes against written-out measures, and ours beside the paper's."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pconv_core.masks import KINDS, random_mask
from pconv_study import mask_shapes
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
    assert found["known_parts"] == 1


def test_a_ratio_of_1_is_the_papers_mean():
    paper = mask_shapes.published("paper_masks")
    assert len(paper) == 20
    inside = (paper["hole_ratio"] > 0.35) & (paper["hole_ratio"] <= 0.45)
    means = paper.loc[inside, list(mask_shapes.SHAPES)].mean().to_dict()
    same = {"kind": "occlusion", "border": True, "hole_ratio": "0.35-0.45", **means}
    relative = mask_shapes.over_paper(pd.DataFrame([same, same | {"hole_ratio": "0.5-0.6"}]))
    assert len(relative) == 1
    assert relative[list(mask_shapes.SHAPES)].to_numpy() == pytest.approx(1)


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


@pytest.mark.parametrize("thickness", [1, 2, 3, 4, 7])
def test_the_width_of_a_line_is_its_thickness(thickness):
    mask = np.ones((64, 64), np.float32)
    mask[20 : 20 + thickness] = 0
    assert widths_of(mask, [thickness - 1, thickness]) == [0, 1]
    assert widths_of(mask.T, [thickness - 1, thickness]) == [0, 1]


def test_thin_holes_are_drawn_thinner_than_the_papers():
    table = mask_shapes.widths(1, 10)
    axis = mask_shapes.widths_figure(table).axes[1]
    lines = {line.get_label(): line.get_ydata() for line in axis.lines}
    assert list(lines) == [*KINDS, "paper"]
    assert lines["thin"][3] > 0.1  # at most 4 pixels wide
    assert max(lines["paper"][3], lines["occlusion"][3]) < 0.02


def test_shapes_are_drawn_beside_the_papers():
    shapes = mask_shapes.measure(1, 2)
    depth, *_ = mask_shapes.shapes_figure(shapes).axes
    assert [len(line.get_xdata()) for line in depth.lines] == [20, 6, 6, 6, 6]
