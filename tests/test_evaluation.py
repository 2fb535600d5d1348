import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import gaussian_filter

from pconv_core import evaluation
from pconv_core.data import embedded, evaluation_set
from pconv_core.models import build_model
from pconv_core.study.tables import published


@pytest.fixture(scope="module")
def crops():
    return list(evaluation_set(embedded("test"), 32, per_cell=1, seed=5))


def ssim_by_definition(a, b):
    """Wang et al. (2004): Gaussian window of sigma 1.5, 11 wide, borders left out."""

    def blur(x):
        return gaussian_filter(x, 1.5, truncate=3.5)[5:-5, 5:-5]

    values = []
    for x, y in zip(np.moveaxis(a, 2, 0), np.moveaxis(b, 2, 0), strict=True):
        mx, my = blur(x), blur(y)
        vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
        c1, c2 = 0.01**2, 0.03**2
        values.append((2 * mx * my + c1) * (2 * cov + c2) / (mx**2 + my**2 + c1) / (vx + vy + c2))
    return np.mean(values)


def test_metrics_by_their_definitions():
    rng = np.random.default_rng(0)
    a, b = rng.random((40, 30, 3)), rng.random((40, 30, 3))
    found = evaluation.metrics(a, b)
    assert found["psnr"] == pytest.approx(10 * np.log10(1 / np.mean((a - b) ** 2)))
    assert found["l1"] == pytest.approx(100 * np.abs(a - b).mean())
    assert found["ssim"] == pytest.approx(ssim_by_definition(a, b), abs=1e-6)


def test_perfect_picture_has_a_finite_psnr():
    a = np.random.default_rng(0).random((20, 20, 3))
    assert evaluation.metrics(a, a.copy()) == {"psnr": 100.0, "ssim": pytest.approx(1), "l1": 0.0}


def test_evaluate_measures_the_composite(crops):
    def grey(images, masks):
        return torch.full_like(images, 0.5)

    table = evaluation.evaluate(grey, iter(crops))
    assert len(table) == len(crops)
    for row, (_, border, images, masks) in zip(table.itertuples(), crops, strict=True):
        error = ((1 - masks) * (images - 0.5)).square().mean().item()
        assert row.psnr == pytest.approx(-10 * np.log10(error), rel=1e-4)
        error = (images - 0.5).square().mean().item()
        assert row.psnr_out == pytest.approx(-10 * np.log10(error), rel=1e-4)
        assert row.border == border
        assert row.ratio == pytest.approx(1 - masks.mean().item(), abs=1e-6)


@pytest.mark.parametrize("name", evaluation.BASELINES)
def test_baselines_keep_known_pixels_and_fill_holes(crops, name):
    fill = evaluation.BASELINES[name]
    for *_, images, masks in crops:
        out = fill(images, masks)
        known = masks.bool().expand_as(images)
        assert torch.allclose(out[known], images[known], atol=1e-6)
        assert torch.isfinite(out).all()
        assert torch.allclose(fill(images * masks, masks), out, atol=1e-6), "saw into the hole"


def test_mean_fill_is_the_mean_of_the_known():
    image, mask = torch.rand(1, 3, 8, 8), torch.ones(1, 1, 8, 8)
    mask[..., :4] = 0
    out = evaluation.mean_fill(image, mask)
    expected = image[0, :, :, 4:].mean(dim=(1, 2))
    assert torch.allclose(out[0, :, 2, 1], expected)


def test_network_sees_no_hole_and_no_gradient(crops):
    *_, images, masks = crops[6]
    net = build_model("unet", 32, 4, seed=0)
    fill = evaluation.network_fill(net.train())
    out = fill(images, masks)
    assert not out.requires_grad
    assert torch.equal(out, fill(images * masks, masks))
    assert 0 <= out.min() <= out.max() <= 1


