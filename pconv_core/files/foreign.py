"""Other people's weights, recognised by their keys and run with the arithmetic they grew up with.

Three layouts are known: P-Conv's partial U-Net (`downN.pconv.img_conv...`), P-Conv's traditional
U-Net (`downN.layer...`), and the common public one of partial U-Nets
(`enc_N.conv.input_conv...`).  The study loads none of them; its replica of P-Conv takes the layer.
"""

import re
from collections import defaultdict

import torch
from torch import Tensor, nn

from pconv_core.layers import PartialConv2d
from pconv_core.models import Block, InpaintingNet, PConvUNet, UNet

# (side, level from 1, parameter)
_PCONV_CONV = re.compile(r"^(down|up)(\d+)\.pconv\.img_conv\.(?:\d+\.)?(weight|bias)$")
# P-Conv computes the norms of its encoder, too, but throws the result away.
_PCONV_NORM = re.compile(r"^(up)(\d+)\.norm\.(?:\d+\.)?(\w+)$")
_PUBLIC_CONV = re.compile(r"^(enc|dec)_(\d+)\.conv\.input_conv\.(weight|bias)$")
_PUBLIC_NORM = re.compile(r"^(enc|dec)_(\d+)\.bn\.(\w+)$")
_PCONV_UNET = re.compile(r"^(down|up)(\d+)\.layer\.(\d+)\.(\w+)$")
_SIDES = {"down": "down", "enc": "down", "up": "up", "dec": "up"}


class UnscaledPartialConv2d(PartialConv2d):
    """1/sum(M) without sum(1), as version 1 of the paper has it; P-Conv's layer."""

    def _rescaling(self, channels, masks) -> tuple[Tensor, Tensor]:
        ratio, new_mask = super()._rescaling(channels, masks)
        window = self.in_channels * self.kernel_size[0] * self.kernel_size[1]
        return ratio / window, new_mask


class _MinusOneToOne(nn.Module):
    """What P-Conv has in the place of `Normalise`: [-1, 1] goes in, a sigmoid comes out."""

    def forward(self, image: Tensor) -> Tensor:
        return image * 2 - 1

    def inverse(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)


class ForeignPConvUNet(PConvUNet):
    """A partial U-Net in P-Conv's or the public layout; its levels are as its weights have them."""

    def __init__(self, state: dict[str, Tensor]):
        super().__init__(levels=0)
        if any(_PCONV_CONV.match(key) for key in state):
            kind, conv, norm = UnscaledPartialConv2d, _PCONV_CONV, _PCONV_NORM
            self.normalise = _MinusOneToOne()
        else:
            kind, conv, norm = PartialConv2d, _PUBLIC_CONV, _PUBLIC_NORM
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


class ForeignUNet(UNet):
    """P-Conv's traditional U-Net: convolutions of stride 1, max pooling, tanh.

    Of `downN.layer.I.*` and `upN.layer.I.*`, in the order of I, four-dimensional weights are
    convolutions and entries with running statistics are norms.
    """

    def __init__(self, state: dict[str, Tensor]):
        super().__init__(levels=0, base_channels=1)
        levels = defaultdict(lambda: defaultdict(dict))
        for key, value in state.items():
            if match := _PCONV_UNET.match(key):
                side, n, index, parameter = match.groups()
                levels[side, int(n)][int(index)][parameter] = value
        weights = {k: _convolutions(v)[-1] for k, v in levels.items() if _convolutions(v)}
        self.encoder = nn.ModuleList(
            _plain_level(levels[side, n]) for side, n in sorted(weights) if side == "down"
        )
        decoder = _from_the_bottleneck(weights)
        self.decoder = nn.ModuleList(
            _plain_level(levels["up", n], last=n == decoder[-1]) for n in decoder
        )
        self.last = nn.Identity()  # the last level of these decoders gives RGB itself
        if not len(self.encoder) or len(self.encoder) != len(self.decoder) + 1:
            raise ValueError("the weights are not those of P-Conv's traditional U-Net")


def build(state: dict) -> InpaintingNet | None:
    """Make the network that a state dict from elsewhere belongs to; None if it is of no kind known.

    Raises
    ------
    ValueError
        If the keys are of a known layout, but the shapes do not fit together.
    """
    state = {str(k).removeprefix("module."): v for k, v in state.items() if isinstance(v, Tensor)}
    try:
        if any(_PCONV_CONV.match(k) or _PUBLIC_CONV.match(k) for k in state):
            return ForeignPConvUNet(state).eval()
        if any(_PCONV_UNET.match(k) for k in state):
            return ForeignUNet(state).eval()
    except (KeyError, IndexError, RuntimeError, TypeError) as error:
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


def _convolutions(level: dict[int, dict]) -> list[dict]:
    entries = [level[index] for index in sorted(level)]
    return [e for e in entries if "weight" in e and e["weight"].dim() == 4]


def _plain_level(level: dict[int, dict], last: bool = False) -> nn.Sequential:
    """Convolutions and norms in the order of their indices, ReLU after each norm or lone one."""
    layers = []
    entries = [level[index] for index in sorted(level)]
    for place, entry in enumerate(entries):
        if entry["weight"].dim() == 4:
            layer = _conv(nn.Conv2d, entry, 1)
            ends = place + 1 == len(entries)
            normed = not ends and entries[place + 1]["weight"].dim() == 1
            layers += [layer] if normed or (ends and last) else [layer, nn.ReLU()]
        else:
            layer = nn.BatchNorm2d(len(entry["weight"]))
            layer.load_state_dict(entry, strict=False)
            layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers)
