"""The classical baselines: each fills the holes of a batch, (images, masks) -> I_out."""

import math
from functools import partial

import cv2
import numpy as np
import torch
from skimage.restoration import inpaint_biharmonic
from torch import Tensor

from pconv_core.continuation import continuation, known_mean
from pconv_core.evaluation import Fill, picture_of, tensor_of
from pconv_core.models import composite

OPENCV_RADIUS = 3
PATCH_RADIUS = 3  # patches of 7 x 7, as Barnes et al. (2009) have them


def mean_fill(images: Tensor, masks: Tensor) -> Tensor:
    """Fill each hole with the mean colour of the known pixels (black where none is known)."""
    return composite(known_mean(images * masks, masks).expand_as(images), images, masks)


def continuation_fill(images: Tensor, masks: Tensor) -> Tensor:
    """Fill as `continuation`, down to one pixel; two departures add to it."""
    levels = math.ceil(math.log2(min(images.shape[-2:])))
    return continuation(images, masks, levels).clamp(0, 1)


def biharmonic(images: Tensor, masks: Tensor) -> Tensor:
    """scikit-image's smoothest continuation, by the biharmonic equation (Damelin & Hoang 2018).

    A picture of which nothing is known is filled with black.
    """
    filled = []
    for image, mask in zip(images * masks, masks, strict=True):
        pixels, hole = picture_of(image).astype(np.float64), mask[0].numpy() == 0
        if hole.any() and not hole.all():
            pixels = inpaint_biharmonic(pixels, hole, split_into_regions=True, channel_axis=2)
        filled.append(tensor_of(pixels))
    return torch.stack(filled)


def _opencv(images: Tensor, masks: Tensor, method: int) -> Tensor:
    """Inpaint with OpenCV, from known pixels alone.

    OpenCV takes the outermost ring of a picture as known even where the mask says hole.  So the
    holes are blanked first, and the picture is mirrored outwards, which moves the ring away.
    """
    filled = []
    for image, mask in zip(mean_fill(images, masks), masks, strict=True):
        pixels = np.rint(picture_of(image) * 255).astype(np.uint8)
        hole = (mask[0].numpy() == 0).astype(np.uint8)
        height, width = hole.shape
        top, left = height // 2, width // 2
        by = (top, top, left, left, cv2.BORDER_REFLECT_101)
        wide, wide_hole = (cv2.copyMakeBorder(a, *by) for a in (pixels, hole))
        result = cv2.inpaint(wide, wide_hole, OPENCV_RADIUS, method)
        result = result[top : top + height, left : left + width]
        filled.append(tensor_of(result) / 255)
    return torch.stack(filled)


def patchmatch(images: Tensor, masks: Tensor) -> Tensor:
    """Fill with patches of what is known, found as by Barnes et al. (2009); package PyPatchMatch.

    Its search is random, but begins at the same number for every picture.  A picture of which
    nothing is known is filled with black.
    """
    import patchmatch as library  # here: the package is an extra

    filled = []
    for image, mask in zip(images * masks, masks, strict=True):
        pixels = np.rint(picture_of(image) * 255).astype(np.uint8)
        hole = (mask[0].numpy() == 0).astype(np.uint8)
        library.set_random_seed(0)  # kept for the whole process
        filled.append(tensor_of(library.inpaint(pixels, hole, patch_size=PATCH_RADIUS)) / 255)
    return torch.stack(filled)


BASELINES: dict[str, Fill] = {
    "mean fill": mean_fill,
    "Navier-Stokes": partial(_opencv, method=cv2.INPAINT_NS),  # Bertalmio et al. (2001)
    "Telea": partial(_opencv, method=cv2.INPAINT_TELEA),  # fast marching, Telea (2004)
    "biharmonic": biharmonic,
    "PatchMatch": patchmatch,
    "continuation": continuation_fill,
}
