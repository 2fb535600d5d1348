"""What a mask costs: python -m pconv_study.bench [--out DIR] [--rounds N].

Networks, whole training steps and masks are timed in one process, sides taking turns,
so that whatever else the machine does falls on all of them alike.
"""

import argparse
import gc
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

from pconv_core import hardware
from pconv_core.features import VGGFeatures
from pconv_core.losses import InpaintingLoss
from pconv_core.masks import KINDS, random_mask
from pconv_core.models import ConvUNet, GatedUNet, InpaintingNet, MaskedUNet, PConvUNet, UNet
from pconv_core.training import Switches, make_objective
from pconv_core.writing import whole
from pconv_study import figures

LEVELS = 8
ROUNDS = 7
SHARE = 0.25  # of a batch that passes VGG where not all of it does
MASK_RATIO = (0.01, 0.6)


class TextbookPartialConv2d(nn.Conv2d):
    """Partial convolution as it is usually written: a yardstick, not used by the study.

    A mask as wide as the features is convolved with a kernel of ones as large as the weights, and
    eq. 1 is written down term by term, around a convolution that has added the bias already.
    """

    def convolve(self, parts: list[Tensor], masks: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Exchange for `PartialConv2d.convolve`; the new mask is as wide as the features."""
        wide = [m.expand_as(p) for m, p in zip(masks, parts, strict=True)]
        x, mask = torch.cat(list(parts), 1), torch.cat(wide, 1)
        y = super().forward(x * mask)
        with torch.no_grad():
            ones = torch.ones_like(self.weight)
            known = F.conv2d(mask, ones, None, self.stride, self.padding, self.dilation)
            new_mask = known.clamp(0, 1)
            ratio = ones[0].numel() / (known + 1e-8) * new_mask
        bias = 0 if self.bias is None else self.bias.view(1, -1, 1, 1)
        return ((y - bias) * ratio + bias) * new_mask, new_mask

    @staticmethod
    def empty_hole(x: Tensor, mask: Tensor) -> Tensor:
        """Leave that to the next layer."""
        return x


class TextbookUNet(PConvUNet):
    """`PConvUNet` of textbook layers; state dicts can be exchanged."""

    conv = TextbookPartialConv2d


NETWORKS: dict[str, Callable[[int], InpaintingNet]] = {
    "ConvUNet": partial(ConvUNet, LEVELS),
    "PConvUNet": partial(PConvUNet, LEVELS),
    "MaskedUNet": partial(MaskedUNet, LEVELS),
    "GatedUNet": partial(GatedUNet, LEVELS),
    "UNet": partial(UNet, 4),
    "textbook": partial(TextbookUNet, LEVELS),
}


def alternate(
    sides: Mapping[str, Callable], reference: str, rounds: int, device: torch.device
) -> pd.DataFrame:
    """Time functions in turn, each `rounds` times after a first call that does not count.

    Returns
    -------
    DataFrame
        A row a side: subject, reference, seconds (the median), ratio (the median over the rounds,
        subject over reference), ratio_low and ratio_high (its quartiles), and rounds.
    """
    for step in sides.values():
        _seconds(step, device)
    order, times = list(sides), []
    for _ in range(rounds):
        times.append({name: _seconds(sides[name], device) for name in order})
        order.reverse()
    table = pd.DataFrame(times)[list(sides)]
    ratios = table.div(table[reference], axis=0)
    found = {"reference": reference, "seconds": table.median(), "ratio": ratios.median()}
    found |= {"ratio_low": ratios.quantile(0.25), "ratio_high": ratios.quantile(0.75)}
    return pd.DataFrame({**found, "rounds": rounds}).rename_axis("subject").reset_index()


def networks(
    device: torch.device, rounds: int, phase: str, batch: int, size: int, base_channels: int
) -> pd.DataFrame:
    """Time all networks: "training" is forward, L1 and backward; in "inference" norms are folded.

    A textbook layer does not fold: its users do not.
    """
    image, mask = random_batch(batch, size, device)
    sides = {k: _network_step(k, phase, base_channels, image, mask) for k in NETWORKS}
    return alternate(sides, "ConvUNet", rounds, device)


def _network_step(name: str, phase: str, width: int, image: Tensor, mask: Tensor) -> Callable:
    torch.manual_seed(0)
    net = NETWORKS[name](width).to(image.device, memory_format=torch.channels_last)
    if phase == "inference":
        net = net.eval() if name == "textbook" else net.eval().folded()
        return torch.no_grad()(partial(net, image, mask))

    def training() -> None:
        net.zero_grad(set_to_none=True)
        (net(image, mask) - image).abs().mean().backward()

    return training


def whole_steps(
    device: torch.device, rounds: int, batch: int, size: int, base_channels: int
) -> pd.DataFrame:
    """Time whole training steps, with Adam: by L1 alone, and by eq. 7.

    Of eq. 7 all images pass VGG-16, or a share of them; the last in bfloat16, where the device
    computes in it.
    """
    low = hardware.precision("auto", device)
    ways = {"L1 alone": (None, "float32"), "eq. 7": (1.0, "float32")}
    ways |= {"eq. 7, a quarter": (SHARE, "float32"), f"eq. 7, a quarter, {low}": (SHARE, low)}
    given = (base_channels, *random_batch(batch, size, device))
    sides = {name: _whole_step(*way, *given) for name, way in ways.items()}
    return alternate(sides, "eq. 7", rounds, device)


def _whole_step(share, precision: str, width: int, image: Tensor, mask: Tensor) -> Callable:
    torch.manual_seed(0)
    net = PConvUNet(LEVELS, width).to(image.device, memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(net.parameters(), fused=True)
    loss = InpaintingLoss(VGGFeatures("random"), features_share=share or 1).to(image.device)
    objective = make_objective(net, loss, Switches(precision=precision))
    numbers = iter(range(2**31))

    def of_loss() -> Tensor:
        chosen = loss.draw(next(numbers), len(image))
        return objective(image, mask, chosen if chosen is None else chosen.to(image.device))[0]

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        total = of_loss() if share else (net(image, mask) - image).abs().mean()
        total.backward()
        optimiser.step()

    return step


def masks(rounds: int, size: int, count: int = 30) -> pd.DataFrame:
    """Time `count` masks of each kind, with and without border in turn; seconds are of one."""

    def draw(kind: str) -> None:
        for number in range(count):
            random_mask(size, MASK_RATIO, number % 2 == 0, 0, number, kind)

    sides = {kind: partial(draw, kind) for kind in KINDS}
    table = alternate(sides, KINDS[0], rounds, torch.device("cpu"))
    return table.assign(seconds=table["seconds"] / count)


def random_batch(batch: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images of noise (N, 3, size, size) and masks of all hole ratios (N, 1, size, size)."""
    image = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
    mask = np.stack([random_mask(size, border=k % 2 == 0, number=k) for k in range(batch)])
    image = image.to(device, memory_format=torch.channels_last)
    return image, torch.from_numpy(mask)[:, None].to(device)


def measure(device: torch.device, rounds: int, batch: int, size: int, width: int) -> pd.DataFrame:
    """Measure everything; a row a side, with what it was measured on."""
    told = {"batch": batch, "size": size, "base_channels": width}
    parts = {
        ("networks", "training"): networks(device, rounds, "training", **told).assign(**told),
        ("networks", "inference"): networks(device, rounds, "inference", **told).assign(**told),
        ("whole step", "training"): whole_steps(device, rounds, **told).assign(**told),
        ("masks", None): masks(rounds, size).assign(batch=1, size=size),
    }
    named = [found.assign(benchmark=name, phase=phase) for (name, phase), found in parts.items()]
    table = pd.concat(named, ignore_index=True).assign(machine=hardware.describe(device))
    first = ["machine", "benchmark", "phase", "subject", "reference", *told]
    return table[[*first, *(c for c in table if c not in first)]]


def ratios(table: pd.DataFrame) -> Figure:
    """Ratio of times with its quartiles, a line a row of the table; its index are the labels."""
    with figures.page(0.9 + 0.32 * len(table)) as (figure, axis):
        shown = table.iloc[::-1]
        reach = [shown["ratio"] - shown["ratio_low"], shown["ratio_high"] - shown["ratio"]]
        at = range(len(shown))
        axis.errorbar(shown["ratio"], at, xerr=reach, fmt="o", capsize=3, color="#0072B2")
        axis.set_yticks(at, shown.index)
        axis.axvline(1, color="#666666", linewidth=0.8, linestyle=":")
        axis.set(xlabel="ratio of times, with quartiles\n← better", ylim=(-0.6, len(shown) - 0.4))
        axis.grid(axis="y", visible=False)
    return figure


def _seconds(function: Callable, device: torch.device) -> float:
    gc.collect()
    start = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> int:
    """Write DIR/MACHINE.csv; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pconv_study.bench", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/bench"), metavar="DIR")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=256, help="pixels (default 256)")
    parser.add_argument("--width", type=int, default=64, help="of the first level (default 64)")
    given = parser.parse_args(arguments)
    device = hardware.device()
    table = measure(device, given.rounds, given.batch, given.size, given.width)
    machine = f"{device.type} {hardware.describe(device).rpartition(', torch')[0]}".lower()
    path = given.out / f"{re.sub(r'[^a-z0-9]+', '-', machine).strip('-')}.csv"
    with whole(path) as unfinished:
        table.to_csv(unfinished, index=False, float_format="%.5g")
    print(table.drop(columns="machine").to_string(index=False, float_format="%.3g", na_rep=""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
