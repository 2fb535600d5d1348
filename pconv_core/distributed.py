"""Several processes that train one network: `torchrun ... -m pconv_cli train ...`.

Every process takes its own part of each batch; gradients are averaged and batch norm looks at the
whole batch, so N processes do what one does with an N-fold batch.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel

from pconv_core import hardware


def rank() -> int:
    """Number of this process, 0 for the first or only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def group() -> Iterator[torch.device]:
    """Join the processes that torchrun started, if it did; yields this process's device."""
    device = hardware.device()
    if "WORLD_SIZE" not in os.environ:
        yield device
        return
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def wrap(model: nn.Module) -> nn.Module:
    """Share a network among the processes; alone, it is returned as it is."""
    if processes() == 1:
        return model
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            # In place: parameters and hooks stay where they are.
            module.__class__ = _SyncBatchNorm
    devices = [torch.cuda.current_device()] if next(model.parameters()).is_cuda else None
    return DistributedDataParallel(model, device_ids=devices, broadcast_buffers=False)


def mean(terms: dict[str, Tensor]) -> dict[str, float]:
    """Average scalars over the processes, by name."""
    stacked = torch.stack([t.float() for t in terms.values()])
    if processes() > 1:
        dist.all_reduce(stacked)
        stacked /= processes()
    return dict(zip(terms, stacked.tolist(), strict=True))


def largest(number: int) -> int:
    """Return the largest of the processes' numbers; all of them have to ask."""
    if processes() == 1:
        return number
    numbers = torch.tensor(float(number), device=hardware.device())
    dist.all_reduce(numbers, dist.ReduceOp.MAX)
    return int(numbers.item())


class _SyncBatchNorm(nn.BatchNorm2d):
    """Batch norm over all processes' parts of a batch; torch's own works on GPUs only."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        count = x.numel() // x.shape[1] * processes()
        mean = all_reduce(wide.sum((0, 2, 3))) / count
        centred = wide - mean.view(1, -1, 1, 1)
        variance = all_reduce(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)
        scale = self.weight / (variance + self.eps).sqrt()
        y = centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
        return y.to(x.dtype)
