"""The option --checkpoint and the network it names, for the commands that fill holes."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch

from pconv_core import hardware
from pconv_core.files import weights
from pconv_core.models import InpaintingNet


def add(command: ArgumentParser) -> None:
    """Add the option."""
    command.add_argument(
        "--checkpoint",
        default=weights.SHIPPED,
        type=Path,
        metavar="FILE",
        help="trained weights: of this project, of P-Conv, or in the common public layout "
        "(default: those that come with the project)",
    )


def load(given: Namespace) -> InpaintingNet:
    """Make the network, ready to fill holes on the device that there is."""
    net = weights.load_network(given.checkpoint).folded()
    return net.to(hardware.device(), memory_format=torch.channels_last)
