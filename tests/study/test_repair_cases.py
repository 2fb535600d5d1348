"""The cases that people repair most: drawn as named, the same each time, measured as said."""

import cv2
import numpy as np

from pconv_core import weights
from pconv_study import repair_cases


def test_lines_are_as_wide_as_named():
    found = list(repair_cases.lines())
    assert [width for *_, width, _, _ in found] == 6 * [1, 2, 3, 5, 8]
    assert {size for _, _, size, *_ in found} == {256, 512}
    for _, _, size, width, rgb, hole in found:
        depth = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 5)
        # Half the width in the middle of a line; OpenCV draws slanted ones two pixels wider.
        assert np.quantile(depth[hole], 0.9) <= width / 2 + 1.5
        assert rgb.shape == (size, size, 3)
        assert 0.005 < hole.mean() < 0.2
    # What the committed table was made of.
    assert [found[k][-1].sum() for k in (0, 1)] == [902, 3061]


def test_squares_are_in_the_picture_and_everything_is_the_same_again():
    first, again = ([*repair_cases.squares(), *repair_cases.plain()] for _ in range(2))
    assert len(first) == 3 * 2 * 5 + 3
    for (*_, side, rgb, hole), (*_, same, same_hole) in zip(first, again, strict=True):
        assert hole.sum() == side**2
        assert np.array_equal(rgb, same)
        assert np.array_equal(hole, same_hole)
        assert rgb.dtype == np.float32
        assert 0 <= rgb.min() <= rgb.max() <= 1
    assert {case[4].shape[:2] for case in first} == {(1500, 2000), (256, 256)}


def test_a_row_a_picture():
    table = repair_cases.run(weights.load("shipped").folded(), repair_cases.plain())
    assert table["picture"].tolist() == ["red plate", "blue plate", "dark plate"]
    assert (table["hole_pixels"] == 1600).all()
    assert (table["psnr"] > table["telea"]).all()
    assert (table["telea"] > 38).all()
