"""Where the time of a training step goes: convolutions, batch norm, copies, and the mask."""

import pandas as pd
import torch
from torch.profiler import ProfilerActivity, profile, record_function

from pconv_core import hardware
from pconv_core.bench.networks import (
    NETWORKS,
    Cell,
    TextbookPartialConv2d,
    network_step,
    random_batch,
)
from pconv_core.bench.timing import wait_for
from pconv_core.layers import PartialConv2d
from pconv_core.models import PConvUNet

MASK = "counting the mask"
# What an operation is called, by a part of torch's name for it; the first that fits.
GROUPS = {
    "convolution_backward": "convolutions, backward",
    "conv": "convolutions, forward",
    "batch_norm": "batch norm",
    "aten::cat": "copies",
    "aten::copy_": "copies",
}
OTHER = "element-wise, pooling, the rest"


class _Labelled(PartialConv2d):
    def _rescaling(self, channels, masks):
        with record_function(MASK):
            return super()._rescaling(channels, masks)


class _LabelledTextbook(TextbookPartialConv2d):
    def _rescaling(self, mask):
        with record_function(MASK):
            return super()._rescaling(mask)


class _PConvUNet(PConvUNet):
    conv = _Labelled


class _TextbookUNet(PConvUNet):
    conv = _LabelledTextbook


_WATCHED = {**NETWORKS, "PConvUNet": _PConvUNet, "textbook": _TextbookUNet}


def measure(
    device: torch.device, batch: int = 4, size: int = 256, base_channels: int = 64, steps: int = 3
) -> pd.DataFrame:
    """Profile training steps of every network of the benchmark.

    Parameters
    ----------
    device : torch.device
    batch, size, base_channels : int
    steps : int
        How many steps to take the mean of, after a first one that does not count.

    Returns
    -------
    DataFrame
        machine, network, batch, size, base_channels, operation, milliseconds a step.
    """
    image, mask = random_batch(batch, size, device)
    rows = []
    for name, kind in _WATCHED.items():
        cell = Cell(name, "", "training", batch, size, base_channels)
        step = network_step(kind, cell, image, mask)
        step()
        activities = [ProfilerActivity.CPU]
        activities += [ProfilerActivity.CUDA] if device.type == "cuda" else []
        with profile(activities=activities) as profiler:
            for _ in range(steps):
                step()
            wait_for(device)
        for operation, microseconds in _grouped(profiler.events(), device).items():
            milliseconds = microseconds / 1000 / steps
            rows.append({"network": name, "operation": operation, "milliseconds": milliseconds})
    settings = {"batch": batch, "size": size, "base_channels": base_channels}
    table = pd.DataFrame(rows).assign(machine=hardware.describe(device), **settings)
    return table[["machine", "network", *settings, "operation", "milliseconds"]]


def _grouped(events, device: torch.device) -> dict[str, float]:
    """Sum the operations' own times by group, in microseconds."""
    sums = dict.fromkeys([*GROUPS.values(), OTHER, MASK], 0.0)
    for event in events:
        own = event.self_cpu_time_total
        if device.type == "cuda":
            own = event.self_device_time_total
        sums[_group(event)] += own
    return sums


def _group(event) -> str:
    ancestor = event
    while ancestor is not None:
        if ancestor.name == MASK:
            return MASK
        ancestor = ancestor.cpu_parent
    return next((group for part, group in GROUPS.items() if part in event.name), OTHER)
