"""The inpainting loss (eq. 7).

Pictures come in as RGB in [0, 1].  The paper does not say on which scale L_valid, L_hole and L_tv
are taken.  Here they are on ImageNet-normalised values, less the mean and over the standard
deviation of each channel, as the loss that the paper's authors published takes every term
(models/loss.py of NVIDIA/partialconv).  The features bring their own scale.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pconv_core.models import Normalise, check_pair, composite
from pconv_core.seeding import generator

# Eq. 7; the style weight is that of the second stage and of the paper.
WEIGHTS = {
    "valid": 1.0,
    "hole": 6.0,
    "perceptual": 0.05,
    "style_out": 120.0,
    "style_comp": 120.0,
    "tv": 0.1,
}


class InpaintingLoss(nn.Module):
    """The loss of eq. 7: six weighted terms, each averaged over the images of the batch.

    L = L_valid + 6 L_hole + 0.05 L_perceptual + lambda_style (L_style_out + L_style_comp)
    + 0.1 L_tv, lambda_style being 1 in P-Conv's first stage and 120 otherwise.

    Parameters
    ----------
    features : nn.Module
        Maps an image to a list of feature maps; see `features.VGGFeatures`.
    style_scale : float
        Multiplies both style terms; the width of the features relative to VGG-16.  Gram entries
        fall as 1/C, so without it a narrow net would weigh style more than VGG-16 does.
    features_share : float
        Share of a batch that passes through the features, above 0 and at most 1; see `draw`.
    seed : int
        Of these draws.
    **weights : float
        Of terms of `WEIGHTS`, where they are others.
    """

    definition = 2  # as of `InpaintingNet`; 1 took the pixel terms on [0, 1]

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
            raise ValueError(f"features_share is {features_share:g}; it should be in (0, 1]")
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
            them, if that is the whole batch.  A pure function of (seed, number, batch_size).
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
        return total, {name: term.detach() for name, term in {"total": total, **terms}.items()}

    def feature_terms(self, out: Tensor, comp: Tensor, image: Tensor) -> dict[str, Tensor]:
        """The perceptual and both style terms; 0, without the features, if their weights are 0."""
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
        return sum(_l1(o, g) + _l1(c, g) for o, c, g in zip(f_out, f_comp, f_gt, strict=True))

    @staticmethod
    def style(features: list[Tensor], f_gt: list[Tensor]) -> Tensor:
        """L_style: L1 of Gram matrices over their C_p x C_p entries, summed over the layers."""
        return sum(_l1(gram(f), gram(g)) for f, g in zip(features, f_gt, strict=True))

    @staticmethod
    def total_variation(comp: Tensor, mask: Tensor) -> Tensor:
        """L_tv: L1 of neighbours of I_comp, both in the hole dilated by one pixel, over N."""
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
