"""Test masks of three widths: within the numbers of LaMa's protocol, and the same every time."""

import numpy as np
import pytest

from pconv_core.data import LAMA_CELLS, evaluation_cells, evaluation_set, open_photos
from pconv_core.masks import BINS, LAMA, MOST_HOLE, lama, lama_mask

# Widest and longest stroke in pixels of a mask of 256: random_thin_256 and its brothers.
STROKES = {"lama-thin": (15, 50), "lama-medium": (55, 110), "lama-thick": (105, 210)}


@pytest.mark.parametrize("kind", LAMA)
@pytest.mark.parametrize("size", [8, 64, 256])
def test_half_of_a_mask_stays_known(kind, size):
    for number in range(60):
        mask = lama_mask(size, kind, 3, number)
        assert mask.shape == (size, size)
        assert mask.dtype == np.float32
        assert set(np.unique(mask)) == {0, 1}
        assert mask.mean() >= 1 - MOST_HOLE
        assert np.array_equal(lama_mask(size, kind, 3, number), mask)
    others = {lama_mask(64, kind, seed, number).tobytes() for seed in (0, 1) for number in (0, 1)}
    assert len(others) == 4


@pytest.mark.parametrize("kind", LAMA)
def test_strokes_are_those_of_the_protocol(kind, monkeypatch):
    """Width, length and number of what is drawn on a mask of 256."""
    drawn, line = [], lama.cv2.line

    def noted(hole, start, end, colour, width):
        drawn.append((width, np.hypot(*np.subtract(end, start))))
        return line(hole, start, end, colour, width)

    monkeypatch.setattr(lama.cv2, "line", noted)
    for number in range(150):
        lama_mask(256, kind, 1, number)
    width, length = np.array(drawn).T
    widest, longest = STROKES[kind]
    assert width.min() >= 5
    assert 0.9 * widest < width.max() <= widest
    assert length.min() >= 10 - 2  # its ends are whole pixels
    assert 0.9 * longest < length.max() <= longest + 2


def test_they_are_evaluated_on_the_squares_of_the_others():
    photos = open_photos("embedded", "test")
    usual = {
        number: samples.origin(number)
        for *_, samples, numbers in evaluation_cells(photos, 32, 2, 5)
        for number in numbers
    }
    for kind in LAMA:
        cells = list(evaluation_cells(photos, 32, 2, 5, kind=kind))
        assert [(ratio, border) for ratio, border, *_ in cells] == LAMA_CELLS * [((0, 0.5), True)]
        numbers = [n for *_, of_cell in cells for n in of_cell]
        assert numbers == list(range(2 * LAMA_CELLS))
        assert all(s.origin(n) == usual[n] for *_, s, of_cell in cells for n in of_cell)
        first = next(evaluation_set(photos, 32, 2, 5, kind=kind))
        assert np.array_equal(first[-1][0, 0].numpy(), lama_mask(32, kind, 5, 0))
    assert len(usual) == 2 * 2 * len(BINS)
