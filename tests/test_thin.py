"""Thin masks: exact, of every width from a pixel on, of every kind of object; and their mixture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from pconv_core.masks import margin_pixels, random_mask, thin
from pconv_core.masks.seeding import STREAMS, generator


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


def test_the_widest_are_a_sixteenth_of_the_side():
    deepest = []
    for number in range(40):
        mask = thin.draw((256, 256), 0, 3000, Chosen(1.0, number))
        deepest.append(ndimage.distance_transform_edt(mask == 0).max())
    # Half of 16 pixels times 0.7 to 1.4; specks are thicker, up to three times.
    assert 5 < np.median(deepest) < 17
    assert max(deepest) < 1.5 * 1.4 * 16 + 4


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


def test_measured_widths_are_about_even_in_scale():
    """Twice the depth along the ridge of the hole, of masks whose objects seldom meet."""
    medians = []
    for number in range(300):
        mask = random_mask(256, (0.01, 0.03), seed=1, number=number, kind="thin")
        depth = ndimage.distance_transform_edt(mask == 0)
        ridge = (depth == ndimage.maximum_filter(depth, 3)) & (mask == 0)
        medians.append(2 * np.median(depth[ridge]) - 1)
    # From 1 to 16 pixels are four octaves: a quarter of the masks in each, about.
    counts, _ = np.histogram(medians, [0.9, 2, 4, 8, 64])
    assert counts.sum() == 300
    assert counts.min() > 40
    assert counts.max() < 120


@pytest.mark.parametrize(
    ("choice", "kind"),
    [(0.2, "scratch"), (0.5, "hair"), (0.75, "letters"), (0.95, "speck")],
)
def test_every_kind_of_object(choice, kind, monkeypatch):
    """A scratch is straight, a hair is not; letters are many parts, or have openings."""
    canvases = []
    for number in range(30):
        rng = np.random.default_rng(number)
        canvas = np.zeros((200, 200), np.uint8)
        places = iter([choice])

        class Fixed:
            def random(self, places=places, rng=rng):
                return next(places, None) or rng.random()

            def uniform(self, low, high=None, size=None, rng=rng):
                if isinstance(high, tuple):  # the place: the middle, so that nothing is cut off
                    return np.array([100.0, 100.0])
                return rng.uniform(low, high, size)

            def __getattr__(self, name, rng=rng):
                return getattr(rng, name)

        thin._draw_object(canvas, 3, 100.0, Fixed())
        canvases.append(canvas)
    assert all(c.any() for c in canvases)
    if kind in ("scratch", "hair"):
        bent = [off_line(c) for c in canvases]
        assert (max(bent) < 3) if kind == "scratch" else (np.median(bent) > 3)
    if kind == "letters":
        parts = [ndimage.label(c, np.ones((3, 3)))[1] for c in canvases]
        assert np.median(parts) > 2
    if kind == "speck":
        assert all(ndimage.label(c)[1] == 1 for c in canvases)
        extents = [np.ptp(np.nonzero(c), axis=1).max() + 1 for c in canvases]
        assert max(extents) <= 3 * 3 + 2


def off_line(canvas):
    """Farthest that a pixel lies from the line that fits all of them best."""
    points = np.argwhere(canvas).astype(float)
    points -= points.mean(axis=0)
    return np.abs(points @ np.linalg.svd(points, full_matrices=False)[2][1]).max()


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
