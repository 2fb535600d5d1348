"""A whole training step: network, eq. 7 with the full VGG-16, and optimiser."""

from collections.abc import Callable

import torch
from torch import Tensor

from pconv_core.bench.networks import TextbookUNet, random_batch
from pconv_core.bench.timing import alternate
from pconv_core.losses import InpaintingLoss, VGGFeatures
from pconv_core.models import InpaintingNet, PConvUNet, levels_for
from pconv_core.training import Switches, make_objective

SHARE = 0.25


class UsualLoss(InpaintingLoss):
    """Eq. 7 as it is usually written: I_out, I_comp and I_gt pass VGG one after another."""

    def three_features(self, out: Tensor, comp: Tensor, image: Tensor) -> tuple[list[Tensor], ...]:
        """Features of each, rows first in memory."""
        return tuple(self.features(x.contiguous()) for x in (out, comp, image))


def usual_and_ours(device, pairs, batch, size, base_channels, precision) -> dict:
    """Time the step as it is usually written against ours.

    Usual: masks as wide as the features, three passes through VGG, float32, rows first in memory.
    Ours: a share of 1/4 of the batch passes VGG, in the precision that is asked for, and one
    kernel updates all weights.

    Returns
    -------
    dict
        As `timing.alternate` returns it, the usual step over ours, and images_per_second of ours.
        So do the other functions here: the side named first over the second.
    """
    usual = Switches(channels_last=False), TextbookUNet, UsualLoss, 1.0
    ours = Switches(precision=precision, fused_adam=True), PConvUNet, InpaintingLoss, SHARE
    return _compare([usual, ours], device, pairs, batch, size, base_channels)


def share_of_features(device, pairs, batch, size, base_channels, precision) -> dict:
    """Time the step whose whole batch passes VGG against that of which a quarter does."""
    switches = Switches(precision=precision, fused_adam=True)
    sides = [(switches, PConvUNet, InpaintingLoss, share) for share in (1.0, SHARE)]
    return _compare(sides, device, pairs, batch, size, base_channels)


def eager_and_compiled(device, pairs, batch, size, base_channels, precision) -> dict:
    """Time our step as it is against network and loss compiled by torch."""
    switches = [Switches(precision=precision, fused_adam=True, compiled=c) for c in (False, True)]
    sides = [(one, PConvUNet, InpaintingLoss, SHARE) for one in switches]
    row = _compare(sides, device, pairs, batch, size, base_channels)
    torch.compiler.reset()
    return row


def plain_and_fused(device, pairs, batch, size, base_channels, precision) -> dict:
    """Time our step with Adam's usual loop over the weights against the fused one."""
    switches = [Switches(precision=precision, fused_adam=fused) for fused in (False, True)]
    sides = [(one, PConvUNet, InpaintingLoss, SHARE) for one in switches]
    return _compare(sides, device, pairs, batch, size, base_channels)


def _compare(sides, device, pairs, batch, size, base_channels) -> dict:
    steps = [_step(*side, device, batch, size, base_channels) for side in sides]
    row = alternate(*steps, pairs, device)
    return {**row, "images_per_second": batch / row["reference_seconds"]}


def _step(
    switches: Switches,
    network: type[InpaintingNet],
    kind: type[InpaintingLoss],
    share: float,
    device: torch.device,
    batch: int,
    size: int,
    base_channels: int,
) -> Callable[[], None]:
    """Make what is to be timed; the weights of VGG are random, which costs the same."""
    torch.manual_seed(0)
    image, mask = random_batch(batch, size, device)
    net = network(levels_for(size), base_channels).to(device)
    loss = kind(VGGFeatures("random"), features_share=share).to(device)
    optimiser = torch.optim.Adam(net.parameters(), fused=switches.fused_adam or None)
    objective = make_objective(net, loss, switches)
    numbers = iter(range(2**31))

    def step() -> None:
        chosen = loss.draw(next(numbers), batch)
        optimiser.zero_grad(set_to_none=True)
        total, _ = objective(image, mask, chosen if chosen is None else chosen.to(device))
        total.backward()
        optimiser.step()

    return step
