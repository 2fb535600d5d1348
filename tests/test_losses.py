"""Each term of eq. 7 against a plain float64 computation."""

import urllib.error

import numpy as np
import pytest
import torch
from torchvision.models import vgg16, vgg19

from pconv_core import losses
from pconv_core.losses import InpaintingLoss, VGGFeatures, gram
from pconv_core.study.deviations import UnitPixels


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


@pytest.mark.parametrize(
    ("kind", "scale"), [(InpaintingLoss, normalised), (UnitPixels, lambda image: image)]
)
def test_pixel_terms_by_a_loop_on_the_scale_of_the_loss(batch, kind, scale):
    """Absolute differences, and L_tv a loop over the dilated hole."""
    out, image, m = as64(*batch)
    comp = scale(m * image + (1 - m) * out)
    out, image = scale(out), scale(image)
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
    _, terms = kind(Forbidden(), **without)(*batch)
    assert terms["valid"].item() == pytest.approx((m * error).sum() / error.size, rel=1e-5)
    assert terms["hole"].item() == pytest.approx(((1 - m) * error).sum() / error.size, rel=1e-5)
    assert terms["tv"].item() == pytest.approx(total / error.size, rel=1e-5)


@pytest.mark.parametrize("channel", range(3))
def test_each_channel_counts_by_its_own_deviation(loss, channel):
    """Half of a picture is off by 0.1 in one channel."""
    image = torch.full((1, 3, 16, 16), 0.5)
    out, mask = image.clone(), torch.ones(1, 1, 16, 16)
    out[:, channel] += 0.1
    mask[..., :8] = 0
    _, terms = loss(out, image, mask)
    expected = 0.1 / STD[channel] / 3 / 2
    assert terms["valid"].item() == terms["hole"].item() == pytest.approx(expected, rel=1e-5)
    # 16 steps of 0.1 over the edge of the hole.
    assert terms["tv"].item() == pytest.approx(2 * 16 * expected / 16**2, rel=1e-5)


def test_unit_pixels_leave_the_features_as_they_are(loss, batch):
    _, ours = loss(*batch)
    _, unit = UnitPixels(loss.features)(*batch)
    assert {n for n in ours if not torch.equal(ours[n], unit[n])} == {
        "total",
        "valid",
        "hole",
        "tv",
    }


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


def test_mask_that_does_not_fit(loss, batch):
    out, image, mask = batch
    with pytest.raises(ValueError, match="mask is 24x19, image is 24x20"):
        loss(out, image, mask[..., 1:])
    with pytest.raises(ValueError, match="mask holds the value 255"):
        loss(out, image, mask * 255)


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


def test_style_scale_makes_widths_weigh_alike():
    """Random features of any width give style terms of one size, when scaled by the width."""
    g = torch.Generator().manual_seed(0)
    out, image = torch.rand(2, 3, 32, 32, generator=g), torch.rand(2, 3, 32, 32, generator=g)
    values = []
    for width in (0.125, 0.5):
        loss = InpaintingLoss(VGGFeatures("random", width, seed=1), style_scale=width)
        values.append(loss(out, image, torch.ones(2, 1, 32, 32))[1]["style_out"].item())
    assert 0.5 < values[0] / values[1] < 2


def test_a_perfect_output_costs_only_its_own_variation(loss, batch):
    _, image, mask = batch
    _, terms = loss(image, image, mask)
    for name in ("valid", "hole", "perceptual", "style_out", "style_comp"):
        assert terms[name].item() == pytest.approx(0, abs=1e-6), name
    assert terms["tv"].item() > 0


def test_gradient_reaches_the_output_alone(loss, batch):
    out = batch[0].clone().requires_grad_()
    loss(out, *batch[1:])[0].backward()
    assert out.grad.abs().min() > 0
    assert all(p.grad is None for p in loss.features.parameters())


def test_gram_does_not_overflow_half_precision():
    features = torch.full((1, 4, 128, 128), 60.0)
    exact = 60.0**2 / 4
    assert gram(features.half()).dtype == torch.float32
    assert gram(features.half())[0, 0, 0].item() == pytest.approx(exact, rel=1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        assert gram(features.bfloat16())[0, 0, 0].item() == pytest.approx(exact, rel=1e-3)


def test_features_are_those_of_torchvisions_vgg16(tmp_path):
    torch.manual_seed(0)
    reference = vgg16(weights=None).eval()
    torch.save(reference.state_dict(), tmp_path / "vgg16.pth")
    features = VGGFeatures(tmp_path / "vgg16.pth")
    image = torch.rand(1, 3, 40, 48)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (image - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    with torch.no_grad():
        ours = features(image)
        for last, ours_p in zip((4, 9, 16), ours, strict=True):
            torch.testing.assert_close(ours_p, reference.features[: last + 1](x))


def test_random_features_depend_on_the_seed_alone():
    image = torch.rand(1, 3, 32, 32)
    a, b, c = (VGGFeatures("random", 0.25, seed=s)(image)[2] for s in (1, 1, 2))
    assert a.shape == (1, 64, 4, 4)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_failed_download_names_the_alternatives(monkeypatch):
    def offline(weights):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(losses, "vgg16", offline)
    with pytest.raises(RuntimeError, match=r"could not be downloaded.*no route.*'hed'"):
        VGGFeatures("imagenet")


def test_bad_feature_files(tmp_path):
    with pytest.raises(ValueError, match=r"no VGG-16 state dict at .*nothing\.pth"):
        VGGFeatures(tmp_path / "nothing.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(ValueError, match=r"text.pth is not a state dict"):
        VGGFeatures(tmp_path / "text.pth")
    torch.save({"features.0.weight": torch.rand(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="holds 1 convolutions"):
        VGGFeatures(tmp_path / "other.pth")
    torch.save(vgg19(weights=None).features.state_dict(prefix="features."), tmp_path / "19.pth")
    with pytest.raises(ValueError, match="holds 16 convolutions"):
        VGGFeatures(tmp_path / "19.pth")
    wrong = {f"features.{k}.weight": torch.rand(1) for k in range(13)}
    torch.save(wrong, tmp_path / "wrong.pth")
    with pytest.raises(ValueError, match="not torchvision's vgg16"):
        VGGFeatures(tmp_path / "wrong.pth")
    with pytest.raises(ValueError, match="need width 1"):
        VGGFeatures("imagenet", 0.5)
