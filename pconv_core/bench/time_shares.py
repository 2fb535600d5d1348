"""Where the time of a training step goes: convolutions, batch norm, copies, and the mask."""

import pandas as pd
import torch
from torch.profiler import profile, record_function

from pconv_core import hardware
from pconv_core.bench.networks import NETWORKS, Cell, network_step, random_batch
from pconv_core.bench.timing import wait_for
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


def _labelled(kind: type[PConvUNet]) -> type[PConvUNet]:
    """A kind of network whose layers mark what they do for the mask."""

    class Layer(kind.conv):
        def _rescaling(self, *masks):
            with record_function(MASK):
                return super()._rescaling(*masks)

    return type(kind.__name__, (kind,), {"conv": Layer})


def measure(
    device: torch.device, batch: int = 4, size: int = 256, base_channels: int = 64, steps: int = 3
) -> pd.DataFrame:
    """Profile training steps of every network, `steps` of them after one that does not count.

    Returns a row each for network and operation, with its milliseconds a step.
    """
    image, mask = random_batch(batch, size, device)
    own_time = f"self_{'device' if device.type == 'cuda' else 'cpu'}_time_total"
    rows = []
    for name, kind in NETWORKS.items():
        cell = Cell(name, "", "training", batch, size, base_channels)
        step = network_step(_labelled(kind), cell, image, mask)
        step()
        # By default it watches the GPU, too, if there is one.
        with profile() as profiler:
            for _ in range(steps):
                step()
            wait_for(device)
        sums = dict.fromkeys([*GROUPS.values(), OTHER, MASK], 0.0)
        for event in profiler.events():
            sums[_group(event)] += getattr(event, own_time)
        for operation, microseconds in sums.items():
            milliseconds = microseconds / 1000 / steps
            rows.append({"network": name, "operation": operation, "milliseconds": milliseconds})
    settings = {"batch": batch, "size": size, "base_channels": base_channels}
    table = pd.DataFrame(rows).assign(machine=hardware.describe(device), **settings)
    return table[["machine", "network", *settings, "operation", "milliseconds"]]


def _group(event) -> str:
    parent = event.cpu_parent
    if event.name == MASK or (parent is not None and _group(parent) == MASK):
        return MASK
    return next((group for part, group in GROUPS.items() if part in event.name), OTHER)
