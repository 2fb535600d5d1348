"""One photograph of any size in, the repaired one out, at native resolution."""

import math
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from pconv_core.models import MIN_SIZE, InpaintingNet

__all__ = ["OVERLAP", "WINDOW", "check_numbers", "fill", "inpaint"]

# A larger picture is worked on in windows, so that memory does not grow with it.
WINDOW = 1024
OVERLAP = 256


def inpaint(
    net: InpaintingNet,
    rgb: np.ndarray,
    hole: np.ndarray,
    window: int = WINDOW,
    overlap: int = OVERLAP,
) -> np.ndarray:
    """Fill the hole of a picture.

    Parameters
    ----------
    net : InpaintingNet
        In evaluation mode; `InpaintingNet.folded` makes it faster.
    rgb : ndarray of shape (H, W, 3), float32
        In [0, 1]; what it holds in the hole is not looked at.
    hole : ndarray of shape (H, W), bool
    window, overlap : int
        Side of a window in pixels, and what two neighbours share; their results fade into each
        other there.  Windows without hole are left out.

    Returns
    -------
    ndarray of shape (H, W, 3), float32
        In [0, 1]; exactly `rgb` where there is no hole.
    """
    filled = np.zeros_like(rgb)
    weights = np.zeros((*hole.shape, 1), dtype=np.float32)
    parts = product(*(_windows(length, window, overlap) for length in hole.shape))
    parts = [part for part in parts if hole[part].any()]
    for part in tqdm(parts, desc="windows", leave=False, disable=len(parts) < 4):
        weight = _fade(part, hole.shape, overlap)
        filled[part] += weight * fill(net, rgb[part], hole[part])
        weights[part] += weight
    filled /= np.maximum(weights, np.finfo(np.float32).tiny)
    return np.where(hole[..., None], filled, rgb)


@torch.no_grad()
def fill(net: InpaintingNet, rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Run the network on a picture at once, as `inpaint`; returns I_out, clipped to [0, 1]."""
    device = next(net.parameters()).device
    image = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None].to(device)
    mask = torch.from_numpy((~hole).astype(np.float32))[None, None].to(device)
    height, width = hole.shape
    # Zeros below and on the right: hole.
    pad = (0, max(0, MIN_SIZE - width), 0, max(0, MIN_SIZE - height))
    image, mask = F.pad(image, pad), F.pad(mask, pad)
    out = net(image.contiguous(memory_format=torch.channels_last), mask)
    out = out[0, :, :height, :width].clamp(0, 1)
    return out.permute(1, 2, 0).float().cpu().numpy()


def check_numbers(result: np.ndarray, checkpoint: Path, image: Path) -> None:
    """Raise ValueError, naming both files, if a network gave NaN or infinity."""
    if not np.isfinite(result).all():
        raise ValueError(f"the network of {checkpoint} gave values that are no numbers for {image}")


def _windows(length: int, window: int, overlap: int) -> Iterator[slice]:
    """Windows that cover an axis, evenly spread, each sharing at least `overlap` with the next."""
    count = max(1, math.ceil((length - overlap) / (window - overlap)))
    for start in np.linspace(0, max(0, length - window), count).round().astype(int):
        yield slice(int(start), min(int(start) + window, length))


def _fade(part: tuple[slice, slice], shape: tuple[int, int], overlap: int) -> np.ndarray:
    """Weight of a window's pixels, falling to 0 towards sides beyond which the picture goes on."""
    axes = []
    for place, length in zip(part, shape, strict=True):
        weight = np.ones(place.stop - place.start, dtype=np.float32)
        ramp = (np.arange(min(overlap, len(weight))) + 1) / (overlap + 1)
        if place.start > 0:
            weight[: len(ramp)] = ramp
        if place.stop < length:
            weight[-len(ramp) :] = np.minimum(weight[-len(ramp) :], ramp[::-1])
        axes.append(weight)
    return (axes[0][:, None] * axes[1])[..., None]
