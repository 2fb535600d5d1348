"""Each term of eq. 7 against a plain float64 computation."""

import numpy as np
import pytest
import torch

from pconv_core import losses
from pconv_core.features import VGGFeatures
from pconv_core.losses import InpaintingLoss, gram


@pytest.fixture
def batch():
    g = torch.Generator().manual_seed(3)
    out, image = torch.rand(2, 3, 24, 20, generator=g), torch.rand(2, 3, 24, 20, generator=g)
    return out, image, (torch.rand(2, 1, 24, 20, generator=g) < 0.7).float()


@pytest.fixture
def loss():
    return InpaintingLoss(VGGFeatures("random", 0.125, seed=1))


def as64(*tensors):
    return [t.detach().numpy().astype(np.float64) for t in tensors]


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalised(image):
    """ImageNet's scale, a channel at a time."""
    scaled = np.empty_like(image)
    for c, (mean, std) in enumerate(zip(MEAN, STD, strict=True)):
        scaled[:, c] = (image[:, c] - mean) / std
    return scaled


def test_pixel_terms_by_a_loop_on_the_scale_of_the_loss(batch):
    """Absolute differences, and L_tv a loop over the dilated hole."""
    out, image, m = as64(*batch)
    comp = normalised(m * image + (1 - m) * out)
    out, image = normalised(out), normalised(image)
    n, _, h, w = comp.shape
    error = np.abs(out - image)
    total = 0.0
    for i in range(n):
        near = np.zeros((h, w), bool)
        for y, x in zip(*np.nonzero(m[i, 0] == 0), strict=True):
            near[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = True
        for y in range(h):
            for x in range(w):
                if x + 1 < w and near[y, x] and near[y, x + 1]:
                    total += np.abs(comp[i, :, y, x + 1] - comp[i, :, y, x]).sum()
                if y + 1 < h and near[y, x] and near[y + 1, x]:
                    total += np.abs(comp[i, :, y + 1, x] - comp[i, :, y, x]).sum()
    without = dict.fromkeys(("perceptual", "style_out", "style_comp"), 0)
    _, terms = InpaintingLoss(Forbidden(), **without)(*batch)
    assert terms["valid"].item() == pytest.approx((m * error).sum() / error.size, rel=1e-5)
    assert terms["hole"].item() == pytest.approx(((1 - m) * error).sum() / error.size, rel=1e-5)
    assert terms["tv"].item() == pytest.approx(total / error.size, rel=1e-5)


def test_total_variation_reaches_both_neighbours(batch):
    out = batch[0].clone().requires_grad_()
    mask = torch.ones_like(batch[2])
    mask[..., 10, 10] = 0
    InpaintingLoss.total_variation(out, mask).backward()
    touched = out.grad.abs().sum(dim=(0, 1)) > 0
    assert touched[9:12, 9:12].all()
    assert touched.sum() == 9


def test_feature_terms(loss, batch):
    out, image, mask = batch
    comp = mask * image + (1 - mask) * out
    f_out, f_comp, f_gt = (as64(*loss.features(x)) for x in (out, comp, image))
    perceptual = sum(
        np.abs(o - g).mean() + np.abs(c - g).mean()
        for o, c, g in zip(f_out, f_comp, f_gt, strict=True)
    )

    def style(features):
        total = 0.0
        for f, g in zip(features, f_gt, strict=True):
            _, c, h, w = f.shape
            grams = [np.einsum("nchw,ndhw->ncd", x, x) / (c * h * w) for x in (f, g)]
            total += np.abs(grams[0] - grams[1]).sum(axis=(1, 2)).mean() / c**2
        return total

    total, terms = loss(out, image, mask)
    assert terms["perceptual"].item() == pytest.approx(perceptual, rel=1e-4)
    assert terms["style_out"].item() == pytest.approx(style(f_out), rel=1e-4)
    assert terms["style_comp"].item() == pytest.approx(style(f_comp), rel=1e-4)
    weights = {"valid": 1, "hole": 6, "perceptual": 0.05, "style_out": 120, "style_comp": 120}
    weights["tv"] = 0.1
    expected = sum(w * terms[name].item() for name, w in weights.items())
    assert total.item() == pytest.approx(expected, rel=1e-5)
    assert terms["total"].item() == pytest.approx(total.item())


def test_weights_are_told_by_name(loss, batch):
    with pytest.raises(ValueError, match=r"no terms \['holes'\]; there are valid, hole,"):
        InpaintingLoss(loss.features, holes=1)
    total, terms = InpaintingLoss(loss.features, **{**dict.fromkeys(losses.WEIGHTS, 0), "tv": 2})(
        *batch
    )
    assert total == 2 * terms["tv"]
    style = InpaintingLoss(loss.features, style_out=1.0, style_comp=2.0).weights
    assert style == {**losses.WEIGHTS, "style_out": 1.0, "style_comp": 2.0}


class Forbidden(torch.nn.Module):
    """Features that no image may pass."""

    def forward(self, image):
        raise AssertionError("an image passed the features")


def test_features_without_weight_are_not_computed(batch):
    without = dict.fromkeys(("perceptual", "style_out", "style_comp"), 0)
    total, terms = InpaintingLoss(Forbidden(), **without)(*batch)
    assert total.item() == pytest.approx(
        (terms["valid"] + 6 * terms["hole"] + 0.1 * terms["tv"]).item()
    )
    assert list(terms) == ["total", *losses.WEIGHTS]
    assert not any(terms[name] for name in without)
    for name in without:
        with pytest.raises(AssertionError, match="passed the features"):
            InpaintingLoss(Forbidden(), **{**without, name: 1})(*batch)


def test_gram_does_not_overflow_half_precision():
    features = torch.full((1, 4, 128, 128), 60.0)
    exact = 60.0**2 / 4
    assert gram(features.half()).dtype == torch.float32
    assert gram(features.half())[0, 0, 0].item() == pytest.approx(exact, rel=1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        assert gram(features.bfloat16())[0, 0, 0].item() == pytest.approx(exact, rel=1e-3)
