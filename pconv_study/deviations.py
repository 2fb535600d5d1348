"""P-Conv's departures from the paper, and other changes: each a small subclass, or another number.

None of them is an option of the core.  An experiment's settings name a class, or several that are
mixed: `network`, `loss`, `features_input`; this module makes them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pconv_core import losses, models
from pconv_core.data import Samples
from pconv_core.features import VGGFeatures
from pconv_core.layers import PartialConv2d, UnscaledPartialConv2d
from pconv_core.losses import InpaintingLoss
from pconv_core.models import InpaintingNet, Normalise, PConvUNet, build_model, composite
from pconv_core.training import Stage
from pconv_study.settings import pick


class PaddingKnownConv2d(PartialConv2d):
    """Zero padding counts as known: windows over the border are not rescaled."""

    def _count(self, channels, masks, groups=1) -> tuple[int, Tensor]:
        window, known = super()._count(channels, masks, groups)
        everything = [torch.ones_like(mask) for mask in masks]
        return window, known + window - super()._count(channels, everything, groups)[1]


class UnscaledUNet(PConvUNet):
    """1/sum(M) instead of sum(1)/sum(M)."""

    conv = UnscaledPartialConv2d


class PaddingKnownUNet(PConvUNet):
    """Padding counts as known."""

    conv = PaddingKnownConv2d


class EncoderUnnormalised(PConvUNet):
    """The encoder's batch norm is computed and thrown away, so it might as well not be there.

    Its convolutions have a bias instead, as P-Conv's.
    """

    def __init__(self, levels: int = 8, base_channels: int = 64):
        super().__init__(levels, base_channels)
        for block in self.encoder:
            block.norm = nn.Identity()
            block.conv.bias = nn.Parameter(torch.zeros(block.conv.out_channels))


class SmallWeightsUNet(PConvUNet):
    """The weights begin as N(0, 0.01), as P-Conv's."""

    def __init__(self, levels: int = 8, base_channels: int = 64):
        super().__init__(levels, base_channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)


class SigmoidUNet(PConvUNet):
    """The output passes a sigmoid."""

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """As `PConvUNet.forward`, between 0 and 1."""
        return torch.sigmoid(self.normalise(super().forward(image, mask)))


class SwappedComposite(InpaintingLoss):
    """I_comp with known pixels from the output and the hole from the ground truth."""

    @staticmethod
    def compose(out: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """Exchange the two."""
        return composite(image, out, mask)


class DetachedTotalVariation(InpaintingLoss):
    """Total variation over the whole picture, with no gradient to one of two neighbours."""

    @staticmethod
    def total_variation(comp: Tensor, mask: Tensor) -> Tensor:
        """L1 of neighbours of I_comp over N, wherever they are."""
        across = comp[..., :, 1:] - comp[..., :, :-1].detach()
        down = comp[..., 1:, :] - comp[..., :-1, :].detach()
        return (across.abs().sum() + down.abs().sum()) / comp.numel()


class PerceptualOfOutput(InpaintingLoss):
    """The perceptual term compares I_out only, not I_comp as well."""

    @staticmethod
    def perceptual(f_out: list[Tensor], f_comp: list[Tensor], f_gt: list[Tensor]) -> Tensor:
        """L1 of features, I_out against I_gt, each over its elements."""
        return InpaintingLoss.perceptual(f_out, f_gt, f_gt)


class UnitPixels(InpaintingLoss):
    """The pixel terms, L_valid, L_hole and L_tv, are taken on RGB in [0, 1]."""

    def pixels(self, image: Tensor) -> Tensor:
        """Leave the scale as it is."""
        return image


class SignedPixels(InpaintingLoss):
    """The pixel terms are taken on RGB in [-1, 1], as P-Conv's."""

    def pixels(self, image: Tensor) -> Tensor:
        """Bring (N, 3, H, W) in [0, 1] to that range."""
        return 2 * image - 1


class Scaled(nn.Module):
    """Features times a factor: the perceptual term grows by it, both style terms by its square."""

    def __init__(self, features: VGGFeatures, factor: float):
        super().__init__()
        self.features, self.factor = features, factor

    def forward(self, image: Tensor) -> list[Tensor]:
        """Rescale the feature maps of an (N, 3, H, W) image."""
        return [self.factor * f for f in self.features(image)]


def unnormalised(features: VGGFeatures) -> VGGFeatures:
    """Let VGG see RGB in [-1, 1], as P-Conv does; changes `features`.

    P-Conv's VGG was trained on [0, 255] less the mean.  Ours take that over 255 and, but for "hed",
    over a standard deviation; in their units 2 x - 1 is (x - 0.5) / (127.5 std).
    """
    seen = (127.5 * features.normalise.std).flatten().tolist()
    features.normalise = Normalise([0.5] * 3, seen)
    return features


FEATURES_INPUT = {
    "as trained": lambda features: features,
    "not normalised": unnormalised,
    "half": lambda features: Scaled(features, 0.5),
    "twice": lambda features: Scaled(features, 2.0),
}


def mixed(chosen: str | Sequence[str], root: type) -> type:
    """The class of a name, or one that inherits from several, the first before the others.

    Raises
    ------
    ValueError
        If a name is not that of a subclass of `root`.
    """
    names = [chosen] if isinstance(chosen, str) else list(chosen)
    known = {**vars(models), **vars(losses), **globals()}
    known = {k: v for k, v in known.items() if isinstance(v, type) and issubclass(v, root)}
    for name in names:
        if name not in known:
            raise ValueError(f"no {root.__name__} is named {name!r}; there are: {sorted(known)}")
    classes = tuple(known[name] for name in names)
    return classes[0] if len(classes) == 1 else type("+".join(names), classes, {})


def definitions(settings: dict) -> dict[str, int]:
    """The definition of each class that settings name: raised when its arithmetic changes.

    Those of the samples and of the steps, which all cells have in common, count once they are
    raised above 1.
    """
    named = {c.__name__: c.definition for c in (Samples, Stage) if c.definition > 1}
    for key, root in (("network", InpaintingNet), ("loss", InpaintingLoss)):
        chosen = settings[key]
        for name in [chosen] if isinstance(chosen, str) else chosen:
            named[name] = getattr(mixed(name, root), "definition", 1)
    return named | {"VGGFeatures": getattr(VGGFeatures, "definition", 1)}


def network(settings: dict, seed: int) -> InpaintingNet:
    """Make the network of a cell, its initial weights those of the random seed."""
    kind = mixed(settings["network"], InpaintingNet)
    return build_model(kind, settings["size"], settings["base_channels"], seed)


def loss(settings: dict, seed: int) -> InpaintingLoss:
    """Make the loss of a cell."""
    features = VGGFeatures(settings["features"], settings["feature_width"], seed)
    return mixed(settings["loss"], InpaintingLoss)(
        pick(FEATURES_INPUT, settings["features_input"], "input of the features")(features),
        settings["feature_width"],
        settings["features_share"],
        seed,
        **settings["loss_weights"],
    )
