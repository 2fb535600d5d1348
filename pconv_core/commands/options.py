"""What several subcommands share: options, their least values, and the network they name."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch

from pconv_core import hardware
from pconv_core.files import weights
from pconv_core.models import InpaintingNet


def add(command: ArgumentParser) -> None:
    """Add --checkpoint and --mask-hole."""
    command.add_argument(
        "--checkpoint",
        default=weights.SHIPPED,
        type=Path,
        metavar="FILE",
        help="trained weights: of this project, of P-Conv, or in the common public layout "
        "(default: those that come with the project)",
    )
    marks = "what marks the hole in a mask (default black)"
    command.add_argument("--mask-hole", choices=("black", "white"), default="black", help=marks)


def check(given: Namespace, **least: float) -> None:
    """Raise ValueError if an option is below its least value; 0 stands for "above 0"."""
    for name, bound in least.items():
        value = getattr(given, name)
        if value is not None and not (value >= bound if bound else value > 0):
            right = f"at least {bound}" if bound else "above 0"
            raise ValueError(f"--{name.replace('_', '-')} is {value:g}; it should be {right}")


def network(given: Namespace) -> InpaintingNet:
    """Make the network of --checkpoint, ready to fill holes on the device that there is."""
    net = weights.load_network(given.checkpoint).folded()
    return net.to(hardware.device(), memory_format=torch.channels_last)
