"""Other people's weights, recognised by their keys and run with the arithmetic they grew up with.

Three layouts are known: the seed's partial U-Net (`downN.pconv.img_conv...`), the seed's
traditional U-Net (`downN.layer...`), and the common public one of partial U-Nets
(`enc_N.conv.input_conv...`).  Nothing here is used by the study itself.
"""

import re
from collections import defaultdict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pconv_core.layers import PartialConv2d
from pconv_core.models import InpaintingNet, Normalise, check_input, double

# (side, level, parameter): "down"/"up" or "enc"/"dec", from 1, "weight" or "bias".
_SEED_CONV = re.compile(r"^(down|up)(\d+)\.pconv\.img_conv\.(?:\d+\.)?(weight|bias)$")
_SEED_NORM = re.compile(r"^(down|up)(\d+)\.norm\.(?:\d+\.)?(\w+)$")
_PUBLIC_CONV = re.compile(r"^(enc|dec)_(\d+)\.conv\.input_conv\.(weight|bias)$")
_PUBLIC_NORM = re.compile(r"^(enc|dec)_(\d+)\.bn\.(\w+)$")
_SEED_UNET = re.compile(r"^(down|up)(\d+)\.layer\.(\d+)\.(\w+)$")


class SeedPartialConv2d(PartialConv2d):
    """The seed's layer, as in version 1 of the paper: 1/sum(M) instead of sum(1)/sum(M)."""

    def _rescaling(self, channels, masks) -> tuple[Tensor, Tensor]:
        ratio, new_mask = super()._rescaling(channels, masks)
        window = self.in_channels * self.kernel_size[0] * self.kernel_size[1]
        return ratio / window, new_mask


