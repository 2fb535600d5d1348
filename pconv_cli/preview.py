"""A picture of what a network makes of a few samples, renewed while it is trained."""

from pathlib import Path

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pconv_core.data import Samples
from pconv_core.models import InpaintingNet, composite
from pconv_core.writing import whole

COUNT = 5
_LEAST = 128  # pixels a side; smaller samples are enlarged


class Preview:
    """Call it with a step, and the picture is drawn anew.

    A column a sample; from above: the input, I_out, I_comp and the photograph.

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
        """Draw the samples as they are filled after `step`, which the file's comment names."""
        training, device = self.net.training, next(self.net.parameters()).device
        self.net.eval()
        out = self.net(self.images.to(device), self.masks.to(device)).float().cpu()
        self.net.train(training)
        images, masks = self.images, self.masks
        rows = [images * masks, out, composite(out, images, masks), images]
        # (rows, samples, 3, H, W): the samples side by side, the rows below each other.
        sheet = torch.stack(rows).clamp(0, 1).mul(255).byte().permute(0, 3, 1, 4, 2)
        height, width = 4 * images.shape[-2], COUNT * images.shape[-1]
        picture = Image.fromarray(sheet.reshape(height, width, 3).numpy())
        enlarged = -(-_LEAST // images.shape[-1])
        picture = picture.resize((width * enlarged, height * enlarged), Image.Resampling.NEAREST)
        about = PngInfo()
        about.add_text("Comment", f"step {step}")
        with whole(self.path) as unfinished:
            picture.save(unfinished, format="PNG", pnginfo=about)
