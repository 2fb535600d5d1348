"""Thin masks: exact, of every width from a pixel on, of every kind of object; and their mixture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pconv_core.masks import margin_pixels, random_mask, thin
from pconv_core.seeding import STREAMS, generator


class Chosen:
    """A generator whose first draw is given; it sets the width of a mask, or chooses an object."""

    def __init__(self, first, number=0):
        self.rng, self.first = np.random.default_rng(number), [first]

    def uniform(self, low=0.0, high=1.0, size=None):
        if self.first and size is None:
            return low + self.first.pop() * (high - low)
        return self.rng.uniform(low, high, size)

    def __getattr__(self, name):
        return getattr(self.rng, name)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    height=st.integers(8, 90),
    width=st.integers(8, 90),
    share=st.floats(0, 1),
    border=st.booleans(),
    number=st.integers(0, 2**40),
)
def test_the_hole_has_exactly_the_pixels_asked_for(height, width, share, border, number):
    margin = 0 if border else margin_pixels((height, width))
    pixels = max(1, round(share * (height - 2 * margin) * (width - 2 * margin)))
    mask = thin.draw((height, width), margin, pixels, generator(3, number, "thin"))
    assert (mask.shape, mask.dtype) == ((height, width), np.float32)
    assert set(np.unique(mask)) <= {0, 1}
    assert (mask == 0).sum() == pixels
    rows, columns = np.nonzero(mask == 0)
    assert margin <= rows.min() <= rows.max() < height - margin
    assert margin <= columns.min() <= columns.max() < width - margin
    again = thin.draw((height, width), margin, pixels, generator(3, number, "thin"))
    assert np.array_equal(again, mask)


def test_the_thinnest_are_a_pixel_wide():
    """No disc of hole holds more than its centre: the depth is 1 but where objects cross."""
    for number in range(20):
        mask = thin.draw((256, 256), 0, 1300, Chosen(0.0, number))
        depth = ndimage.distance_transform_edt(mask == 0)
        assert np.mean(depth[mask == 0] == 1) > 0.8
        assert depth.max() < 4


def test_mixed_are_the_three_kinds_in_their_shares():
    draw = {"size": 32, "ratio": (0.1, 0.4), "seed": 9}
    found = {"occlusion": 0, "strokes": 0, "thin": 0}
    for number in range(500):
        mixed = random_mask(**draw, number=number, kind="mixed")
        same = [
            k for k in found if np.array_equal(mixed, random_mask(**draw, number=number, kind=k))
        ]
        assert len(same) == 1
        found[same[0]] += 1
    assert found["thin"] / 500 == pytest.approx(0.4, abs=0.08)
    assert found["occlusion"] / 500 == pytest.approx(0.4, abs=0.08)
    assert found["strokes"] / 500 == pytest.approx(0.2, abs=0.06)


def test_streams_are_not_shared():
    """No two draw the same numbers, so that a mask says nothing of its photograph's crop."""
    first = {generator(0, 0, stream).integers(2**63) for stream in STREAMS}
    assert len(first) == len(STREAMS)
