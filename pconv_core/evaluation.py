"""PSNR, SSIM, L1 and Lite0 distance by hole-ratio bin, for networks and classical baselines."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import ModuleType

import cv2
import numpy as np
import pandas as pd
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.restoration import inpaint_biharmonic
from torch import Tensor, nn
from torch.nn.functional import normalize

from pconv_core import inpainting
from pconv_core.files import lite0
from pconv_core.masks.shape import depth
from pconv_core.models import (
    IMAGENET_MEAN,
    InpaintingNet,
    UNet,
    check_pair,
    composite,
    continuation,
)

__all__ = [
    "BASELINES",
    "by_bin",
    "by_distance",
    "differences",
    "evaluate",
    "feature_distance",
    "hole_colour",
    "lite0_distance",
    "metrics",
    "network_fill",
    "overall",
    "picture_row",
    "towards_input",
]

# Fills the holes of a batch: (images, masks) -> I_out, all (N, 3, H, W) in [0, 1].
Fill = Callable[[Tensor, Tensor], Tensor]

# A picture that is right to the last bit has no finite PSNR; this keeps means finite.
MAX_PSNR = 100.0
OPENCV_RADIUS = 3
PATCH_RADIUS = 3  # patches of 7 x 7, as Barnes et al. (2009) have them
EDGE = 4.0  # pixels from a known one that are a hole's edge
UP_TO_HALF = "0.01-0.5"  # in tables: the first five bins together
SOURCE = "photograph"  # in tables of pictures: where a picture comes from
# Pixels that go through EfficientNet-Lite0 at once: more do not stay in a processor's cache.
LITE0_PIXELS = 2**16


def network_fill(model: InpaintingNet, coarse_to_fine: bool = False) -> Fill:
    """Wrap a network as it is now, folded, without gradient; I_out is clipped to [0, 1].

    It fills in one pass, as the paper's do, or coarse to fine where a hole is wide
    (`inpainting.coarse_to_fine`).
    """
    folded = model.eval().folded()
    device = next(model.parameters()).device

    def fill(images: Tensor, masks: Tensor) -> Tensor:
        with torch.no_grad():
            out = folded((images * masks).to(device), masks.to(device))
        return out.clamp(0, 1).to(images.device)

    def fill_coarse_to_fine(images: Tensor, masks: Tensor) -> Tensor:
        pairs = zip(images, masks, strict=True)
        return torch.stack([_tensor(_coarse_to_fine(folded, *pair)) for pair in pairs])

    return fill_coarse_to_fine if coarse_to_fine else fill


def _coarse_to_fine(net: InpaintingNet, image: Tensor, mask: Tensor) -> np.ndarray:
    return inpainting.coarse_to_fine(net, _picture(image), mask[0].numpy() == 0)


def mean_fill(images: Tensor, masks: Tensor) -> Tensor:
    """Fill each hole with the mean colour of the known pixels (black where none is known)."""
    known = masks.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    mean = (images * masks).sum(dim=(2, 3), keepdim=True) / known
    return composite(mean.expand_as(images), images, masks)


def continuation_fill(images: Tensor, masks: Tensor) -> Tensor:
    """Fill as `models.continuation`, down to one pixel; two departures add to it."""
    levels = math.ceil(math.log2(min(images.shape[-2:])))
    return continuation(images, masks, levels).clamp(0, 1)


def biharmonic(images: Tensor, masks: Tensor) -> Tensor:
    """scikit-image's smoothest continuation, by the biharmonic equation (Damelin & Hoang 2018).

    A picture of which nothing is known is filled with black.
    """
    filled = []
    for image, mask in zip(images * masks, masks, strict=True):
        pixels, hole = _picture(image).astype(np.float64), mask[0].numpy() == 0
        if hole.any() and not hole.all():
            pixels = inpaint_biharmonic(pixels, hole, split_into_regions=True, channel_axis=2)
        filled.append(_tensor(pixels))
    return torch.stack(filled)


def _opencv(images: Tensor, masks: Tensor, method: int) -> Tensor:
    """Inpaint with OpenCV, from known pixels alone.

    OpenCV takes the outermost ring of a picture as known even where the mask says hole.  So the
    holes are blanked first, and the picture is mirrored outwards, which moves the ring away.
    """
    filled = []
    for image, mask in zip(mean_fill(images, masks), masks, strict=True):
        pixels = np.rint(_picture(image) * 255).astype(np.uint8)
        hole = (mask[0].numpy() == 0).astype(np.uint8)
        height, width = hole.shape
        top, left = height // 2, width // 2
        by = (top, top, left, left, cv2.BORDER_REFLECT_101)
        wide, wide_hole = (cv2.copyMakeBorder(a, *by) for a in (pixels, hole))
        result = cv2.inpaint(wide, wide_hole, OPENCV_RADIUS, method)
        result = result[top : top + height, left : left + width]
        filled.append(_tensor(result) / 255)
    return torch.stack(filled)


# Fast marching (Telea 2004) and fluid dynamics (Bertalmio et al. 2001).
telea = partial(_opencv, method=cv2.INPAINT_TELEA)
navier_stokes = partial(_opencv, method=cv2.INPAINT_NS)


def patchmatch(images: Tensor, masks: Tensor) -> Tensor:
    """Fill with patches of what is known, found as by Barnes et al. (2009); package PyPatchMatch.

    Its search is random, but begins at the same number for every picture.  A picture of which
    nothing is known is filled with black.

    Raises
    ------
    ValueError
        If the package is not installed, or has no library for this machine.
    """
    library = _patchmatch_library()
    filled = []
    for image, mask in zip(images * masks, masks, strict=True):
        pixels = np.rint(_picture(image) * 255).astype(np.uint8)
        hole = (mask[0].numpy() == 0).astype(np.uint8)
        library.set_random_seed(0)  # kept by the library for the whole process
        filled.append(_tensor(library.inpaint(pixels, hole, patch_size=PATCH_RADIUS)) / 255)
    return torch.stack(filled)


def _patchmatch_library() -> ModuleType:
    try:
        import patchmatch as library
    except ImportError:
        found = "is not installed"
    else:
        if library.patchmatch_available:
            return library
        found = "has no compiled library for this machine"
    raise ValueError(
        f"the package PyPatchMatch (the method PatchMatch) {found}; install it by: "
        "pip install --force-reinstall --no-deps PyPatchMatch==2.2.0"
    )


BASELINES: dict[str, Fill] = {
    "mean fill": mean_fill,
    "Navier-Stokes": navier_stokes,
    "Telea": telea,
    "biharmonic": biharmonic,
    "PatchMatch": patchmatch,
    "continuation": continuation_fill,
}


def metrics(
    result: np.ndarray, truth: np.ndarray, hole: np.ndarray | None = None
) -> dict[str, float]:
    """Compare two pictures.

    Parameters
    ----------
    result, truth : ndarray of shape (H, W, 3)
        RGB in [0, 1].
    hole : ndarray of shape (H, W) and type bool, optional
        Where the hole is, of at least one pixel.

    Returns
    -------
    dict
        "psnr" in dB, at most 100; "ssim" with the Gaussian window of Wang et al. (2004); "l1",
        the mean absolute difference in percent of the range.  With a hole also "psnr_hole" and
        "l1_hole", over its pixels alone, and "ssim_hole", the mean of the SSIM map over them (the
        windows about them see known pixels, too).

    Raises
    ------
    ValueError
        If the hole has no pixel.
    """
    ssim, ssim_map = structural_similarity(
        truth,
        result,
        data_range=1.0,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    found = {"psnr": psnr(result, truth), "ssim": ssim, "l1": _l1(result, truth)}
    if hole is None:
        return found
    if not hole.any():
        raise ValueError("the hole has no pixel; it should have at least one")
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

    Returns
    -------
    Tensor of shape (N,)
        0 for equal pictures, at most 20; lower is better.

    Raises
    ------
    ValueError
        If the network's weights are not installed; see `lite0.network`.
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
    d = sum_l 1 / (H W) sum_hw || F / |F| - G / |G| ||^2.

    Parameters
    ----------
    features, others : list of Tensor, each of shape (N, C, H, W)

    Returns
    -------
    Tensor of shape (N,)
    """
    pairs = zip(features, others, strict=True)
    stages = [(normalize(f) - normalize(g)).square().sum(1).mean((1, 2)) for f, g in pairs]
    return torch.stack(stages).sum(0)


