"""EfficientNet-Lite0 is loaded and fed as it was trained."""

import cv2
import pytest
import torch
from skimage import data

from pconv_core import lite0


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
        logits = lite0.network()((image * 255 - 127) / 128)
    assert logits.argmax().item() in classes


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (45, 77)])
def test_features_are_those_before_each_halving(height, width):
    found = lite0.features(torch.rand(2, 3, height, width))
    for f, channels, stride in zip(found, (16, 24, 40, 112, 320), (2, 4, 8, 16, 32), strict=True):
        assert f.shape == (2, channels, -(-height // stride), -(-width // stride))
        assert not f.requires_grad


def test_the_last_features_are_those_the_network_classifies():
    net, image = lite0.network(), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        whole = net.extract_features((image * 255 - 127) / 128)
        ours = net.get_submodule("_conv_head")(lite0.features(image)[-1])
        ours = net.get_submodule("_bn1")(ours).clamp(0, 6)
    torch.testing.assert_close(ours, whole)
