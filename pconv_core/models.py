"""The networks of the study: partial U-Net, its plain and gated twins, the traditional U-Net."""

import copy
import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pconv_core.layers import MergedMaskConv2d, PartialConv2d, PartwiseConv2d, PlainConv2d, seen

__all__ = [
    "ConvUNet",
    "GatedUNet",
    "GatedWideUNet",
    "MaskedUNet",
    "MergedMaskUNet",
    "PConvUNet",
    "PartialMaskedUNet",
    "PartwiseUNet",
    "RefinedUNet",
    "ResidualUNet",
    "UNet",
    "build_model",
    "composite",
    "continuation",
    "levels_for",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LEAK = 0.2  # slope of the leaky ReLU below 0 in the paper's decoder
MIN_SIZE = 32
# Of `continuation`, on each level.
_MEANS, _STEPS = 2, 6
_STEP, _MOMENTUM = 1.2, 0.4


def levels_for(size: int) -> int:
    """Number of encoder levels for a training size: log2, rounded (256 -> 8, 224 -> 8, 64 -> 6).

    The paper trains its 8 levels at 512, one level fewer than this rule gives there.
    """
    return max(1, round(math.log2(size)))


class Normalise(nn.Module):
    """Subtract a mean from RGB in [0, 1] and divide by a deviation, ImageNet's; and back."""

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Standardise an (N, 3, H, W) image."""
        return (image - self.mean) / self.std

    def inverse(self, image: Tensor) -> Tensor:
        """Undo `forward`."""
        return image * self.std + self.mean


class InpaintingNet(nn.Module):
    """What the networks share: input check, frozen encoder norm, initial weights.

    Attributes
    ----------
    trained_size : int
        Side in pixels of the pictures that it is trained on; P-Conv's, if not known.
    definition : int
        Raised by one when the arithmetic of the class changes, so that rows measured of an older
        one are not taken for its own.
    """

    trained_size = 256
    definition = 1

    def __init__(self):
        super().__init__()
        self.encoder_norm_frozen = False
        self.encoder: nn.ModuleList

    def freeze_encoder_norm(self) -> None:
        """Freeze statistics, scale and shift of the encoder's batch norm (fine-tuning phase).

        Holes spoil the statistics of a batch; the paper fine-tunes with the encoder's frozen.
        """
        self.encoder_norm_frozen = True
        for norm in self._encoder_norms():
            norm.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "InpaintingNet":
        """As `nn.Module.train`, but a frozen encoder norm stays in evaluation mode."""
        super().train(mode)
        if self.encoder_norm_frozen:
            for norm in self._encoder_norms():
                norm.eval()
        return self

    def folded(self) -> "InpaintingNet":
        """Return a copy for inference with every batch norm folded into the convolution before it.

        Exact, but for rounding: what the norm would leave in the hole never counts, and eq. 1
        scales before it shifts, as the folded weights and bias do.

        Raises
        ------
        ValueError
            In training mode, in which the norm follows each batch.
        """
        if self.training:
            raise ValueError("the network is in training mode; call eval() before folded()")
        net = copy.deepcopy(self)
        for module in net.modules():
            for (place, conv), (after, norm) in pairwise(list(module.named_children())):
                if isinstance(norm, _BatchNorm):
                    setattr(module, place, fuse_conv_bn_eval(conv, norm))
                    setattr(module, after, nn.Identity())
        return net

    def _encoder_norms(self) -> list[nn.Module]:
        return [m for m in self.encoder.modules() if isinstance(m, _BatchNorm)]

    def _initialise(self, decoder_slope: float) -> None:
        """Draw the weights as He et al. (2015), for ReLU in the encoder, leaky ReLU after it."""
        in_encoder = set(self.encoder.modules())
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                slope = 0.0 if module in in_encoder else decoder_slope
                nn.init.kaiming_normal_(module.weight, a=slope)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


class Block(nn.Module):
    """Convolution with its mask, then batch norm, then activation."""

    def __init__(self, conv: nn.Module, norm: bool, activation: nn.Module):
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(conv.out_channels) if norm else nn.Identity()
        self.activation = activation

    def forward(self, parts: list[Tensor], masks: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Map features that are 0 in their holes to such features."""
        x, mask = self.conv.convolve(parts, masks)
        if not isinstance(self.norm, nn.Identity):
            x = self.conv.empty_hole(self.norm(x), mask)
        return self.activation(x), mask


class GatedBlock(Block):
    """Gated convolution (Yu et al. 2019): activation(norm(features)) * sigmoid(gate).

    Features and gate are two convolutions of the same input, alike but for the bias, which the
    gate always has.  They are two modules, not halves of one, because the norm is of the features
    alone: so it may be folded into their convolution.
    """

    def __init__(self, conv: nn.Conv2d, norm: bool, activation: nn.Module):
        super().__init__(conv, norm, activation)
        self.gate = type(conv)(
            conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding
        )

    def forward(self, parts: list[Tensor], masks: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Map features to features; the mask goes by as the convolution has it."""
        x, mask = super().forward(parts, masks)
        gate, _ = self.gate.convolve(parts, masks)
        return x * torch.sigmoid(gate), mask


class PConvUNet(InpaintingNet):
    """U-Net of partial convolutions (table 2 of the paper).

    Each encoder level halves the size (7x7, 5x5, 5x5, then 3x3 kernels, stride 2) and doubles the
    width up to 8 times `base_channels`.  Each decoder level doubles features and mask (nearest
    neighbour), joins the encoder's features and mask of that size and convolves (3x3); the last
    one joins the masked image itself and has neither norm nor activation.

    Parameters
    ----------
    levels : int
        Number of encoder levels; 8 in the paper.  The study's rule is `levels_for`.
    base_channels : int
        Width of the first level; 64 in the paper.

    Notes
    -----
    `torch.export` leaves batch, height and width free.  With `torch.export.Dim` PyTorch wants sides
    above 2**levels, since it takes a map of one pixel for a constant; with a `ShapesSpec` of
    its newer versions every side from 32 will do.
    """

    # What subclasses exchange: the convolution, the block of every layer but the last, and the
    # channels that go in, which join the last layer too.
    conv = PartialConv2d
    block = Block
    in_channels = 3

    def __init__(self, levels: int = 8, base_channels: float = 64):
        super().__init__()
        widths = [self.in_channels] + [round(base_channels * min(2**i, 8)) for i in range(levels)]
        kernels = [7, 5, 5] + [3] * levels
        self.normalise = Normalise()
        self.encoder = nn.ModuleList()
        for i in range(levels):
            k = kernels[i]
            conv = self.conv(widths[i], widths[i + 1], k, stride=2, padding=k // 2, bias=i == 0)
            self.encoder.append(self.block(conv, i > 0, nn.ReLU(inplace=True)))
        self.decoder = nn.ModuleList()
        for i in reversed(range(levels)):
            last = i == 0
            joined, width = widths[i + 1] + widths[i], 3 if last else widths[i]
            conv = self.conv(joined, width, 3, padding=1, bias=last)
            if last:
                self.decoder.append(Block(conv, False, nn.Identity()))
            else:
                self.decoder.append(self.block(conv, True, nn.LeakyReLU(LEAK, inplace=True)))
        self._initialise(decoder_slope=LEAK)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Inpaint.

        Parameters
        ----------
        image : Tensor of shape (N, 3, H, W)
            RGB in [0, 1]; what it holds in the hole is ignored, even NaN.
        mask : Tensor of shape (N, 1, H, W)
            1 = known, 0 = hole.

        Returns
        -------
        Tensor of shape (N, 3, H, W)
            I_out, of any size from 32 pixels a side; not clipped to [0, 1].

        Raises
        ------
        ValueError
            If shapes differ, a side is under 32 pixels, either is not of a floating type, or (on
            the CPU) the mask is not 0/1.
        """
        check_pair(image, mask, smallest=MIN_SIZE)
        x = torch.where(mask.bool(), self.normalise(image), 0)
        return self.normalise.inverse(self.pass_through(x, mask))

    def pass_through(self, x: Tensor, mask: Tensor) -> Tensor:
        """Encode and decode a standardised image (N, in_channels, H, W) that is 0 in its hole."""
        skips = []
        for block in self.encoder:
            skips.append((x, mask))
            x, mask = block([x], [mask])
        for block in self.decoder:
            skip, skip_mask = skips.pop()
            size = skip.shape[-2:]
            x, mask = block([double(x, size), skip], [double(mask, size), skip_mask])
        return x


class PartwiseUNet(PConvUNet):
    """`PConvUNet` whose decoder rescales features and skip each by its own sum(1)/sum(M).

    A departure from the paper; see `PartwiseConv2d`.  Parameters as `PConvUNet`; the state dicts
    have the same names and shapes.
    """

    conv = PartwiseConv2d


class MergedMaskUNet(PConvUNet):
    """`PConvUNet` whose decoder merges the masks of features and skip by OR.

    Some public implementations do so.  A departure from the paper; see `MergedMaskConv2d`.
    Parameters as `PConvUNet`; the state dicts have the same names and shapes.
    """

    conv = MergedMaskConv2d


class _MaskAsInput(PConvUNet):
    """The mask is a fourth channel of the image, 1 = known, at the first and the last layer."""

    in_channels = 4

    def pass_through(self, x: Tensor, mask: Tensor) -> Tensor:
        """As `PConvUNet.pass_through`, of image (N, 3, H, W) and mask (N, 1, H, W)."""
        return super().pass_through(torch.cat([x, mask.to(x.dtype)], dim=1), mask)


class PartialMaskedUNet(_MaskAsInput):
    """`PConvUNet` that sees the mask as an input channel too, at the first and the last layer.

    What is the mask of that channel?  It is known everywhere, so one might say 1.  But then eq. 1
    would count an entry as known at every pixel, no window would be unknown, and by eq. 2 the mask
    would be all ones behind the first layer: nothing would be left of the hole that shrinks.  So
    the channel shares the image's mask M; it is 1 where M is and nothing elsewhere, and M behind
    each layer is that of `PConvUNet`.

    The channel adds sum(w M) * sum(1) / sum(M) to a window: with equal weights w a constant, with
    others it tells where in the window the known pixels lie, which `PConvUNet` is not told.
    A departure from the paper.  Parameters as `PConvUNet`.
    """


class ResidualUNet(PartwiseUNet):
    """`PartwiseUNet` that adds to a smooth continuation of what is known: I_out = S + U.

    S is `continuation`, U the U-Net, which sees the image less the mean of its known pixels and
    starts at 0.  So a plain surface, a thin scratch and the far inside of a hole begin with colours
    that fit, and the network has to learn only what a smooth continuation lacks.  A departure from
    the paper.  Parameters as `PConvUNet`; the state dicts have the same names and shapes.
    """

    def __init__(self, levels: int = 8, base_channels: int = 64):
        super().__init__(levels, base_channels)
        nn.init.zeros_(self.decoder[-1].conv.weight)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Inpaint; arguments, result and errors as `PConvUNet.forward`."""
        check_pair(image, mask, smallest=MIN_SIZE)
        x = torch.where(mask.bool(), self.normalise(image), 0)
        smooth = continuation(x, mask, len(self.encoder))
        x = torch.where(mask.bool(), x - known_mean(x, mask), 0)
        return self.normalise.inverse(smooth + self.pass_through(x, mask))


class Residual(nn.Module):
    """x plus two 3x3 convolutions of it, each after a leaky ReLU; begins nearly as x."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.kaiming_normal_(self.first.weight, a=LEAK)
        nn.init.normal_(self.second.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, C, H, W) to such."""
        return x + self.second(F.leaky_relu(self.first(F.leaky_relu(x, LEAK)), LEAK))


class RefinedUNet(InpaintingNet):
    """A U-Net at full resolution on a smooth continuation: I_out = S + (1 - M) U(S, 1 - M).

    S is `continuation`, a pyramid of partial convolutions that learns nothing.  Behind it no pixel
    is unknown, and a partial convolution of what is all known is a plain one, but for the border.
    So the layers of U are plain.  They stand in residual blocks, without batch norm: one at full
    resolution, where the U-Nets above have a single convolution, two at each of two halvings, and
    two at each size on the way back.  What is known stays as it is: L_valid, which is least where
    U is 0, would else pull at U before it tells hole from known.  A departure from the paper.

    Parameters
    ----------
    levels : int
        Halvings of the continuation's pyramid.
    base_channels : int
        Width at full resolution, doubled at each halving.
    """

    def __init__(self, levels: int = 8, base_channels: int = 64):
        super().__init__()
        self.levels = levels
        widths = [base_channels, 2 * base_channels, 4 * base_channels]
        self.normalise = Normalise()
        first = nn.Conv2d(4, base_channels, 3, padding=1)
        self.encoder = nn.ModuleList([nn.Sequential(first, Residual(base_channels))])
        self.narrowing, self.decoder = nn.ModuleList(), nn.ModuleList()
        for narrow, wide in pairwise(widths):
            halving = nn.Conv2d(narrow, wide, 3, stride=2, padding=1)
            self.encoder.append(nn.Sequential(halving, Residual(wide), Residual(wide)))
            self.narrowing.insert(0, nn.Conv2d(wide, narrow, 1))
            self.decoder.insert(0, nn.Sequential(Residual(narrow), Residual(narrow)))
        self.last = nn.Conv2d(base_channels, 3, 3, padding=1)
        # The other weights begin as PyTorch has them, smaller than those of He et al.: without norm
        # the features would grow from halving to halving.
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Inpaint; arguments, result and errors as `PConvUNet.forward`."""
        check_pair(image, mask, smallest=MIN_SIZE)
        x = torch.where(mask.bool(), self.normalise(image), 0)
        smooth = continuation(x, mask, self.levels)
        hole = 1 - mask
        added = self.pass_through(torch.cat([smooth - known_mean(x, mask), hole], dim=1))
        return self.normalise.inverse(smooth + hole * added)

    def pass_through(self, x: Tensor) -> Tensor:
        """Encode and decode the continuation less its mean, and the hole: (N, 4, H, W)."""
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        skips.pop()
        for narrowing, block in zip(self.narrowing, self.decoder, strict=True):
            skip = skips.pop()
            size = skip.shape[-2:]
            wide = F.interpolate(narrowing(x), size=size, mode="bilinear", align_corners=False)
            x = block(skip + wide)
        # A plain ReLU here was seen to die in the first steps, all channels at once.
        return self.last(F.leaky_relu(x, LEAK))


class ConvUNet(PConvUNet):
    """The paper's baseline "Conv": `PConvUNet` with ordinary convolutions.

    It sees the masked image, holes at the mean colour, and never the mask.  Parameters as
    `PConvUNet`; the state dicts have the same names and shapes.
    """

    conv = PlainConv2d


class MaskedUNet(_MaskAsInput):
    """`ConvUNet` that is given the mask: the plain twin that knows where the hole is.

    The mask, 1 = known, is a fourth input channel of the first layer; the last one joins masked
    image and mask.  Parameters as `PConvUNet`.
    """

    conv = PlainConv2d


class GatedWideUNet(MaskedUNet):
    """`MaskedUNet` of gated convolutions (Yu et al. 2019, "Free-form image inpainting").

    Each layer is activation(norm(features)) * sigmoid(gate), features and gate from one input; the
    rest, mask at the first and last layer included, is as `MaskedUNet`.  The last layer is an
    ordinary convolution: it makes the picture, and a gate would pull colours to one value.  So
    have it the authors' code, whose layers without activation return before they gate, and our
    other networks, whose last layer has neither norm nor activation.  The activations are those of
    our other networks, not the authors' ELU, so that the gate alone is compared.

    Parameters
    ----------
    levels : int
        Number of encoder levels.
    base_channels : float
        Width of the first level; with that of `PConvUNet`, twice its number of parameters.
    """

    block = GatedBlock


class GatedUNet(GatedWideUNet):
    """`GatedWideUNet` with about as many parameters as `PConvUNet` of the same arguments.

    A gate doubles the weights of a layer, which grow with the square of the width: so each width is
    that of `PConvUNet` over sqrt(2), rounded.

    Parameters
    ----------
    levels : int
        Number of encoder levels.
    base_channels : float
        Width of the first level of the `PConvUNet` that it goes with.
    """

    def __init__(self, levels: int = 8, base_channels: float = 64):
        super().__init__(levels, base_channels / math.sqrt(2))


class UNet(InpaintingNet):
    """Traditional U-Net, P-Conv's baseline: 3x3 convolutions of stride 1 and max pooling.

    It sees the masked image, holes at mid-grey, and no mask; its output passes a tanh that spans
    [0, 1].

    Parameters
    ----------
    levels : int
        Number of poolings; 4 is the usual depth.
    base_channels : int
        Width of the first level, doubled at each pooling up to 8 times.
    """

    def __init__(self, levels: int = 4, base_channels: int = 64):
        super().__init__()
        widths = [base_channels * min(2**i, 8) for i in range(levels + 1)]
        self.encoder = nn.ModuleList(
            _double_conv(a, b) for a, b in zip([3, *widths[:-1]], widths, strict=True)
        )
        self.decoder = nn.ModuleList(
            _double_conv(widths[i + 1] + widths[i], widths[i]) for i in reversed(range(levels))
        )
        self.last = nn.Conv2d(base_channels, 3, 1)
        self._initialise(decoder_slope=0.0)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Inpaint; arguments, result and errors as `PConvUNet.forward`."""
        check_pair(image, mask, smallest=MIN_SIZE)
        x = torch.where(mask.bool(), image * 2 - 1, 0)
        skips = []
        for i, block in enumerate(self.encoder):
            x = block(x if i == 0 else F.max_pool2d(x, 2, ceil_mode=True))
            skips.append(x)
        skips.pop()
        for block in self.decoder:
            skip = skips.pop()
            x = block(torch.cat([double(x, skip.shape[-2:]), skip], dim=1))
        return torch.tanh(self.last(x)) / 2 + 0.5


MODELS = {
    "pconv": PConvUNet,
    "partwise": PartwiseUNet,
    "residual": ResidualUNet,
    "refined": RefinedUNet,
    "conv": ConvUNet,
    "unet": UNet,
    "masked": MaskedUNet,
    "gated": GatedUNet,
    "gated-wide": GatedWideUNet,
    "partial-masked": PartialMaskedUNet,
    "merged": MergedMaskUNet,
}


def build_model(name: str, size: int, base_channels: int, seed: int) -> InpaintingNet:
    """Make a network with reproducible initial weights.

    Parameters
    ----------
    name : str
        A key of `MODELS`: "pconv", "conv", "masked", "gated", ...
    size : int
        Training size in pixels, kept as `trained_size`; fixes the number of levels, but of "unet".
    seed : int
        Seed of the initial weights; the global generator is left as it was.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if name not in MODELS:
        raise ValueError(f"model is {name!r}; it should be one of {', '.join(MODELS)}")
    levels = 4 if name == "unet" else levels_for(size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = MODELS[name](levels=levels, base_channels=base_channels)
    net.trained_size = size
    return net


def check_pair(image: Tensor, mask: Tensor, smallest: int = 1) -> None:
    """Raise ValueError unless `image` is (N, 3, H, W) and `mask` a 0/1 mask (N, 1, H, W) of it."""
    for name, tensor in (("image", image), ("mask", mask)):
        if not tensor.is_floating_point():
            raise ValueError(f"{name} is of type {tensor.dtype}; it should be floating, in [0, 1]")
    if image.dim() != 4 or image.shape[1] != 3:
        raise ValueError(f"image has shape {tuple(image.shape)}; it should be (N, 3, H, W)")
    n, _, height, width = image.shape
    if mask.dim() == 4 and mask.shape[-2:] != image.shape[-2:]:
        raise ValueError(
            f"mask is {mask.shape[-2]}x{mask.shape[-1]}, image is {height}x{width}; "
            "they should be of one size"
        )
    if mask.shape != (n, 1, height, width):
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}; it should be {(n, 1, height, width)}"
        )
    if height < smallest or width < smallest:
        raise ValueError(f"image is {height}x{width}; both sides should be at least {smallest}")
    if seen(mask, lambda values: _odd(values).any()):
        odd = mask[_odd(mask)]
        raise ValueError(
            f"mask holds the value {odd[0].item():g} ({odd.numel()} such pixels); "
            "it should be 1 where known and 0 in the hole"
        )


def _odd(mask: Tensor) -> Tensor:
    return (mask != 0) & (mask != 1)


def composite(out: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """I_comp: the output in the hole, the image where it is known; shapes (N, C, H, W)."""
    return torch.where(mask.bool(), image, out)


def known_mean(image: Tensor, mask: Tensor) -> Tensor:
    """Mean over the known pixels (N, C, 1, 1) of an image (N, C, H, W) that is 0 in its hole."""
    return image.sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp(min=1)


@torch.no_grad()
def continuation(image: Tensor, mask: Tensor, levels: int) -> Tensor:
    """Continue what is known smoothly into the hole, coarse to fine.

    A partial convolution of equal weights is the mean of a window's known pixels.  Such means over
    2 x 2 pixels halve the image until little is hole.  From there each level fills its hole from
    the coarser one, enlarged, and takes a few steps towards the solution of the biharmonic
    equation, which goes on with the gradients that it finds at the edge of a hole.

    Parameters
    ----------
    image : Tensor of shape (N, C, H, W)
        What it holds in the hole is ignored, even NaN.
    mask : Tensor of shape (N, 1, H, W)
        1 = known, 0 = hole.
    levels : int
        Halvings; what lies deeper than 2**levels pixels begins as the mean of the known ones.

    Returns
    -------
    Tensor of shape (N, C, H, W)
        `image` where it is known; of at least float32.
    """
    wide = torch.promote_types(image.dtype, torch.float32)
    # Shifted copies of channels_last tensors are slow.
    x = torch.where(mask.bool(), image, 0).to(wide).contiguous()
    known = mask.to(x.dtype)
    filled = x.sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True).clamp(min=1)
    pyramid = [(x, mask.bool())]
    for _ in range(levels):
        x = F.avg_pool2d(x, 2, ceil_mode=True)
        share = F.avg_pool2d(known, 2, ceil_mode=True)
        known = (share > 0).to(x.dtype)
        x = x / share.clamp(min=0.125)  # where anything is known, it is a quarter or more
        pyramid.append((x, known.bool()))
    for x, is_known in reversed(pyramid):
        size = x.shape[-2:]
        filled = F.interpolate(filled, size=size, mode="bilinear", align_corners=False)
        filled = _evened_out(torch.where(is_known, x, filled), is_known)
    return filled


def _evened_out(x: Tensor, known: Tensor) -> Tensor:
    """Bring an estimate in the hole nearer to where its Laplacian's Laplacian is 0.

    Two sweeps of means first, then gradient steps with momentum; a step of at most
    2 (1 + momentum) over 16/9, the square of the largest eigenvalue of `_laplacian`, is stable.
    """
    for _ in range(_MEANS):
        x = torch.where(known, x, x + _laplacian(x))
    before = x
    for _ in range(_STEPS):
        change = _MOMENTUM * (x - before) - _STEP * _laplacian(_laplacian(x))
        x, before = torch.where(known, x, x + change), x
    return x


def _laplacian(x: Tensor) -> Tensor:
    """Weighted mean of a pixel's eight neighbours less the pixel; those at its sides weigh twice.

    Beyond the border the outermost pixels go on.
    """
    p = F.pad(x, (1, 1, 1, 1), mode="replicate")
    rows = p[..., :-2] + 2 * p[..., 1:-1] + p[..., 2:]
    return (rows[..., :-2, :] + 2 * rows[..., 1:-1, :] + rows[..., 2:, :]) / 12 - x * (4 / 3)


def double(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest-neighbour upsampling by 2, cropped to `size` where the encoder rounded up."""
    # What `F.interpolate` calls, but with both factor and size: a trace of free sizes need not ask
    # then whether the result fits.
    return torch._C._nn.upsample_nearest2d(x, size, 2.0, 2.0)


def _double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    layers = []
    for a in (in_channels, out_channels):
        layers += [nn.Conv2d(a, out_channels, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(out_channels), nn.ReLU()]
    return nn.Sequential(*layers)
