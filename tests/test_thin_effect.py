"""What helps on thin holes: the lines, what is trained, and that nothing is trained twice."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import distance_transform_cdt
from skimage.metrics import peak_signal_noise_ratio
from test_style_effect import SMALL

from pconv_core import evaluation
from pconv_core.study import thin_effect
from pconv_core.study.profile import load_profile


@pytest.mark.parametrize("width", thin_effect.LINE_WIDTHS)
def test_lines_are_as_wide_as_they_say(width):
    masks = thin_effect.line_masks(6, 96, width, seed=1)
    again = thin_effect.line_masks(6, 96, width, seed=1)
    assert torch.equal(masks, again)
    for mask in masks[:, 0].numpy():
        hole = mask == 0
        # Chessboard depth: a straight line of width w reaches (w + 1) / 2; crossings go deeper.
        depth = distance_transform_cdt(np.pad(hole, 1), "chessboard")[1:-1, 1:-1][hole]
        assert np.median(depth) <= (width + 1) / 2
        assert depth.max() >= width / 2
        assert 0 < hole.mean() < 0.6


def test_psnr_in_the_hole_is_scikit_images():
    g = torch.Generator().manual_seed(0)
    out, image = torch.rand(3, 3, 32, 32, generator=g), torch.rand(3, 3, 32, 32, generator=g)
    masks = thin_effect.line_masks(3, 32, 2, seed=0)
    found = thin_effect.psnr_in_hole(out, image, masks)
    for k in range(3):
        hole = (masks[k, 0] == 0).numpy()
        ours, truth = (x[k].permute(1, 2, 0).numpy()[hole] for x in (out, image))
        assert found[k] == pytest.approx(peak_signal_noise_ratio(truth, ours, data_range=1))


def test_it_trains_every_way_and_goes_on(tmp_path):
    profile = load_profile("thin", {"name": "small", **SMALL})
    found = thin_effect.run(profile, tmp_path, seeds=2)
    assert list(found["model"].unique()) == list(thin_effect.ARMS)[1:]
    assert set(found["metric"]) == set(thin_effect.MEASURES)
    assert np.allclose(found["mean"] - found["faithful"], found["difference"], atol=1e-6)
    weights = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.pt")}
    assert len(weights) == 2 * len(thin_effect.ARMS)
    classical = pd.read_csv(tmp_path / "small/tables/08_thin_classical.csv").set_index("model")
    assert (classical["line_1"] > classical["line_8"]).all()
    again = thin_effect.run(profile, tmp_path, seeds=2)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.pt")} == weights
    pd.testing.assert_frame_equal(found, again)


def test_the_faithful_way_is_the_papers():
    assert thin_effect.ARMS[thin_effect.FAITHFUL] == ("pconv", "occlusion")
    assert (
        thin_effect.psnr_in_hole(*[torch.zeros(1, 3, 8, 8)] * 2, torch.zeros(1, 1, 8, 8))
        == evaluation.MAX_PSNR
    )
