"""The measures of a filled picture, PSNR, SSIM, L1 and Lite0 distance, and rows of them."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torch.nn.functional import normalize

from pconv_core import lite0
from pconv_core.masks.shape import depth
from pconv_core.models import InpaintingNet, check_pair, composite

# Fills the holes of a batch: (images, masks) -> I_out, all (N, 3, H, W) in [0, 1].
Fill = Callable[[Tensor, Tensor], Tensor]

# As Wang et al. (2004) have it.
_SSIM = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
# A picture that is right to the last bit has no finite PSNR; this keeps means finite.
MAX_PSNR = 100.0
EDGE = 4.0  # pixels from a known one that are a hole's edge
# Pixels that go through EfficientNet-Lite0 at once: more do not stay in a processor's cache.
LITE0_PIXELS = 2**16


def network_fill(model: InpaintingNet) -> Fill:
    """Wrap a network as it is now, folded, without gradient; I_out is clipped to [0, 1]."""
    folded = model.eval().folded()
    device = next(model.parameters()).device

    def fill(images: Tensor, masks: Tensor) -> Tensor:
        with torch.no_grad():
            out = folded((images * masks).to(device), masks.to(device))
        return out.clamp(0, 1).to(images.device)

    return fill


def metrics(result: np.ndarray, truth: np.ndarray, hole: np.ndarray | None = None) -> dict:
    """Compare two pictures.

    Parameters
    ----------
    result, truth : ndarray of shape (H, W, 3)
        RGB in [0, 1].
    hole : ndarray of shape (H, W) and type bool, optional
        With at least one pixel.

    Returns
    -------
    dict
        "psnr" in dB, at most 100; "ssim" with the Gaussian window of Wang et al. (2004); "l1",
        the mean absolute difference in percent of the range.  With a hole also "psnr_hole" and
        "l1_hole", over its pixels alone, and "ssim_hole", the mean of the SSIM map over them (the
        windows about them see known pixels, too).
    """
    ssim, ssim_map = structural_similarity(truth, result, channel_axis=2, full=True, **_SSIM)
    found = {"psnr": psnr(result, truth), "ssim": ssim, "l1": _l1(result, truth)}
    if hole is None:
        return found
    return {
        **found,
        "psnr_hole": psnr(result[hole], truth[hole]),
        "ssim_hole": float(ssim_map[hole].mean(dtype=np.float64)),
        "l1_hole": _l1(result[hole], truth[hole]),
    }


def psnr(result: np.ndarray, truth: np.ndarray) -> float:
    """PSNR in dB of values in [0, 1], at most `MAX_PSNR`."""
    with np.errstate(divide="ignore"):
        return min(MAX_PSNR, peak_signal_noise_ratio(truth, result, data_range=1.0))


def _l1(result: np.ndarray, truth: np.ndarray) -> float:
    return 100 * float(np.abs(result - truth).mean())


def lite0_distance(results: Tensor, truths: Tensor) -> Tensor:
    """Perceptual distance of pictures on EfficientNet-Lite0, independent of the loss.

    It is the distance of Zhang et al. (2018, arXiv 1801.03924) without their calibration, so not
    their LPIPS, on another network: the features of the last block before each halving of the side
    (strides 2, 4, 8, 16 and 32; see `lite0.features`) go into `feature_distance`.

    Parameters
    ----------
    results, truths : Tensor of shape (N, 3, H, W)
        RGB in [0, 1]; of sides below 32 pixels the deepest stages see little more than padding.

    Returns a Tensor of shape (N,): 0 for equal pictures, at most 20; lower is better.
    """
    height, width = truths.shape[-2:]
    count = max(1, LITE0_PIXELS // (height * width))
    parts = [
        feature_distance(lite0.features(a), lite0.features(b))
        for a, b in zip(results.split(count), truths.split(count), strict=True)
    ]
    return torch.cat(parts)


def feature_distance(features: list[Tensor], others: list[Tensor]) -> Tensor:
    """Sum over stages of the mean over positions of squared differences of unit features.

    With the features F of stage l of shape (C, H, W), normalised over the channels at every
    position (Zhang et al. 2018, eq. 1 with all weights 1):
    d = sum_l 1 / (H W) sum_hw || F / |F| - G / |G| ||^2, of shape (N,).
    """
    pairs = zip(features, others, strict=True)
    stages = [(normalize(f) - normalize(g)).square().sum(1).mean((1, 2)) for f, g in pairs]
    return torch.stack(stages).sum(0)


def evaluate(fill: Fill, crops: Iterator[tuple]) -> pd.DataFrame:
    """Measure one method on what `data.evaluation_set` yields.

    Returns
    -------
    DataFrame
        A row a picture: hole_ratio ("0.1-0.2"), border, ratio (the exact one); then the measures
        of `picture_row`.
    """
    rows = []
    for (lo, hi), border, images, masks in crops:
        check_pair(images, masks)
        out = fill(images, masks)
        comp = composite(out, images, masks)
        distances = lite0_distance(comp, images).tolist()
        for k in range(len(images)):
            exact = {"ratio": 1 - masks[k].double().mean().item()}
            pictures = (picture_of(x[k]) for x in (out, comp, images))
            measured = picture_row(*pictures, masks[k, 0].numpy() == 0, distances[k])
            rows.append({"hole_ratio": f"{lo}-{hi}", "border": border, **exact, **measured})
    return pd.DataFrame(rows)


def picture_row(
    out: np.ndarray, comp: np.ndarray, truth: np.ndarray, hole: np.ndarray, distance: float
) -> dict[str, float]:
    """Every measure of one filled picture, named and ordered as in all tables.

    Parameters
    ----------
    out, comp, truth : ndarray of shape (H, W, 3)
        I_out, I_comp and I_gt, RGB in [0, 1].
    hole : ndarray of shape (H, W) and type bool
    distance : float
        The `lite0_distance` of I_comp.

    Returns
    -------
    dict
        psnr, ssim, l1 and lite0 of I_comp; psnr_hole, ssim_hole and l1_hole, of its hole alone;
        psnr_edge, of the hole's pixels at most `EDGE` pixels (Euclidean) from a known one, and
        psnr_inside, of the others, each NaN where there are none; psnr_out, ssim_out and l1_out,
        of I_out.
    """
    of_comp, of_out = metrics(comp, truth, hole), metrics(out, truth)
    whole = {name: of_comp.pop(name) for name in of_out}
    of_out = {f"{name}_out": value for name, value in of_out.items()}
    # Of a picture that is hole all over, every pixel is far from a known one.
    edge = hole & (depth(hole) <= EDGE) if not hole.all() else np.zeros_like(hole)
    parts = {"psnr_edge": edge, "psnr_inside": hole & ~edge}
    by_depth = {
        name: psnr(comp[part], truth[part]) if part.any() else math.nan
        for name, part in parts.items()
    }
    return {**whole, "lite0": distance, **of_comp, **by_depth, **of_out}


def picture_of(image: Tensor) -> np.ndarray:
    """(3, H, W) to (H, W, 3)."""
    return image.permute(1, 2, 0).numpy()


def tensor_of(picture: np.ndarray) -> Tensor:
    """(H, W, 3) to (3, H, W), float32."""
    return torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32))
