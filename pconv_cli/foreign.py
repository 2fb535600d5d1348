"""Other people's weights, recognised by their keys and run with the arithmetic they grew up with.

Four layouts are known: P-Conv's partial U-Net (`downN.pconv.img_conv...`), P-Conv's traditional
U-Net (`downN.layer...`), that of naoto0804's partial U-Net and of many copies
(`enc_N.conv.input_conv...`, earlier `enc_N.conv.conv2d...`), and that of MMEditing's
(`encoder.encN.conv...`).  The partial convolutions of the first three divide by sum(M), without
sum(1); MMEditing's are those of eq. 1.

NVIDIA publishes a layer, which `PartialConv2d` is a drop-in for, and no U-Net.  Files of
tanimutomo's U-Net do not tell how many of their levels are used.
"""

import re
from collections import defaultdict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pconv_core.layers import PartialConv2d, UnscaledPartialConv2d
from pconv_core.models import MIN_SIZE, Block, InpaintingNet, Normalise, PConvUNet, check_pair

KNOWN = "P-Conv's (either U-Net), MMEditing's partial U-Net, "
KNOWN += "or named enc_N.conv.input_conv and so on, as naoto0804's"
# (side, level from 1, parameter)
_PCONV_CONV = re.compile(r"^(down|up)(\d+)\.pconv\.img_conv\.(?:\d+\.)?(weight|bias)$")
# P-Conv computes the norms of its encoder, too, but throws the result away.
_PCONV_NORM = re.compile(r"^(up)(\d+)\.norm\.(?:\d+\.)?(\w+)$")
_PUBLIC_CONV = re.compile(r"^(enc|dec)_(\d+)\.conv\.(?:input_conv|conv2d)\.(weight|bias)$")
_PUBLIC_NORM = re.compile(r"^(enc|dec)_(\d+)\.bn\.(\w+)$")
_MM = r"^(?:generator\.)?(?:encoder|decoder)\.(enc|dec)(\d+)\."
_MM_CONV, _MM_NORM = (re.compile(_MM + end) for end in (r"conv\.(weight|bias)$", r"bn\.(\w+)$"))
_PCONV_UNET = re.compile(r"^(down|up)(\d+)\.(?:layer\.(\d+)\.)?(\w+)$")
_NO_UNET = "the weights are not those of P-Conv's traditional U-Net"
_SIDES = {"down": "down", "enc": "down", "up": "up", "dec": "up"}


class _MinusOneToOne(nn.Module):
    """What P-Conv has in the place of `Normalise`: [-1, 1] goes in, a sigmoid comes out."""

    def forward(self, image: Tensor) -> Tensor:
        return image * 2 - 1

    def inverse(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)


class ForeignPConvUNet(PConvUNet):
    """A partial U-Net in a layout of others, with the levels that its weights have."""

    def __init__(self, state: dict[str, Tensor]):
        super().__init__(levels=0)
        kind = UnscaledPartialConv2d
        if any(_PCONV_CONV.match(key) for key in state):
            conv, norm = _PCONV_CONV, _PCONV_NORM
            self.normalise = _MinusOneToOne()
        elif any(_MM_CONV.match(key) for key in state):
            conv, norm, kind = _MM_CONV, _MM_NORM, PartialConv2d
            self.normalise = Normalise([0.5] * 3, [0.5] * 3)
        else:
            conv, norm = _PUBLIC_CONV, _PUBLIC_NORM
        weights, norms = _grouped(state, conv), _grouped(state, norm)
        for place in sorted(place for place in weights if place[0] == "down"):
            level = _level(kind, weights[place], norms.get(place, {}), 2, nn.ReLU())
            self.encoder.append(level)
        decoder = [("up", n) for n in _from_the_bottleneck(weights)]
        for place in decoder[:-1]:
            level = _level(kind, weights[place], norms.get(place, {}), 1, nn.LeakyReLU(0.2))
            self.decoder.append(level)
        for place in decoder[-1:]:
            self.decoder.append(_level(kind, weights[place], {}, 1, nn.Identity()))
        self._check()

    def _check(self) -> None:
        """Raise ValueError unless the channels of the levels fit together."""
        skips = [level.conv.in_channels for level in self.encoder]
        width = self.encoder[-1].conv.out_channels if skips else 0
        fits = len(self.encoder) == len(self.decoder) and bool(skips) and skips[0] == 3
        for level, skip in zip(self.decoder, reversed(skips), strict=False):
            fits = fits and level.conv.in_channels == width + skip
            width = level.conv.out_channels
        if not fits or width != 3:
            raise ValueError("the weights are not those of a partial U-Net from RGB to RGB")