def test_means_by_bin_and_over_all():
    pictures = pd.DataFrame(
        {
            "model": ["a", "a", "a", "b"],
            "hole_ratio": ["0.1-0.2", "0.1-0.2", "0.5-0.6", "0.1-0.2"],
            "border": [True, True, True, True],
            "ratio": [0.15, 0.2, 0.55, 0.1],
            "psnr": [20.0, 30.0, 10.0, 7.0],
        }
    )
    table = evaluation.by_bin(pictures)
    assert table[["model", "hole_ratio", "pictures", "psnr"]].values.tolist() == [
        ["a", "0.1-0.2", 2, 25.0],
        ["a", "0.5-0.6", 1, 10.0],
        ["b", "0.1-0.2", 1, 7.0],
    ]
    assert evaluation.overall(pictures).values.tolist() == [["a", 2, 25.0], ["b", 1, 7.0]]


def test_published_facts():
    table = published()
    pconv = table[table["source"] == "P-Conv"].set_index("model")["psnr_db"]
    assert pconv.to_dict() == {"PConv": 22.65, "U-Net": 13.37}
    paper = table[table["source"].str.startswith("paper")]
    assert paper["psnr_db"].tolist() == [28.32, 25.25, 22.89]


def test_biharmonic_continues_a_slope():
    """A plane solves the biharmonic equation, so the hole in one is filled exactly."""
    down, right = np.mgrid[0:24, 0:24] / 60
    plane = torch.from_numpy(np.stack([down, right, down + right])).float()[None]
    mask = torch.ones(1, 1, 24, 24)
    mask[..., 8:15, 9:14] = 0
    torch.testing.assert_close(evaluation.biharmonic(plane, mask), plane, rtol=0, atol=1e-5)
    black = evaluation.biharmonic(plane, torch.zeros_like(mask))
    assert torch.equal(black, torch.zeros_like(plane))
    assert torch.equal(evaluation.biharmonic(plane, torch.ones_like(mask)), plane)


def test_differences_by_hand():
    pictures = pd.DataFrame(
        {
            "model": 3 * ["a"] + 3 * ["b"],
            "hole_ratio": 2 * ["0.1-0.2", "0.1-0.2", "0.5-0.6"],
            "ratio": 2 * [0.12, 0.19, 0.55],
            "psnr": [30.0, 32.0, 20.0, 29.0, 30.0, 23.0],
        }
    )
    table = evaluation.differences(pictures, "a", seed=1).set_index("hole_ratio")
    assert table["difference"].unique().tolist() == ["a - b"]
    assert table["pictures"].to_dict() == {"0.01-0.5": 2, "0.1-0.2": 2, "0.5-0.6": 1}
    assert table["psnr"].to_dict() == pytest.approx(
        {"0.01-0.5": 1.5, "0.1-0.2": 1.5, "0.5-0.6": -3}
    )
    assert table.loc["0.1-0.2", ["low", "high"]].tolist() == pytest.approx([1, 2])
    assert table.loc["0.5-0.6", ["low", "high"]].tolist() == pytest.approx([-3, -3])


def test_bootstrap_interval_is_that_of_the_mean():
    gap = np.random.default_rng(3).normal(0.5, 2, 400)
    frame = {"hole_ratio": "0.1-0.2", "ratio": 0.15}
    ours = pd.DataFrame({"model": "a", "psnr": 20 + gap, **frame})
    other = pd.DataFrame({"model": "b", "psnr": np.full(400, 20.0), **frame})
    row = evaluation.differences(pd.concat([ours, other]), "a", seed=1).iloc[0]
    error = gap.std(ddof=1) / 20
    assert row["psnr"] == pytest.approx(gap.mean())
    assert row["low"] == pytest.approx(gap.mean() - 1.96 * error, abs=0.15 * error)
    assert row["high"] == pytest.approx(gap.mean() + 1.96 * error, abs=0.15 * error)


def test_towards_input_tells_the_identity(crops):
    def same(images, masks):
        return torch.where(masks.bool(), images, 0.5)

    assert evaluation.towards_input(same, iter(crops)) == 0
    assert evaluation.towards_input(lambda images, masks: images, iter(crops)) == pytest.approx(1)

    def halfway(images, masks):
        return images / 2 + 0.25

    assert evaluation.towards_input(halfway, iter(crops)) == pytest.approx(0.5)
