"""What several subcommands share: options, their least values, and the network they name."""

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

import numpy as np

from pconv_core import weights

if TYPE_CHECKING:
    from pconv_core.models import InpaintingNet

_TOO_LARGE = 2**63  # for a random seed; nothing else is as large, but infinity


def add(command: ArgumentParser) -> None:
    """Add --checkpoint or --weights, and --mask-hole."""
    network = command.add_mutually_exclusive_group()
    known = "trained weights: of this project, of P-Conv, of MMEditing, or named as naoto0804's"
    network.add_argument("--checkpoint", type=Path, metavar="FILE", help=known)
    ours = "trained weights that come with the project (default shipped)"
    network.add_argument("--weights", choices=weights.names(), default="shipped", help=ours)
    add_mask_hole(command)


def add_mask_hole(command: ArgumentParser) -> None:
    """Add --mask-hole."""
    marks = "what marks the hole in a mask (default black)"
    command.add_argument("--mask-hole", choices=("black", "white"), default="black", help=marks)


def add_overwrite(command: ArgumentParser) -> None:
    """Add --overwrite."""
    replaces = "replace the result, if it is there (default: refuse)"
    command.add_argument("--overwrite", action="store_true", help=replaces)


def check_results(paths: list[Path], overwrite: bool, option: str = "--out") -> None:
    """Raise ValueError, before any work, if results cannot be written or would replace a file."""
    there = [path for path in paths if os.path.lexists(path)]
    if there and not overwrite:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise ValueError(f"{option}: {there[0]}{more} is there already; --overwrite replaces it")
    for path in paths:
        check_place(option, path)


def check_place(option: str, path: Path) -> None:
    """Raise ValueError, before any work, if a file cannot be written there; leaves nothing."""
    if os.path.isdir(path):  # which a name that is too long does not stop
        raise ValueError(f"{option}: {path} is a folder; it should be a file")
    nearest = next(folder for folder in path.parents if folder.exists())
    if not nearest.is_dir():
        raise ValueError(f"{option}: {nearest} is a file; it should be a folder")
    for name in path.relative_to(nearest).parts:
        try:
            os.stat(nearest / name)  # which fails otherwise if it is too long
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ValueError(f"{option}: cannot write {path} ({error.strerror})") from None
    try:
        NamedTemporaryFile(dir=nearest).close()
    except OSError as error:
        raise ValueError(f"{option}: cannot write {path} ({error.strerror})") from None


def check(given: Namespace, **least: float | None) -> None:
    """Raise ValueError if an option is below its least value, None for "above 0", or too large."""
    for name, bound in least.items():
        value, right = getattr(given, name), "above 0" if bound is None else f"at least {bound}"
        if value is not None and value >= _TOO_LARGE:
            right = "below 2**63"
        elif value is None or (value > 0 if bound is None else value >= bound):
            continue
        raise ValueError(f"--{name.replace('_', '-')} is {value}; it should be {right}")


def network(given: Namespace) -> "InpaintingNet":
    """Make the network of --checkpoint or --weights, ready to fill holes on the device there is."""
    # Imported here: --help should not wait for torch.
    import torch

    from pconv_cli.weights import load_network
    from pconv_core import hardware

    given.checkpoint = given.checkpoint or weights.path(given.weights)
    net = load_network(given.checkpoint).folded()
    return net.to(hardware.device(), memory_format=torch.channels_last)


def check_numbers(result: np.ndarray, checkpoint: Path, image: Path) -> None:
    """Raise ValueError, naming both files, if a network gave NaN or infinity."""
    if not np.isfinite(result).all():
        raise ValueError(f"the network of {checkpoint} gave values that are no numbers for {image}")
