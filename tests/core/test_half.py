"""Networks and layers after `.half()` and `.bfloat16()`: finite, and within their rounding."""

import copy

import pytest
import torch

from pconv_core import weights
from pconv_core.layers import MergedMaskConv2d, PartialConv2d, PartwiseConv2d
from pconv_core.models import MODELS, build_model

NARROW = [torch.float16, torch.bfloat16]
NETWORKS = ["shipped", *MODELS]


def near(found, expected, dtype):
    """Whether it is of the type, without infinity, and off by a few roundings at most."""
    error = (found.float() - expected).abs().max() / expected.abs().max()
    return found.dtype == dtype and bool(error <= 8 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_at_512_pixels(name, dtype):
    """More pixels than half precision counts, which is up to 65,504."""
    net = weights.load(name) if name == "shipped" else build_model(name, 64, 2, seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 512, 512, generator=generator)
    mask = (torch.rand(1, 1, 512, 512, generator=generator) < 0.9).float()
    mask[..., 100:200, 50:300] = 0
    with torch.no_grad():
        expected = net(image, mask)
        assert near(copy.deepcopy(net).to(dtype)(image.to(dtype), mask.to(dtype)), expected, dtype)


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("kind", [PartialConv2d, PartwiseConv2d, MergedMaskConv2d])
def test_a_layer_that_knows_one_entry_of_73728(kind, dtype):
    torch.manual_seed(0)
    layer = kind(8192, 4, 3, padding=1)
    x, mask = torch.rand(1, 8192, 4, 4), torch.zeros(1, 8192, 4, 4)
    mask[0, 5, 1, 1] = 1
    expected, _ = layer(x, mask)
    assert expected.abs().max() > 100
    found, _ = copy.deepcopy(layer).to(dtype)(x.to(dtype), mask.to(dtype))
    assert near(found, expected, dtype)
    found.float().sum().backward()
