"""One photograph of any size in, the repaired one out, at native resolution.

A hole deeper than those of training is filled coarse to fine, by the same weights.  That is an
addition to the paper, which fills 512 pixels in one pass.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import product

import cv2
import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from pconv_core.masks.shape import depth
from pconv_core.models import MIN_SIZE, InpaintingNet, RefinedUNet

# A larger picture is worked on in windows, so that memory does not grow with it.
WINDOW = 1024
OVERLAP = 256
# How deep in a hole a network has learned to fill, in training sizes: more than four in five masks
# of training, of whatever kind, have no pixel farther from a known one.
REACH = 1 / 8
FADE = 16  # pixels of depth over which a level hands over to the coarser one
_PART = 256  # pixels; of a picture, where it is worked on only around its hole

# (network, picture, hole) -> I_out, as `fill`.
Pass = Callable[[InpaintingNet, np.ndarray, np.ndarray], np.ndarray]


def inpaint(
    net: InpaintingNet,
    rgb: np.ndarray,
    hole: np.ndarray,
    window: int = WINDOW,
    overlap: int = OVERLAP,
    overwrite: bool = False,
) -> np.ndarray:
    """Fill the hole of a picture, coarse to fine where it is deep.

    Parameters
    ----------
    net : InpaintingNet
        In evaluation mode; `InpaintingNet.folded` makes it faster.
    rgb : ndarray of shape (H, W, 3), float32
        In [0, 1]; what it holds in the hole is not looked at.
    hole : ndarray of shape (H, W), bool
        ValueError if no pixel is known.
    window, overlap : int
        Side of a window in pixels, and what two neighbours share; their results fade into each
        other there.  Windows without hole are left out.
    overwrite : bool
        Fill the hole of `rgb` itself, which saves memory.

    Returns
    -------
    ndarray of shape (H, W, 3), float32
        In [0, 1]; exactly `rgb` where there is no hole.
    """
    in_windows = partial(_in_windows, window=window, overlap=overlap)
    return coarse_to_fine(net, rgb if overwrite else rgb.copy(), hole, in_windows, overwrite=True)


def coarse_to_fine(
    net: InpaintingNet,
    rgb: np.ndarray,
    hole: np.ndarray,
    one_pass: Pass | None = None,
    overwrite: bool = False,
) -> np.ndarray:
    """Run the network on a picture and, where its hole is deep, on smaller ones before.

    The picture of half the side is filled in the same way and enlarged.  Where the hole is wide,
    pixels deeper than `FADE` are known from there, and the network fills the rest; over these
    `FADE` pixels the two results fade into each other.  Wide is the union of the discs in the hole
    whose radius is `REACH` training sizes, so thin branches of a wide hole are filled at native
    resolution, and a picture without wide holes in one pass, exactly.

    Arguments and errors are those of `inpaint`; `one_pass` is `fill` unless told otherwise.
    Returns I_out, (H, W, 3) in [0, 1]; where the picture is known, what the last pass returns.
    """
    one_pass = one_pass or fill
    wide = _wide(net, hole)
    if not wide.any():
        return one_pass(net, rgb, hole)
    small, small_hole = _halved(rgb, hole)
    filled = coarse_to_fine(net, small, small_hole, one_pass, overwrite=True)
    np.copyto(filled, small, where=~small_hole[..., None])
    coarse = _doubled(filled, hole.shape)[wide]
    del small, filled  # of a large picture no array more than is needed
    inside = depth(wide)[wide]
    deep = np.zeros_like(hole)
    deep[wide] = inside > FADE
    known = rgb if overwrite else rgb.copy()
    known[deep] = coarse[inside > FADE]
    out = one_pass(net, known, hole & ~deep)
    share = np.minimum(inside / FADE, 1).astype(np.float32)[:, None]
    out[wide] = (1 - share) * out[wide] + share * coarse
    return out


def halvings(net: InpaintingNet, hole: np.ndarray) -> int:
    """How many times `coarse_to_fine` halves a picture with this hole; 0 is one pass."""
    count = 0
    while _wide(net, hole).any():
        hole, count = ~_quarters(~hole).any(axis=0), count + 1
    return count


@torch.no_grad()
def fill(net: InpaintingNet, rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Run the network on a picture at once, as `inpaint`; returns I_out, clipped to [0, 1]."""
    like = next(net.parameters())
    image = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None].to(like)
    mask = torch.from_numpy((~hole).astype(np.float32))[None, None].to(like)
    height, width = hole.shape
    pad = (0, max(0, MIN_SIZE - width), 0, max(0, MIN_SIZE - height))  # zeros, hole
    image, mask = F.pad(image, pad), F.pad(mask, pad)
    image = image.contiguous(memory_format=torch.channels_last)
    if isinstance(net, RefinedUNet):
        smooth, mean = net.begin(image, mask)
        out = net.normalise.inverse(smooth)
        for part in _parts(mask[0, 0].cpu().numpy() == 0, net.reach):
            # In whole strides, so that the box is halved as all of it would be.
            first = [max(0, place.start - net.reach) // 4 * 4 for place in part]
            last = [-(-(place.stop + net.reach) // 4) * 4 for place in part]
            box = (..., *map(slice, first, last))
            added = net.finish(smooth[box], mean, mask[box])
            within = (slice(p.start - f, p.stop - f) for p, f in zip(part, first, strict=True))
            out[..., *part] = added[..., *within]
    else:
        out = net(image, mask)
    out = out[0, :, :height, :width].clamp(0, 1)
    return out.permute(1, 2, 0).float().cpu().numpy()


def _parts(hole: np.ndarray, reach: int) -> list[tuple[slice, slice]]:
    """Parts that hold all of a hole; a single one if they would be more work with what is around.

    A side of no whole strides is not parted: halvings round there by its length.
    """
    parts = []
    for corner in product(*(range(0, length, _PART) for length in hole.shape)):
        at = np.argwhere(hole[tuple(slice(place, place + _PART) for place in corner)]) + corner
        if len(at):
            parts.append(tuple(map(slice, at.min(axis=0), at.max(axis=0) + 1)))
    pixels = sum(math.prod(p.stop - p.start + 2 * reach for p in part) for part in parts)
    if pixels > hole.size or any(length % 4 for length in hole.shape):
        return [tuple(slice(0, length) for length in hole.shape)]
    return parts


def _wide(net: InpaintingNet, hole: np.ndarray) -> np.ndarray:
    """Where a hole is wider than the network reaches: its morphological opening by a disc."""
    reach = REACH * net.trained_size
    far = depth(hole) > reach
    return depth(~far) < reach if far.any() else far


def _halved(rgb: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Halve a picture: the mean of what is known of each 2 x 2 pixels, hole where nothing is."""
    known = _quarters(~hole)[..., None]
    count = known.sum(axis=0, dtype=np.float32)
    total = np.where(known, _quarters(rgb), 0).sum(axis=0)
    return total / np.maximum(count, 1), count[..., 0] == 0


def _quarters(pixels: np.ndarray) -> np.ndarray:
    """The pixels of each 2 x 2, (4, H / 2, W / 2, ...); beyond odd sides zeros."""
    pad = [(0, side % 2) for side in pixels.shape[:2]] + [(0, 0)] * (pixels.ndim - 2)
    pixels = np.pad(pixels, pad)
    return np.stack([pixels[i::2, j::2] for i in (0, 1) for j in (0, 1)])


def _doubled(rgb: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Enlarge a picture twice, linearly, and cut it to (height, width)."""
    size = (2 * rgb.shape[1], 2 * rgb.shape[0])
    large = cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR)
    return large[: shape[0], : shape[1]]


def _in_windows(
    net: InpaintingNet, rgb: np.ndarray, hole: np.ndarray, window: int, overlap: int
) -> np.ndarray:
    """Fill the hole of `rgb` itself as `fill` does, in windows that fade into each other."""
    axes = (_windows(length, window, overlap) for length in hole.shape)
    pairs = [(down, across) for down, across in product(*axes) if hole[down[0], across[0]].any()]
    rgb[hole] = 0
    for (rows, down), (columns, across) in tqdm(pairs, desc="windows", leave=False, delay=2):
        part = rows, columns
        within, weight = hole[part], (down[:, None] * across)[..., None]
        rgb[part][within] += (weight * fill(net, rgb[part], within))[within]
    return rgb


def _windows(length: int, window: int, overlap: int) -> list[tuple[slice, np.ndarray]]:
    """Windows that cover an axis, evenly spread, each sharing at least `overlap` with the next.

    And the weights of their pixels, which fall to 0 towards a side beyond which the picture goes
    on, and add up to 1.
    """
    count = max(1, math.ceil((length - overlap) / (window - overlap)))
    starts = np.linspace(0, max(0, length - window), count).round().astype(int)
    total, found = np.zeros(length), []
    for start in starts.tolist():
        place = slice(start, min(start + window, length))
        first, last = start or -np.inf, place.stop if place.stop < length else np.inf
        at = np.arange(length)[place]
        weight = np.minimum(np.minimum(at + 1 - first, last - at) / (overlap + 1), 1)
        total[place] += weight
        found.append((place, weight))
    return [(place, (weight / total[place]).astype(np.float32)) for place, weight in found]
