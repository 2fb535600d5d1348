"""A picture of what a network makes of a few samples, renewed while it is trained."""

from pathlib import Path

import torch

from pconv_core.data import Samples
from pconv_core.files.figure import save
from pconv_core.files.writing import whole
from pconv_core.models import InpaintingNet
from pconv_core.study import figures

COUNT = 5


class Preview:
    """Call it with a step, and the picture is drawn anew.

    Parameters
    ----------
    path : Path
        Of the PNG file.
    net : InpaintingNet
        While it is trained; left in the mode it was in.
    samples : Samples
        The first five are shown.
    """

    def __init__(self, path: Path, net: InpaintingNet, samples: Samples):
        self.path, self.net = path, net
        pairs = [samples[number] for number in range(COUNT)]
        self.images, self.masks = (torch.stack(column) for column in zip(*pairs, strict=True))

    @torch.no_grad()
    def __call__(self, step: int) -> None:
        """Draw the samples as they are filled after `step`."""
        training, device = self.net.training, next(self.net.parameters()).device
        self.net.eval()
        out = self.net(self.images.to(device), self.masks.to(device)).float().cpu()
        self.net.train(training)
        figure = figures.fillings(self.images, self.masks, {"": out})
        figure.suptitle(f"step {step}")
        with whole(self.path) as unfinished:
            save(figure, unfinished)
