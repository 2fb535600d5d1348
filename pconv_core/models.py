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

from pconv_core.continuation import continuation, known_mean
from pconv_core.layers import MergedMaskConv2d, PartialConv2d, PartwiseConv2d, PlainConv2d, seen

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LEAK = 0.2  # slope of the leaky ReLU below 0 in the paper's decoder
MIN_SIZE = 32


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
        """Standardise an image (N, 3, H, W)."""
        return (image - self.mean) / self.std

    def inverse(self, image: Tensor) -> Tensor:
        """Bring an image back to [0, 1]."""
        return image * self.std + self.mean


class InpaintingNet(nn.Module):
    """What the networks share: frozen encoder norm, folding, initial weights."""

    trained_size = 256  # side in pixels of the pictures that it is trained on; P-Conv's
    # Raised by one when the arithmetic changes, so that rows of older ones are not taken for its.
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

        Exact, but for rounding: eq. 1 scales before it shifts, as the folded weights and bias do.
        ValueError in training mode, in which the norm follows each batch.
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
        """Features (N, C, H, W) and their mask, of parts and their masks; see `convolve`."""
        x, mask = self.conv.convolve(parts, masks)
        if not isinstance(self.norm, nn.Identity):
            x = self.conv.empty_hole(self.norm(x), mask)
        return self.activation(x), mask


class GatedBlock(Block):
    """Convolution with a gate, a second one of the same input, which always has a bias.

    Two modules, so that the norm may be folded into the features' own.
    """

    def __init__(self, conv: nn.Conv2d, norm: bool, activation: nn.Module):
        super().__init__(conv, norm, activation)
        self.gate = type(conv)(
            conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding
        )

    def forward(self, parts: list[Tensor], masks: list[Tensor]) -> tuple[Tensor, Tensor]:
        """As `Block.forward`, the features times sigmoid(gate)."""
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

    A departure from the paper; see `PartwiseConv2d`.
    """

    conv = PartwiseConv2d


class MergedMaskUNet(PConvUNet):
    """`PConvUNet` whose decoder merges the masks of features and skip by OR.

    Some public implementations do so.  A departure from the paper; see `MergedMaskConv2d`.
    """

    conv = MergedMaskConv2d


class _MaskAsInput(PConvUNet):
    """The mask is a fourth channel of the image, 1 = known, at the first and the last layer."""

    in_channels = 4

    def pass_through(self, x: Tensor, mask: Tensor) -> Tensor:
        return super().pass_through(torch.cat([x, mask.to(x.dtype)], dim=1), mask)


class PartialMaskedUNet(_MaskAsInput):
    """`PConvUNet` that sees the mask as an input channel too, at the first and the last layer.

    The channel shares the image's mask M: with a mask of ones no window would be unknown, and by
    eq. 2 nothing would be left of the hole behind the first layer.  It adds
    sum(w M) * sum(1) / sum(M) to a window, which tells where in it the known pixels lie.  A
    departure from the paper.
    """


class Residual(nn.Module):
    """x plus two 3x3 convolutions of it, each after a leaky ReLU; begins nearly as x."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.kaiming_normal_(self.first.weight, a=LEAK)
        nn.init.normal_(self.second.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Add to features (N, channels, H, W)."""
        # In place what no gradient needs: fresh memory of a large picture takes time.
        inner = F.leaky_relu(self.first(F.leaky_relu(x, LEAK)), LEAK, inplace=True)
        return self.second(inner).add_(x)


class RefinedUNet(InpaintingNet):
    """A U-Net at full resolution on a smooth continuation: I_out = S + (1 - M) U(S, 1 - M).

    S is `continuation`, a pyramid of partial convolutions that learns nothing.  Behind it no pixel
    is unknown, so the layers of U are plain.  They stand in residual blocks, without batch norm:
    one at full resolution, two at each of two halvings, and two at each size on the way back.  What
    is known stays as it is: L_valid, which is least where U is 0, would else pull at U before it
    tells hole from known.  A departure from the paper.

    `levels` are the halvings of the continuation's pyramid; `base_channels`, the width at full
    resolution, is doubled at each of the two others.
    """

    reach = 52  # pixels from one that decides of another in U: 49, rounded up to whole strides

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
        smooth, mean = self.begin(image, mask)
        return self.finish(smooth, mean, mask)

    def begin(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """S and the mean of what is known, both standardised."""
        check_pair(image, mask, smallest=MIN_SIZE)
        x = torch.where(mask.bool(), self.normalise(image), 0)
        return continuation(x, mask, self.levels), known_mean(x, mask)

    def finish(self, smooth: Tensor, mean: Tensor, mask: Tensor) -> Tensor:
        """Add U; pixels farther than `reach` from a hole do not matter to it."""
        hole, dtype = 1 - mask, self.last.weight.dtype
        seen = torch.cat([smooth - mean, hole], dim=1).to(dtype)
        return self.normalise.inverse(smooth + hole * self.pass_through(seen)).to(dtype)

    def pass_through(self, x: Tensor) -> Tensor:
        """Encode and decode the continuation less its mean, and the hole: (N, 4, H, W)."""
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        skips.pop()
        for narrowing, block in zip(self.narrowing, self.decoder, strict=True):
            size = skips[-1].shape[-2:]
            x = F.interpolate(narrowing(x), size=size, mode="bilinear", align_corners=False)
            x.add_(skips.pop())
            for part in block:  # each lets go of what it was given
                x = part(x)
        # A plain ReLU here was seen to die in the first steps, all channels at once.
        return self.last(F.leaky_relu(x, LEAK, inplace=True))


class ConvUNet(PConvUNet):
    """The paper's baseline "Conv": `PConvUNet` with ordinary convolutions.

    It sees the masked image, holes at the mean colour, and never the mask.
    """

    conv = PlainConv2d


class MaskedUNet(_MaskAsInput):
    """`ConvUNet` that is given the mask: the plain twin that knows where the hole is."""

    conv = PlainConv2d


class GatedUNet(MaskedUNet):
    """`MaskedUNet` of gated convolutions (Yu et al. 2019, "Free-form image inpainting").

    Each layer is activation(norm(features)) * sigmoid(gate), features and gate from one input.  The
    last layer, which makes the picture, is an ordinary convolution, as in the authors' code; the
    activations are those of our other networks, not their ELU, so that the gate alone is compared.
    A gate doubles the weights of a layer, which grow with the square of the width: so each width is
    that of `PConvUNet` over sqrt(2), rounded, and the parameters are about as many.
    """

    block = GatedBlock

    def __init__(self, levels: int = 8, base_channels: float = 64):
        super().__init__(levels, base_channels / math.sqrt(2))


class UNet(InpaintingNet):
    """Traditional U-Net, P-Conv's baseline: 3x3 convolutions of stride 1 and max pooling.

    It sees the masked image, holes at mid-grey, and no mask; its output passes a tanh that spans
    [0, 1].  The width doubles at each of the `levels` poolings, up to 8 times.
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
    "refined": RefinedUNet,
    "conv": ConvUNet,
    "unet": UNet,
    "masked": MaskedUNet,
    "gated": GatedUNet,
    "partial-masked": PartialMaskedUNet,
    "merged": MergedMaskUNet,
}


