"""EfficientNet-Lite0 as trained on ImageNet, and the features of its five stages."""

from functools import lru_cache

import torch
from torch import Tensor, nn

from pconv_core.files.checkpoints import read_tensors
from pconv_core.files.packaged import LITE0, find

# The last blocks before each halving of the side, and the last of all: strides 2, 4, 8, 16, 32.
STAGES = (0, 2, 4, 10, 15)


@lru_cache
def network() -> nn.Module:
    """Return the network as published, on the CPU, frozen and in evaluation mode.

    Its convolutions pad as TensorFlow's "SAME" does, for the size of the picture that comes.  Use
    `prepared` on what it is given.

    Raises
    ------
    ValueError
        If a package that it comes from is not installed, with the command that installs it.
    """
    path = find(LITE0)
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise ValueError(
            "the package efficientnet-lite-pytorch (the definition of EfficientNet-Lite0) is not "
            "installed; install it by: pip install --no-deps efficientnet-lite-pytorch==0.1.0"
        ) from None
    # With a size it would pad every picture as one of that size.
    with torch.random.fork_rng(devices=[]):
        net = EfficientNet.from_name("efficientnet-lite0", image_size=None)
    net.load_state_dict(read_tensors(path))
    # The channels last take half the time on a CPU.
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def prepared(images: Tensor) -> Tensor:
    """RGB in [0, 1], of shape (N, 3, H, W), to the range that the network was trained on."""
    return ((images.float() * 255 - 127) / 128).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def features(images: Tensor) -> list[Tensor]:
    """Outputs of the blocks `STAGES`, each the last before the side is halved again.

    Parameters
    ----------
    images : Tensor of shape (N, 3, H, W)
        RGB in [0, 1], of any size from 32 pixels on.

    Returns
    -------
    list of Tensor
        Of 16, 24, 40, 112 and 320 channels; sides H and W over 2, 4, 8, 16 and 32, rounded up.
    """
    net = network()
    x = net._swish(net._bn0(net._conv_stem(prepared(images))))
    found = []
    for number, block in enumerate(net._blocks):
        x = block(x)
        if number in STAGES:
            found.append(x)
    return found