class _Level(nn.Module):
    """A convolution, perhaps its norm, and an activation, made to the measure of given weights."""

    def __init__(self, kind, weights, norm, stride, activation):
        super().__init__()
        out_channels, in_channels, *kernel = weights["weight"].shape
        self.conv = kind(
            in_channels,
            out_channels,
            tuple(kernel),
            stride,
            (kernel[0] // 2, kernel[1] // 2),
            bias="bias" in weights,
        )
        self.conv.load_state_dict(weights)
        self.norm = nn.BatchNorm2d(out_channels) if norm else nn.Identity()
        self.norm.load_state_dict(norm)
        self.activation = activation

    def forward(self, parts, masks) -> tuple[Tensor, Tensor]:
        x, mask = self.conv(parts, masks)
        return self.activation(self.norm(x)), mask


class ForeignPConvUNet(InpaintingNet):
    """A partial U-Net from elsewhere; its levels are as its weights have them.

    Parameters
    ----------
    state : dict of str -> Tensor
        In the seed's or the public layout.
    """

    def __init__(self, state: dict[str, Tensor]):
        super().__init__()
        self.seeds = any(_SEED_CONV.match(key) for key in state)
        conv, norm = (_SEED_CONV, _SEED_NORM) if self.seeds else (_PUBLIC_CONV, _PUBLIC_NORM)
        kind = SeedPartialConv2d if self.seeds else PartialConv2d
        sides = ("down", "up") if self.seeds else ("enc", "dec")
        weights, norms = _grouped(state, conv), _grouped(state, norm)
        encoder = sorted(n for side, n in weights if side == sides[0])
        decoder = _from_the_bottleneck(weights, sides[1])
        self.normalise = Normalise()
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        for n in encoder:
            # The seed computes its encoder's norm and throws the result away.
            of_level = {} if self.seeds else norms.get((sides[0], n), {})
            self.encoder.append(_Level(kind, weights[sides[0], n], of_level, 2, nn.ReLU()))
        for n in decoder:
            last = n == decoder[-1]
            of_level = {} if last else norms.get((sides[1], n), {})
            active = nn.Identity() if last else nn.LeakyReLU(0.2)
            self.decoder.append(_Level(kind, weights[sides[1], n], of_level, 1, active))
        self._check()

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Inpaint; arguments, result and errors as `PConvUNet.forward`."""
        check_input(image, mask)
        # The seed works in [-1, 1] and ends with a sigmoid, others with ImageNet's mean and none.
        x = image * 2 - 1 if self.seeds else self.normalise(image)
        x, skips = torch.where(mask.bool(), x, 0), []
        for level in self.encoder:
            skips.append((x, mask))
            x, mask = level([x], [mask])
        for level in self.decoder:
            skip, skip_mask = skips.pop()
            x, mask = (_doubled(t, skip.shape[-2:]) for t in (x, mask))
            x, mask = level([x, skip], [mask, skip_mask])
        return torch.sigmoid(x) if self.seeds else self.normalise.inverse(x)

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


class SeedUNet(InpaintingNet):
    """The seed's traditional U-Net: convolutions of stride 1, max pooling, tanh.

    Parameters
    ----------
    state : dict of str -> Tensor
        Keys `downN.layer.I.*` and `upN.layer.I.*`; four-dimensional weights are convolutions,
        entries with running statistics are norms, in the order of I.
    """

    def __init__(self, state: dict[str, Tensor]):
        super().__init__()
        levels = defaultdict(lambda: defaultdict(dict))
        for key, value in state.items():
            if match := _SEED_UNET.match(key):
                side, n, index, parameter = match.groups()
                levels[side, int(n)][int(index)][parameter] = value
        weights = {k: _convolutions(v)[-1] for k, v in levels.items() if _convolutions(v)}
        self.encoder = nn.ModuleList(
            _plain_level(levels[side, n]) for side, n in sorted(weights) if side == "down"
        )
        decoder = _from_the_bottleneck(weights, "up")
        self.decoder = nn.ModuleList(
            _plain_level(levels["up", n], last=n == decoder[-1]) for n in decoder
        )
        if not len(self.encoder) or len(self.encoder) != len(self.decoder) + 1:
            raise ValueError("the weights are not those of the seed's traditional U-Net")

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Inpaint; arguments, result and errors as `PConvUNet.forward`."""
        check_input(image, mask)
        x, skips = torch.where(mask.bool(), image * 2 - 1, 0), []
        for number, level in enumerate(self.encoder):
            x = level(x if number == 0 else F.max_pool2d(x, 2, ceil_mode=True))
            skips.append(x)
        skips.pop()
        for level in self.decoder:
            skip = skips.pop()
            x = level(torch.cat([_doubled(x, skip.shape[-2:]), skip], 1))
        return torch.tanh(x) / 2 + 0.5


def build(state: dict) -> InpaintingNet | None:
    """Make the network that a state dict from elsewhere belongs to; None if it is of no kind known.

    Raises
    ------
    ValueError
        If the keys are of a known layout, but the shapes do not fit together.
    """
    state = {str(k).removeprefix("module."): v for k, v in state.items() if isinstance(v, Tensor)}
    try:
        if any(_SEED_CONV.match(k) or _PUBLIC_CONV.match(k) for k in state):
            return ForeignPConvUNet(state).eval()
        if any(_SEED_UNET.match(k) for k in state):
            return SeedUNet(state).eval()
    except (KeyError, IndexError, RuntimeError, TypeError) as error:
        raise ValueError(f"weights of a known layout do not fit together: {error}") from None
    return None


def _grouped(state: dict[str, Tensor], pattern: re.Pattern) -> dict[tuple[str, int], dict]:
    """Sort the entries that match by (side, level)."""
    groups = defaultdict(dict)
    for key, value in state.items():
        if match := pattern.match(key):
            side, level, parameter = match.groups()
            groups[side, int(level)][parameter] = value
    return dict(groups)


def _from_the_bottleneck(weights: dict, side: str) -> list[int]:
    """Levels of a decoder, deepest first; the one that gives RGB is the last."""
    levels = sorted(n for s, n in weights if s == side)
    counts_up = bool(levels) and weights[side, levels[0]]["weight"].shape[0] == 3
    return levels[::-1] if counts_up else levels


def _convolutions(level: dict[int, dict]) -> list[dict]:
    entries = [level[index] for index in sorted(level)]
    return [e for e in entries if "weight" in e and e["weight"].dim() == 4]


def _plain_level(level: dict[int, dict], last: bool = False) -> nn.Sequential:
    """Convolutions and norms in the order of their indices, ReLU after each norm or lone one."""
    layers = []
    entries = [level[index] for index in sorted(level)]
    for place, entry in enumerate(entries):
        if entry["weight"].dim() == 4:
            out_channels, in_channels, *kernel = entry["weight"].shape
            padding = (kernel[0] // 2, kernel[1] // 2)
            layer = nn.Conv2d(in_channels, out_channels, kernel, 1, padding, bias="bias" in entry)
            ends = place + 1 == len(entries)
            normed = not ends and entries[place + 1]["weight"].dim() == 1
            layers += [layer] if normed or (ends and last) else [layer, nn.ReLU()]
        else:
            layer = nn.BatchNorm2d(len(entry["weight"]))
            layers += [layer, nn.ReLU()]
        layer.load_state_dict(entry, strict=False)
    return nn.Sequential(*layers)


def _doubled(x: Tensor, size: tuple[int, int]) -> Tensor:
    """As `models.double`, but filled with zeros where kernels of even side made it too small."""
    up = double(x, size)
    return F.pad(up, (0, size[1] - up.shape[-1], 0, size[0] - up.shape[-2]))
