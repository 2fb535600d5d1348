"""Strokes measure like the paper's masks, at every size, and keep to their map of times."""

import numpy as np
import pytest

from pconv_core.masks import random_mask, strokes
from pconv_core.seeding import generator
from pconv_study.mask_shapes import shape_of


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
    assert (times.shape, times.dtype) == (size, np.uint8)
    assert len(centres) <= strokes.NEVER
    assert times[times < strokes.NEVER].max() < len(centres)
    assert (centres >= margin).all()
    assert (centres < [size[1] - margin, size[0] - margin]).all()
    assert found == (times < strokes.NEVER).sum() == strokes.covered(times, strokes.NEVER - 1)