def build_model(name: str | type, size: int, base_channels: int, seed: int) -> InpaintingNet:
    """Make a network of `MODELS`, or of a class, its initial weights those of the random seed.

    ValueError if none has the name.
    `size`, that of training in pixels, is kept as `trained_size` and fixes the number of levels,
    but of `UNet`.  The global random generator is left as it was.
    """
    kind = name if isinstance(name, type) else MODELS.get(name)
    if kind is None:
        raise ValueError(f"model is {name!r}; it should be one of {', '.join(MODELS)}")
    if base_channels < 1:
        raise ValueError(f"base_channels is {base_channels}; it should be at least 1")
    levels = 4 if issubclass(kind, UNet) else levels_for(size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = kind(levels=levels, base_channels=base_channels)
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
        found = f"{mask.shape[-2]}x{mask.shape[-1]}"
        raise ValueError(f"mask is {found}, image is {height}x{width}; it should be of one size")
    if mask.shape != (n, 1, height, width):
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}; it should be {(n, 1, height, width)}"
        )
    if height < smallest or width < smallest:
        raise ValueError(f"image is {height}x{width}; both sides should be at least {smallest}")
    if seen(mask, lambda values: ((values != 0) & (values != 1)).any()):
        odd = mask[(mask != 0) & (mask != 1)][0].item()
        raise ValueError(f"mask holds {odd:g}; it should be 1 where known and 0 in the hole")


def composite(out: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """I_comp: the output in the hole, the image where it is known; shapes (N, C, H, W)."""
    return torch.where(mask.bool(), image, out)


def double(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest-neighbour upsampling by 2, cropped to `size` where the encoder rounded up."""
    # What `F.interpolate` calls, with both factor and size, which it refuses: with a size alone it
    # is wrong on large maps, with a factor alone `torch.export` asks whether the crop fits, and by
    # `torch.ops` `torch.jit.trace` takes the sizes for constants.
    return torch._C._nn.upsample_nearest2d(x, size, 2.0, 2.0)


def _double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    layers = []
    for a in (in_channels, out_channels):
        layers += [nn.Conv2d(a, out_channels, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(out_channels), nn.ReLU()]
    return nn.Sequential(*layers)
