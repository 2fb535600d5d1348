"""Thin masks: exact, of every width from a pixel on, of every kind of object; and their mixture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

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
    assert mask.shape == (height, width)
    assert mask.dtype == np.float32
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


def test_widths_of_masks_are_even_in_scale(monkeypatch):
    """Of the lines that masks draw, from one pixel to a sixteenth of the side."""
    drawn = []

    def one_line(canvas, width, side, rng):
        drawn[-1].append(width)
        canvas[:] = 1

    monkeypatch.setattr(thin, "_draw_object", one_line)
    # Each mask ends with its first object, so that its width is drawn once.
    for number in range(2000):
        drawn.append([])
        thin.draw((512, 512), 0, 512 * 512, generator(5, number, "thin"))
    widths = np.array([first for (first,) in drawn])
    assert widths.min() == 1
    assert 32 < widths.max() <= round(1.4 * 32)
    # A mask's width times 0.7 to 1.4: an even scale blurred by half an octave on either side.
    octaves, _ = np.histogram(widths, [2, 4, 8, 16])
    assert octaves.min() > 0.8 * octaves.max()
    scale = np.log(np.sort(widths[(widths >= 3) & (widths < 20)]) + 0.0)
    spread = stats.kstest(scale, stats.uniform(np.log(2.5), np.log(19.5 / 2.5)).cdf)
    assert spread.statistic < 0.15


def test_objects_come_in_their_shares(monkeypatch):
    """Of all objects that masks draw: scratches, hairs, letters, specks."""
    names = {"polylines": 0, "putText": 0, "ellipse": 0}

    def counted(name, original):
        def call(*arguments):
            names[name] += 1
            return original(*arguments)

        return call

    for name in names:
        monkeypatch.setattr(thin.cv2, name, counted(name, getattr(thin.cv2, name)))
    for number in range(60):
        thin.draw((128, 128), 0, 5000, generator(0, number, "thin"))
    total = sum(names.values())
    assert total > 1000
    shares = [names[name] / total for name in ("polylines", "putText", "ellipse")]
    assert shares == pytest.approx([0.65, 0.2, 0.15], abs=0.04)


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
    assert len(set(STREAMS.values())) == len(STREAMS)
    first = {generator(0, 0, stream).integers(2**63) for stream in STREAMS}
    assert len(first) == len(STREAMS)
