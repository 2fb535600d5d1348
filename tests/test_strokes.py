"""Strokes measure like the paper's masks, at every size, and keep to their map of times."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pconv_core.study
from pconv_core.masks import hole_ratio, margin_pixels, random_mask, strokes
from pconv_core.masks.seeding import generator
from pconv_core.masks.shape import shape_of

PAPER = pd.read_csv(Path(pconv_core.study.__file__).with_name("paper_masks.csv"))
FIGURES = ["mean_depth", "contour", "known_parts"]


def figures(ratio, border, count, size=256):
    masks = (random_mask(size, ratio, border, 7, number, "strokes") for number in range(count))
    return pd.DataFrame([shape_of(mask) for mask in masks])[FIGURES].mean()


@pytest.mark.parametrize("border", [True, False])
@pytest.mark.parametrize("ratio", [(0.25, 0.35), (0.35, 0.45), (0.45, 0.55)])
def test_strokes_measure_like_the_papers_masks(ratio, border):
    paper = PAPER[PAPER.hole_ratio.between(*ratio)][FIGURES].mean()
    difference = figures(ratio, border, 200) / paper - 1
    assert (difference.abs() < 0.25).all(), difference


@pytest.mark.parametrize("border", [True, False])
def test_figures_go_on_smoothly(border):
    """From one tenth to the next no figure jumps, and depth and islands grow with the ratio."""
    bins = [(lo, lo + 0.05) for lo in (0.05, 0.15, 0.25, 0.35, 0.45, 0.55)]
    table = pd.DataFrame([figures(ratio, border, 60) for ratio in bins])
    assert (table.mean_depth.diff()[1:] > 0).all()
    assert table.mean_depth.between(0.01, 0.05).all()
    assert (table.known_parts[2:] > 5).all()
    assert (table.contour[1:] > 8).all()
    assert (table.contour.diff()[2:].abs() < 5).all()


@pytest.mark.parametrize("size", [64, 128, 512])
def test_strokes_look_the_same_at_other_sizes(size):
    here, at_256 = (figures((0.3, 0.5), True, 80, pixels) for pixels in (size, 256))
    # A hole's outermost pixels are one pixel from the next known one, not half a pixel.
    here.mean_depth, at_256.mean_depth = here.mean_depth - 0.5 / size, at_256.mean_depth - 0.5 / 256
    change = here / at_256 - 1
    assert change[["mean_depth", "contour"]].abs().max() < 0.2, change
    assert abs(change.known_parts) < 0.35, change


@pytest.mark.parametrize("number", range(60))
def test_no_border_at_sixty_per_cent_is_no_solid_block(number):
    shape = shape_of(random_mask(256, (0.5, 0.6), False, 2, number, "strokes"))
    assert shape["known_parts"] > 3
    assert shape["contour"] > 5  # the sides of the inner square alone are 3.2


@pytest.mark.parametrize("size", [(8, 8), (9, 300), (64, 64), (200, 120)])
@pytest.mark.parametrize("margin", [0, 1])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_map_of_times(size, margin, share):
    pixels = int(share * (size[0] - 2 * margin) * (size[1] - 2 * margin))
    times, centres, found = strokes.draw(size, margin, pixels, generator(1, 2, "mask"))
    assert times.shape == size
    assert times.dtype == np.uint8
    assert len(centres) <= strokes.NEVER
    assert times[times < strokes.NEVER].max() < len(centres)
    assert (centres >= margin).all()
    assert (centres < [size[1] - margin, size[0] - margin]).all()
    assert found == (times < strokes.NEVER).sum() == strokes.covered(times, strokes.NEVER - 1)


def test_seldom_too_few_strokes():
    """Growing is for what the walks leave: it makes no strokes, and takes longer."""
    calls = 0
    for number in range(300):
        border = number % 2 == 0
        pixels = int((0.02 + 0.58 * number / 300) * 128**2)
        margin = 0 if border else margin_pixels((128, 128))
        calls += strokes.draw((128, 128), margin, pixels, generator(3, number, "mask"))[2] < pixels
    assert calls <= 9


@pytest.mark.parametrize("border", [True, False])
@pytest.mark.parametrize("size", [8, 33, (64, 256)])
def test_ratio_margin_and_pure_function(size, border):
    for number in range(40):
        mask = random_mask(size, (0.3, 0.36), border, 4, number, "strokes")
        assert 0.3 < hole_ratio(mask) <= 0.36
        assert np.array_equal(mask, random_mask(size, (0.3, 0.36), border, 4, number, "strokes"))
        if not border:
            margin = margin_pixels(mask.shape)
            inner = mask[margin:-margin, margin:-margin]
            assert (inner == 0).sum() == (mask == 0).sum()


def test_a_last_moment_is_cut_where_no_moment_fits():
    """One pixel count is allowed: the moments alone seldom meet it."""
    pixels = 5000
    ratio = ((pixels - 1) / 128**2, pixels / 128**2)
    for number in range(50):
        mask = random_mask(128, ratio, True, 5, number, "strokes")
        assert (mask == 0).sum() == pixels