def evaluate(fill: Fill, crops: Iterator[tuple]) -> pd.DataFrame:
    """Measure one method on an evaluation set.

    Parameters
    ----------
    crops : iterator of (bin, border, images, masks)
        As `data.evaluation_set` yields them.

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
            measured = picture_row(
                _picture(out[k]),
                _picture(comp[k]),
                _picture(images[k]),
                masks[k, 0].numpy() == 0,
                distances[k],
            )
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
    return {**whole, "lite0": distance, **of_comp, **_by_depth(comp, truth, hole), **of_out}


def _by_depth(result: np.ndarray, truth: np.ndarray, hole: np.ndarray) -> dict[str, float]:
    # Of a picture that is hole all over, every pixel is far from a known one.
    edge = hole & (depth(hole) <= EDGE) if not hole.all() else np.zeros_like(hole)
    parts = {"psnr_edge": edge, "psnr_inside": hole & ~edge}
    return {
        name: psnr(result[part], truth[part]) if part.any() else math.nan
        for name, part in parts.items()
    }


def by_bin(pictures: pd.DataFrame) -> pd.DataFrame:
    """Mean of the metrics, and the count, for each model, hole-ratio bin and border setting.

    A picture that has no value of a metric does not count in its mean.
    """
    return _means(pictures, ["model", "hole_ratio", "border"])


def overall(pictures: pd.DataFrame) -> pd.DataFrame:
    """Mean of the metrics, and the count, over a model's pictures with a hole ratio up to 0.5.

    A picture that has no value of a metric does not count in its mean.
    """
    return _means(pictures[pictures["ratio"] <= 0.5].drop(columns="border"), ["model"])


def _means(pictures: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    groups = pictures.drop(columns="ratio").groupby(keys, sort=False)
    table = groups.mean(numeric_only=True)
    table.insert(0, "pictures", groups.size())
    return table.reset_index()


def by_distance(fills: dict[str, Fill], crops: Iterator[tuple]) -> pd.DataFrame:
    """Squared error of methods by the distance of the hole's pixels from the known ones.

    Parameters
    ----------
    fills : dict of name -> Fill
    crops : iterator of (bin, border, images, masks)
        As `data.evaluation_set` yields them, at least one with a hole.

    Returns
    -------
    DataFrame
        A row for each model and distance: model; distance, in pixels by the powers of two ("1",
        "2", "3-4", "5-8"; Euclidean, rounded up); pixels, how many; psnr in dB, of the mean
        squared error over these pixels of all crops, at most 100.

    Raises
    ------
    ValueError
        If a picture is hole all over.
    """
    counts: Counter = Counter()
    errors = {name: Counter() for name in fills}
    for *_, images, masks in crops:
        check_pair(images, masks)
        outs = {name: fill(images, masks) for name, fill in fills.items()}
        for k, mask in enumerate(masks):
            powers = _powers(mask[0].numpy() == 0)
            counts.update(powers[powers >= 0].tolist())
            for name, out in outs.items():
                error = (out[k] - images[k]).double().square().mean(dim=0).numpy()
                for power in np.unique(powers[powers >= 0]).tolist():
                    errors[name][power] += error[powers == power].sum()
    rows = [
        (name, _span(power), counts[power], _decibel(errors[name][power] / counts[power]))
        for name in fills
        for power in sorted(counts)
    ]
    return pd.DataFrame(rows, columns=["model", "distance", "pixels", "psnr"])


def _powers(hole: np.ndarray) -> np.ndarray:
    """The k of each pixel of a hole 2^(k-1) to 2^k pixels from known ones, -1 where known."""
    return np.where(hole, np.ceil(np.log2(np.maximum(depth(hole), 1))), -1).astype(int)


def _span(power: int) -> str:
    return str(2**power) if power < 2 else f"{2 ** (power - 1) + 1}-{2**power}"


def _decibel(error: float) -> float:
    return min(MAX_PSNR, -10 * math.log10(max(error, np.finfo(float).tiny)))


def differences(
    pictures: pd.DataFrame, of: str, seed: int, metric: str = "psnr", resamples: int = 2000
) -> pd.DataFrame:
    """One method's measure less that of every other on the same pictures, and how sure that is.

    Parameters
    ----------
    pictures : DataFrame
        As `evaluate` makes it for each `model`, the pictures in the same order.  With a column
        `photograph` those of one photograph are drawn together, since they are not independent.
    of : str
        The method that the others are taken from.
    seed : int
        Of the bootstrap over pictures, or photographs.
    metric : str
        Column of `pictures`: "psnr", or for instance "ssim" or "lite0", of which less is better.

    Returns
    -------
    DataFrame
        For every other method, a row for all pictures with a hole ratio of at most 0.5 and one for
        each bin: difference, hole_ratio, pictures, the mean difference under the metric's name and
        in its unit, and low and high, the ends of its 95 % interval.
    """
    wide = pictures.assign(number=pictures.groupby("model").cumcount())
    values = wide.pivot(index="number", columns="model", values=metric)
    first = wide[wide["model"] == of].set_index("number")
    parts = {UP_TO_HALF: first["ratio"] <= 0.5}
    parts.update({name: first["hole_ratio"] == name for name in first["hole_ratio"].unique()})
    sources = source_of(first)
    rng, rows = np.random.default_rng(seed), []
    for other in pictures["model"].unique():
        if other == of:
            continue
        for name, chosen in parts.items():
            gap = (values[of] - values[other])[chosen].to_numpy()
            codes, _ = pd.factorize(sources[chosen])
            sums, counts = np.bincount(codes, gap), np.bincount(codes)
            drawn = rng.integers(len(sums), size=(resamples, len(sums)))
            means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
            ends = np.quantile(means, [0.025, 0.975])
            rows.append((f"{of} - {other}", name, len(gap), gap.mean(), *ends))
    columns = ["difference", "hole_ratio", "pictures", metric, "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def source_of(pictures: pd.DataFrame) -> pd.Series:
    """Photograph that each picture of a table comes from; its own one where the table is silent."""
    return pictures[SOURCE] if SOURCE in pictures else pictures.index.to_series()


def hole_colour(net: nn.Module) -> tuple[float, float, float]:
    """RGB in [0, 1] that a network's input holds in the hole: its zero, see `models`."""
    return (0.5, 0.5, 0.5) if isinstance(net, UNet) else IMAGENET_MEAN


def towards_input(fill: Fill, crops: Iterator[tuple], colour: Sequence[float]) -> float:
    """How far I_out is from the input in the hole, over how far the ground truth is from it.

    0 is a network that learned the identity and leaves the hole as it came; one that fills it with
    a picture's colours comes near 1.

    Parameters
    ----------
    fill : Fill
    crops : iterator of (bin, border, images, masks)
        As `data.evaluation_set` yields them, at least one with a hole.
    colour : sequence of shape (3,)
        RGB in [0, 1], what the input of `fill` holds in the hole; see `hole_colour`.
    """
    given = torch.tensor(colour).view(1, 3, 1, 1)
    moved = away = 0.0
    for *_, images, masks in crops:
        hole = 1 - masks
        moved += ((fill(images, masks) - given) * hole).abs().sum().item()
        away += ((images - given) * hole).abs().sum().item()
    return moved / away


def _picture(image: Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).numpy()


def _tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32))
