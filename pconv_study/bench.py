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


NETWORKS = {kind.__name__: kind for kind in (ConvUNet, PConvUNet, MaskedUNet, GatedUNet, UNet)}
NETWORKS["textbook"] = TextbookUNet


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
    batch_of = random_batch(batch, size, device)
    sides: dict[str, Callable] = {}
    for name, kind in NETWORKS.items():
        net = kind(4 if kind is UNet else LEVELS, base_channels)
        net.to(device, memory_format=torch.channels_last)
        if phase == "training":
            sides[name] = partial(_step, net, partial(_l1, net, *batch_of))
            continue
        net = net.eval() if name == "textbook" else net.eval().folded()
        sides[name] = torch.no_grad()(partial(net, *batch_of))
    return alternate(sides, "ConvUNet", rounds, device)


def whole_steps(
    device: torch.device, rounds: int, batch: int, size: int, base_channels: int
) -> pd.DataFrame:
    """Time whole training steps, with Adam: by L1 alone, and by eq. 7.

    Of eq. 7 all images pass VGG-16, or a quarter of them; the last in bfloat16, where the device
    computes in it.
    """
    batch_of = random_batch(batch, size, device)
    net = PConvUNet(LEVELS, base_channels).to(device, memory_format=torch.channels_last)
    adam = torch.optim.Adam(net.parameters(), fused=True)
    sides = {"L1 alone": partial(_step, net, partial(_l1, net, *batch_of), adam)}
    low = hardware.precision("auto", device)
    for share, precision in ((1.0, "float32"), (0.25, "float32"), (0.25, low)):
        loss = InpaintingLoss(VGGFeatures("random"), features_share=share).to(device)
        of_loss = make_objective(net, loss, Switches(precision=precision))
        chosen = None if share == 1 else loss.draw(0, batch).to(device)
        name = "eq. 7" if share == 1 else f"eq. 7, a quarter, {precision}"
        sides[name] = partial(_step, net, partial(of_loss, *batch_of, chosen), adam)
    return alternate(sides, "eq. 7", rounds, device)


def _l1(net: InpaintingNet, image: Tensor, mask: Tensor) -> tuple[Tensor]:
    return ((net(image, mask) - image).abs().mean(),)


def _step(net: InpaintingNet, of_loss: Callable, optimiser=None) -> None:
    net.zero_grad(set_to_none=True)
    of_loss()[0].backward()
    if optimiser:
        optimiser.step()


def masks(rounds: int, size: int, count: int = 30) -> pd.DataFrame:
    """Time `count` masks of each kind, with and without border in turn; seconds are of one."""

    def draw(kind: str) -> None:
        for number in range(count):
            random_mask(size, border=number % 2 == 0, number=number, kind=kind)

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
    phases = ("training", "inference")
    parts = [networks(device, rounds, phase, **told).assign(phase=phase) for phase in phases]
    parts = [part.assign(benchmark="networks", **told) for part in parts]
    step = whole_steps(device, rounds, **told)
    parts.append(step.assign(benchmark="whole step", phase="training", **told))
    parts.append(masks(rounds, size).assign(benchmark="masks", batch=1, size=size))
    return pd.concat(parts, ignore_index=True).assign(machine=hardware.describe(device))


def ratios(table: pd.DataFrame) -> Figure:
    """Ratio of times with its quartiles, a line a row of the table; its index are the labels."""
    table = table.rename(columns={"ratio": "mean", "ratio_low": "low", "ratio_high": "high"})
    return figures.forest(table.assign(label=table.index, measure="ratio"), ["ratio"], same=1)


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
    for name, value in (("rounds", 7), ("batch", 4), ("size", 256), ("width", 64)):
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value}")
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
