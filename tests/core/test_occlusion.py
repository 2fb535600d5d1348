from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import pconv_core
from pconv_core.masks import PAPER_LIKE, random_mask
from pconv_core.masks.occlusion import occlusions
from pconv_core.masks.scenes import labels
from pconv_study.mask_shapes import shape_of

PAPER = pd.read_csv(Path(pconv_core.__file__).parents[1] / "pconv_study/paper_masks.csv")
MEASURES = ["mean_depth", "contour", "known_parts"]
PAD = 6


def slowly(first, second, motions, pad):
    """The forward-backward check, a pixel at a time, with flows in float64."""
    found = {}
    for y in range(pad, first.shape[0] - pad):
        for x in range(pad, first.shape[1] - pad):
            forward = motions[first[y, x]].astype(np.float64)
            there = second[int(y + forward[1]), int(x + forward[0])]
            backward = -motions[there].astype(np.float64)
            error = np.linalg.norm(forward + backward) ** 2
            lengths = np.linalg.norm(forward) ** 2 + np.linalg.norm(backward) ** 2
            if error > 0.01 * lengths + 0.5:
                found[y - pad, x - pad] = max(first[y, x], there)
    return found


def found_in(first, second, motions, pad=PAD):
    places, owners = occlusions(first, second, motions, pad)
    rows, columns = np.divmod(places, first.shape[1] - 2 * pad)
    return dict(zip(zip(rows.tolist(), columns.tolist(), strict=True), owners, strict=True))


FRAMES = arrays(np.uint8, (24, 19), elements=st.integers(0, 4))


@settings(max_examples=40, deadline=None)
@given(FRAMES, FRAMES, arrays(np.int32, (5, 2), elements=st.integers(-PAD, PAD)))
def test_the_check_is_that_of_the_equation(first, second, motions):
    assert found_in(first, second, motions) == slowly(first, second, motions, PAD)


def square(left, top, side):
    corners = np.array([[0, 0], [side - 1, 0], [side - 1, side - 1], [0, side - 1]], dtype=float)
    return corners + np.array([left, top])


def hidden(outlines, motions, size=(80, 80)):
    """What of the first frame is hidden in the second, and the owner of each such pixel."""
    outlines, motions = np.array(outlines), np.array([[0, 0], *motions])
    moved = outlines + motions[1:, None]
    picture = np.zeros(size, dtype=np.uint8)
    found = found_in(labels(outlines, size), labels(moved, size), motions, pad=10)
    for (row, column), owner in found.items():
        picture[row + 10, column + 10] = owner
    return picture


def test_a_moving_object_hides_what_it_comes_to_lie_on():
    """A square that moves right by 10 covers 10 columns of background, as high as it is."""
    expected = np.zeros((80, 80), dtype=np.uint8)
    expected[25:55, 50:60] = 1
    np.testing.assert_array_equal(hidden([square(20, 25, 30)], [[10, 0]]), expected)


def test_an_object_on_which_the_other_lies_is_hidden_not_the_upper_one():
    """Of two squares side by side the lower one moves by 6 under the upper one."""
    picture = hidden([square(20, 30, 20), square(40, 30, 20)], [[6, 0], [0, 0]])
    expected = np.zeros((80, 80), dtype=np.uint8)
    expected[30:50, 34:40] = 2
    np.testing.assert_array_equal(picture, expected)


@pytest.mark.parametrize("kind", PAPER_LIKE)
@pytest.mark.parametrize("border", [True, False])
@pytest.mark.parametrize("ratio", [(0.25, 0.35), (0.35, 0.45), (0.45, 0.55)])
def test_means_are_within_a_quarter_of_the_papers(ratio, border, kind):
    paper = PAPER[PAPER["hole_ratio"].between(*ratio)][MEASURES].mean()
    masks = (random_mask(256, ratio, border, 1, k, kind) for k in range(150))
    ours = pd.DataFrame(map(shape_of, masks))[MEASURES].mean()
    assert (ours / paper).between(0.75, 1.25).all(), (ours / paper).to_dict()


@pytest.mark.parametrize("size", [64, 128, 512])
def test_the_look_does_not_depend_on_the_size(size):
    def means(side):
        masks = (random_mask(side, (0.2, 0.5), k % 2 > 0, 3, k, "occlusion") for k in range(80))
        mean = pd.DataFrame(map(shape_of, masks))[["mean_depth", "contour"]].mean()
        # The outermost pixels are half a pixel deep and counted as one.
        return mean - [0.5 / side, 0]

    assert (means(size) / means(256)).between(0.75, 1.25).all()
