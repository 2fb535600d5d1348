"""A picture of what a network makes of a few samples, renewed while it is trained."""

from pathlib import Path

import torch

from pconv_core.data import Samples
from pconv_core.files.figure import save
from pconv_core.files.writing import whole
from pconv_core.models import InpaintingNet, composite
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
        """Draw input, I_out, I_comp and ground truth as they are after `step`."""
        training, device = self.net.training, next(self.net.parameters()).device
        self.net.eval()
        out = self.net(self.images.to(device), self.masks.to(device)).float().cpu()
        self.net.train(training)
        kinds = {
            "input": self.images * self.masks,
            "$I_{out}$": out,
            "$I_{comp}$": composite(out, self.images, self.masks),
            "ground truth": self.images,
        }
        rows = {name: [figures.to_picture(i) for i in images] for name, images in kinds.items()}
        figure = figures.picture_rows(rows)
        figure.suptitle(f"step {step}")
        with whole(self.path) as unfinished:
            save(figure, unfinished)
