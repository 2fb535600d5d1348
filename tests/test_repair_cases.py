"""The cases that people repair most: drawn as named, the same each time, measured as said."""

import cv2
import numpy as np
import pandas as pd
import pytest

from pconv_core.files import checkpoints
from pconv_core.models import IMAGENET_MEAN, build_model
from pconv_core.study import repair_cases

SETTINGS = {"model": "pconv", "size": 32, "base_channels": 2}


def test_lines_are_as_wide_as_named():
    found = list(repair_cases.cases(["lines"]))
    assert [c.hole_size for c in found] == 6 * [1, 2, 3, 5, 8]
    assert {c.size for c in found} == {256, 512}
    for case in found:
        depth = cv2.distanceTransform(case.hole.astype(np.uint8), cv2.DIST_L2, 5)
        # Half the width in the middle of a line; OpenCV draws slanted ones two pixels wider.
        assert np.quantile(depth[case.hole], 0.9) <= case.hole_size / 2 + 1.5
        assert case.rgb.shape == (case.size, case.size, 3)
        assert 0.005 < case.hole.mean() < 0.2
    areas = [c.hole.sum() for c in found[:5]]
    assert areas == sorted(areas)


def test_squares_are_in_the_picture_and_everything_is_the_same_again():
    first, again = (list(repair_cases.cases(["squares", "plain"])) for _ in range(2))
    assert len(first) == 3 * 2 * 5 + 3
    for case, other in zip(first, again, strict=True):
        assert case.hole.sum() == case.hole_size**2
        assert np.array_equal(case.rgb, other.rgb)
        assert np.array_equal(case.hole, other.hole)
        assert case.rgb.dtype == np.float32
        assert 0 <= case.rgb.min() <= case.rgb.max() <= 1
    assert {c.rgb.shape[:2] for c in first} == {(1500, 2000), (256, 256)}


def test_grey_is_a_surface_and_not_a_pixel_in_passing():
    filled, hole = np.zeros((20, 30, 3), np.float32), np.ones((20, 30), bool)
    filled[3, 4] = IMAGENET_MEAN
    assert repair_cases.grey_pixels(filled, hole) == 0
    filled[5:11, 5:13] = IMAGENET_MEAN
    assert repair_cases.grey_pixels(filled, hole) == 4 * 6
    hole[:, :9] = False
    assert repair_cases.grey_pixels(filled, hole) == 4 * 2


def test_the_command_writes_a_row_a_picture(tmp_path, capsys):
    checkpoints.save_weights(tmp_path / "net.pt", build_model("pconv", 32, 2, seed=0), SETTINGS)
    options = ["--out", str(tmp_path / "t.csv"), "--cases", "plain"]
    assert repair_cases.main([*options, "--checkpoint", str(tmp_path / "net.pt")]) == 0
    table = pd.read_csv(tmp_path / "t.csv")
    assert table["picture"].tolist() == ["red plate", "blue plate", "dark plate"]
    assert (table["telea"] > 38).all()
    mean = repair_cases.means(table).iloc[0]
    assert mean["psnr"] == pytest.approx(table["psnr"].mean())
    assert mean["pictures"] == 3
    assert "plain" in capsys.readouterr().out
    assert repair_cases.main([*options, "--checkpoint", str(tmp_path / "none.pt")]) == 2
    assert "no checkpoint at" in capsys.readouterr().err
