"""Strokes measure like the paper's masks, at every size, and keep to their map of times."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pconv_core
from pconv_core.masks import margin_pixels, random_mask, strokes
from pconv_core.seeding import generator
from pconv_study.mask_shapes import shape_of

PAPER = pd.read_csv(Path(pconv_core.__file__).parents[1] / "pconv_study/paper_masks.csv")
FIGURES = ["mean_depth", "contour", "known_parts"]


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


def test_a_last_moment_is_cut_where_no_moment_fits():
    """One pixel count is allowed: the moments alone seldom meet it."""
    pixels = 5000
    ratio = ((pixels - 1) / 128**2, pixels / 128**2)
    for number in range(50):
        mask = random_mask(128, ratio, True, 5, number, "strokes")
        assert (mask == 0).sum() == pixels
