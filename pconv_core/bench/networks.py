"""What the mask, the loss and one photograph cost, against plain and textbook layers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pconv_core.bench.timing import alternate, peak_memory, repeated
from pconv_core.losses import InpaintingLoss, VGGFeatures
from pconv_core.masks import random_mask
from pconv_core.models import ConvUNet, InpaintingNet, PConvUNet
from pconv_core.training import PRECISIONS, Switches, make_objective

LEVELS = 8


class TextbookPartialConv2d(nn.Conv2d):
    """Partial convolution as it is usually written: the yardstick, not used by the study.

    A mask as wide as the features is convolved with a kernel of ones as large as the weights, and
    eq. 1 is written down term by term, around a convolution that has added the bias already.
    """

    def convolve(self, parts: list[Tensor], masks: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Exchange for `PartialConv2d.convolve`; the new mask is as wide as the features."""
        wide = [m.expand_as(p) for m, p in zip(masks, parts, strict=True)]
        x, mask = torch.cat(list(parts), 1), torch.cat(wide, 1)
        y = super().forward(x * mask)
        ratio, new_mask = self._rescaling(mask)
        bias = 0 if self.bias is None else self.bias.view(1, -1, 1, 1)
        return ((y - bias) * ratio + bias) * new_mask, new_mask

    @torch.no_grad()
    def _rescaling(self, mask: Tensor) -> tuple[Tensor, Tensor]:
        ones = torch.ones_like(self.weight)
        known = F.conv2d(mask, ones, None, self.stride, self.padding, self.dilation)
        new_mask = known.clamp(0, 1)
        return ones[0].numel() / (known + 1e-8) * new_mask, new_mask

    @staticmethod
    def empty_hole(x: Tensor, mask: Tensor) -> Tensor:
        """Leave that to the next layer."""
        return x


class TextbookUNet(PConvUNet):
    """`PConvUNet` of textbook layers; state dicts can be exchanged."""

    conv = TextbookPartialConv2d


NETWORKS = {"PConvUNet": PConvUNet, "ConvUNet": ConvUNet, "textbook": TextbookUNet}


@dataclass(frozen=True)
class Cell:
    """One comparison of two networks."""

    subject: str
    reference: str
    phase: str  # "training" (forward, L1, backward) or "inference" (norm folded)
    batch: int = 4
    size: int = 256
    base_channels: int = 64
    precision: str = "float32"
    compiled: bool = False


def compare_networks(cell: Cell, device: torch.device, pairs: int) -> dict:
    """Time two networks of the same weights against each other, and their peak memory."""
    image, mask = random_batch(cell.batch, cell.size, device)
    kinds = NETWORKS[cell.subject], NETWORKS[cell.reference]
    steps = [network_step(kind, cell, image, mask) for kind in kinds]
    row = alternate(*steps, pairs, device)
    torch.compiler.reset()
    return {**row, "images_per_second": cell.batch / row["seconds"]}


def network_step(kind: type[InpaintingNet], cell: Cell, image: Tensor, mask: Tensor) -> Callable:
    """Make a network of a kind and return what is to be timed: one step of the cell's phase."""
    torch.manual_seed(0)
    net = kind(levels=LEVELS, base_channels=cell.base_channels)
    net = net.to(image.device, memory_format=torch.channels_last)
    low = {"dtype": PRECISIONS[cell.precision], "enabled": cell.precision != "float32"}
    if cell.phase == "inference":
        # A textbook layer does not fold: its users do not.
        net = net.eval() if kind is TextbookUNet else net.eval().folded()

    def forward():
        with torch.autocast(image.device.type, **low):
            return net(image, mask)

    forward = torch.compile(forward) if cell.compiled else forward

    def training():
        net.zero_grad(set_to_none=True)
        (forward() - image).abs().mean().backward()

    return training if cell.phase == "training" else torch.no_grad()(forward)


def step_with_loss(device, pairs, batch, size, base_channels, precision) -> dict:
    """Time a whole training step against one whose loss looks at pixels only.

    What is left out is VGG-16, so its share of a step is 1 - 1 / ratio.
    """
    image, mask = random_batch(batch, size, device)
    net = PConvUNet(LEVELS, base_channels).to(device)
    optimiser = torch.optim.Adam(net.parameters())
    loss = InpaintingLoss(VGGFeatures("random")).to(device)
    objective = make_objective(net, loss, Switches(precision=precision))

    def step(loss_of):
        optimiser.zero_grad(set_to_none=True)
        loss_of().backward()
        optimiser.step()

    whole = partial(step, lambda: objective(image, mask)[0])
    pixels_only = partial(step, lambda: (net(image, mask) - image).abs().mean())
    row = alternate(whole, pixels_only, pairs, device)
    return {**row, "images_per_second": batch / row["seconds"]}


def vgg_passes(device, pairs, batch, size) -> dict:
    """Time the perceptual features as they are usually computed against ours.

    Usual: three passes one after another, the ground truth's too with gradient, weights not
    frozen, rows first in memory.  Ours: `InpaintingLoss`.
    """
    image, mask = random_batch(batch, size, device)
    out = (image + 0.1 * torch.rand_like(image)).requires_grad_()
    comp = torch.where(mask.bool(), image, out)
    ours = InpaintingLoss(VGGFeatures("random")).to(device, memory_format=torch.channels_last)
    usual = VGGFeatures("random").to(device).requires_grad_()

    def ends(features):
        return sum(f.mean() for image_features in features for f in image_features)

    def usual_passes():
        usual.zero_grad(set_to_none=True)
        inputs = (out, comp.contiguous(), image)
        ends([usual(i.contiguous()) for i in inputs]).backward(retain_graph=True)

    def our_passes():
        ends(ours.three_features(out, comp, image)).backward(retain_graph=True)

    return alternate(usual_passes, our_passes, pairs, device)


def one_photograph(device, size: int, pairs: int) -> dict:
    """Time the inpainting of one square photograph."""
    net = PConvUNet(LEVELS, 64).to(device, memory_format=torch.channels_last).eval().folded()
    image, mask = random_batch(1, size, device)

    @torch.no_grad()
    def inpaint():
        net(image, mask)

    row = repeated(inpaint, pairs, device)
    memory = peak_memory(inpaint, device)
    return {**row, "memory_mib": memory, "images_per_second": 1 / row["seconds"]}


def random_batch(batch: int, size: int, device) -> tuple[Tensor, Tensor]:
    """Images of noise (N, 3, size, size) and masks of all hole ratios (N, 1, size, size)."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(batch, 3, size, size, generator=generator)
    mask = np.stack([random_mask(size, border=k % 2 == 0, number=k) for k in range(batch)])
    image = image.to(device, memory_format=torch.channels_last)
    return image, torch.from_numpy(mask)[:, None].to(device)
