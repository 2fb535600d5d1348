"""The cases that people repair most: drawn as named, measured as said."""

import cv2
import numpy as np

from pconv_core import weights
from pconv_study import repair_cases


def test_lines_are_as_wide_as_named():
    found = list(repair_cases.lines())
    assert [c.hole_size for c in found] == 6 * [1, 2, 3, 5, 8]
    assert {c.size for c in found} == {256, 512}
    for case in found:
        depth = cv2.distanceTransform(case.hole.astype(np.uint8), cv2.DIST_L2, 5)
        # Half the width in the middle of a line; OpenCV draws slanted ones two pixels wider.
        middle = np.quantile(depth[case.hole], 0.9)
        assert case.hole_size / 2 <= middle <= case.hole_size / 2 + 1.5
        assert case.rgb.shape == (case.size, case.size, 3)
        assert 0.005 < case.hole.mean() < 0.2


def test_squares_are_in_the_picture():
    cases = [*repair_cases.squares(), *repair_cases.plain()]
    assert len(cases) == 3 * 2 * 5 + 3
    for case in cases:
        assert case.hole.sum() == case.hole_size**2
        assert case.hole.shape == case.rgb.shape[:2]
        assert case.rgb.dtype == np.float32
        assert 0 <= case.rgb.min() <= case.rgb.max() <= 1
    assert {c.rgb.shape[:2] for c in cases} == {(1500, 2000), (256, 256)}


def test_a_row_a_picture():
    table = repair_cases.run(weights.load("shipped").folded(), repair_cases.plain())
    assert table["picture"].tolist() == ["red plate", "blue plate", "dark plate"]
    assert (table["hole_pixels"] == 1600).all()
    assert (table["psnr"] > table["telea"]).all()
    assert (table["telea"] > 38).all()
