"""The smooth continuation of what is known into a hole; it learns nothing."""

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from pconv_core.layers import seen

# On each level.
_MEANS, _STEPS = 2, 6
_STEP, _MOMENTUM = 1.2, 0.4
_REACH = _MEANS + 2 * _STEPS  # pixels from one that decides of another
_TILE = 128  # pixels


def known_mean(image: Tensor, mask: Tensor) -> Tensor:
    """Mean over the known pixels (N, C, 1, 1) of an image (N, C, H, W) that is 0 in its hole.

    Of at least float32: half precision cannot count the pixels of a picture.
    """
    wide = torch.promote_types(image.dtype, torch.float32)
    total, count = (x.sum((2, 3), keepdim=True, dtype=wide) for x in (image, mask))
    return total / count.clamp(min=1)


@torch.no_grad()
def continuation(image: Tensor, mask: Tensor, levels: int) -> Tensor:
    """Continue what is known smoothly into the hole, coarse to fine.

    A partial convolution of equal weights is the mean of a window's known pixels.  Such means over
    2 x 2 pixels halve the image until little is hole.  From there each level fills its hole from
    the coarser one, enlarged, and takes a few steps towards the solution of the biharmonic
    equation, which goes on with the gradients that it finds at the edge of a hole.

    Parameters
    ----------
    image : Tensor of shape (N, C, H, W)
        What it holds in the hole is ignored, even NaN.
    mask : Tensor of shape (N, 1, H, W)
        1 = known, 0 = hole.
    levels : int
        Halvings; what lies deeper than 2**levels pixels begins as the mean of the known ones.

    Returns
    -------
    Tensor of shape (N, C, H, W)
        `image` where it is known; of at least float32.
    """
    wide = torch.promote_types(image.dtype, torch.float32)
    # Shifted copies of channels_last tensors are slow.
    x = torch.where(mask.bool(), image, 0).to(wide).contiguous()
    known = mask.to(x.dtype)
    filled = known_mean(x, known)
    pyramid = [(x, mask.bool())]
    for _ in range(levels):
        x = F.avg_pool2d(x, 2, ceil_mode=True)
        share = F.avg_pool2d(known, 2, ceil_mode=True)
        known = (share > 0).to(x.dtype)
        x = x / share.clamp(min=0.125)  # where anything is known, it is a quarter or more
        pyramid.append((x, known.bool()))
    for x, is_known in reversed(pyramid):
        size = x.shape[-2:]
        filled = F.interpolate(filled, size=size, mode="bilinear", align_corners=False)
        filled = _in_tiles(torch.where(is_known, x, filled), is_known)
    return filled


def _in_tiles(x: Tensor, known: Tensor) -> Tensor:
    """As `_evened_out`, exactly, by tiles that a cache holds, and only where there is hole."""
    if not seen(known, lambda values: values[0, 0].numel() > _TILE**2 and not values.all()):
        return _evened_out(x, known)
    out = x.clone()
    for top, left in product(*(range(0, side, _TILE) for side in x.shape[-2:])):
        tile = (..., slice(top, top + _TILE), slice(left, left + _TILE))
        if not known[tile].all():
            first = max(0, top - _REACH), max(0, left - _REACH)
            ends = top + _TILE + _REACH, left + _TILE + _REACH
            around = (..., *map(slice, first, ends))
            done = _evened_out(x[around], known[around])
            out[tile] = done[..., top - first[0] :, left - first[1] :][..., :_TILE, :_TILE]
    return out


def _evened_out(x: Tensor, known: Tensor) -> Tensor:
    """Bring an estimate in the hole nearer to where its Laplacian's Laplacian is 0.

    Two sweeps of means first, then gradient steps with momentum; a step of at most
    2 (1 + momentum) over 16/9, the square of the largest eigenvalue of `_laplacian`, is stable.
    """
    for _ in range(_MEANS):
        x = torch.where(known, x, x + _laplacian(x))
    before = x
    for _ in range(_STEPS):
        change = (x - before).mul_(_MOMENTUM).sub_(_laplacian(_laplacian(x)), alpha=_STEP)
        x, before = torch.where(known, x, change.add_(x)), x
    return x


def _laplacian(x: Tensor) -> Tensor:
    """Weighted mean of a pixel's eight neighbours less the pixel; those at its sides weigh twice.

    Beyond the border the outermost pixels go on.
    """
    p = F.pad(x, (1, 1, 1, 1), mode="replicate")
    for _ in range(2):  # 1 2 1 in each direction
        p = p[..., :-1, :] + p[..., 1:, :]
        p = p[..., :-1] + p[..., 1:]
    return p.sub_(x, alpha=16).mul_(1 / 12)