class ForeignUNet(InpaintingNet):
    """P-Conv's traditional U-Net, of which the weights tell the levels.

    3 x 3 convolutions of stride 1, max pooling between them; the decoder doubles, joins the skip
    before the features, and convolves; a last convolution and tanh give [-1, 1].  Where a side is
    no multiple of what the poolings divide by, P-Conv stops; here it goes on as hole.
    """

    def __init__(self, state: dict[str, Tensor]):
        super().__init__()
        levels = defaultdict(lambda: defaultdict(dict))
        for key, value in state.items():
            if match := _PCONV_UNET.match(key):
                side, n, index, parameter = match.groups()
                levels[side, int(n)][int(index or 0)][parameter] = value
        down, up = (sorted(n for side, n in levels if side == of) for of in ("down", "up"))
        if not up or down != list(range(1, len(down) + 1)) or up != down:
            raise ValueError(f"{_NO_UNET}: its levels are {down} and {up}")
        self.encoder = nn.ModuleList(_sequence(levels["down", n]) for n in down)
        self.decoder = nn.ModuleList(_sequence(levels["up", n]) for n in reversed(up[1:]))
        self.last = _conv(nn.Conv2d, levels["up", 1][0], 1)
        if self.encoder[0][0].in_channels != 3 or self.last.out_channels != 3:
            raise ValueError(f"{_NO_UNET}: it is not from RGB to RGB")

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Inpaint; arguments and errors as `PConvUNet.forward`, the result is in [0, 1]."""
        check_pair(image, mask, smallest=MIN_SIZE)
        x = torch.where(mask.bool(), image * 2 - 1, 0)
        height, width = x.shape[-2:]
        multiple = 2 ** (len(self.encoder) - 1)
        x = F.pad(x, (0, -width % multiple, 0, -height % multiple))
        skips = []
        for level in self.encoder:
            x = level(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = skips.pop()
        for level in self.decoder:
            x = level(torch.cat([skips.pop(), F.interpolate(x, scale_factor=2.0)], dim=1))
        return torch.tanh(self.last(x))[..., :height, :width] / 2 + 0.5


def build(state: dict) -> InpaintingNet | None:
    """Make the network that a state dict from elsewhere belongs to; None if it is of no kind known.

    Raises
    ------
    ValueError
        If the keys are of a known layout, but the shapes do not fit together.
    """
    state = {str(k).removeprefix("module."): v for k, v in state.items() if isinstance(v, Tensor)}
    try:
        if any(layout.match(k) for k in state for layout in (_PCONV_CONV, _PUBLIC_CONV, _MM_CONV)):
            return ForeignPConvUNet(state).eval()
        if any(_PCONV_UNET.match(k) for k in state):
            return ForeignUNet(state).eval()
    except (AttributeError, KeyError, IndexError, RuntimeError, TypeError) as error:
        raise ValueError(f"weights of a known layout do not fit together: {error}") from None
    return None


def _grouped(state: dict[str, Tensor], pattern: re.Pattern) -> dict[tuple[str, int], dict]:
    """Sort the entries that match by (side, level)."""
    groups = defaultdict(dict)
    for key, value in state.items():
        if match := pattern.match(key):
            side, level, parameter = match.groups()
            groups[_SIDES[side], int(level)][parameter] = value
    return dict(groups)


def _from_the_bottleneck(weights: dict) -> list[int]:
    """Levels of a decoder, deepest first; the one that gives RGB is the last."""
    levels = sorted(n for side, n in weights if side == "up")
    counts_up = bool(levels) and weights["up", levels[0]]["weight"].shape[0] == 3
    return levels[::-1] if counts_up else levels


def _conv(kind: type, weights: dict, stride: int) -> nn.Conv2d:
    """Make a convolution to the measure of given weights, and load them."""
    out_channels, in_channels, *kernel = weights["weight"].shape
    padding = (kernel[0] // 2, kernel[1] // 2)
    conv = kind(in_channels, out_channels, tuple(kernel), stride, padding, bias="bias" in weights)
    conv.load_state_dict(weights)
    return conv


def _level(kind: type, weights: dict, norm: dict, stride: int, activation: nn.Module) -> Block:
    block = Block(_conv(kind, weights, stride), bool(norm), activation)
    block.norm.load_state_dict(norm)
    return block


def _sequence(level: dict[int, dict]) -> nn.Sequential:
    """Convolutions and norms in the order of their indices, then ReLU."""
    layers = []
    for index in sorted(level):
        entry = level[index]
        if entry["weight"].dim() == 4:
            layers.append(_conv(nn.Conv2d, entry, 1))
        else:
            layers.append(nn.BatchNorm2d(len(entry["weight"])))
            layers[-1].load_state_dict(entry, strict=False)
    return nn.Sequential(*layers, nn.ReLU())
