"""P-Conv's own test case, on other photographs: a disc of 0.84 % of the picture.

P-Conv's PSNR is that of one photograph with one disc over a face, measured on I_out.  So 99 % of it
is about pixels that were never missing.  Here are four measures of such a case, apart.
"""

from collections.abc import Iterator

import cv2
import numpy as np
import pandas as pd
import torch

from pconv_core import evaluation
from pconv_core.masks.seeding import generator
from pconv_core.models import composite
from pconv_core.study.repair_cases import photograph

SIZE = 256  # pixels; P-Conv's
SHARE = 0.0084  # of the picture, that is the disc
# None of the study's networks was trained on them.
PHOTOGRAPHS = ("astronaut.png", "chelsea.png")
PLACES = 6  # of the disc in each photograph
# PSNR in dB: of I_out, P-Conv's measure; of I_comp; over the hole; of I_out over the known pixels.
MEASURES = ("disc_out", "disc_comp", "disc_hole", "disc_known")


def cases(seed: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield pictures (3, 256, 256), RGB in [0, 1], with masks (1, 256, 256), 1 = known."""
    for number, name in enumerate(PHOTOGRAPHS):
        image = torch.from_numpy(photograph(name, (SIZE, SIZE)).transpose(2, 0, 1).copy())
        for place in range(PLACES):
            yield image, torch.from_numpy(_mask(generator(seed, number * PLACES + place, "mask")))


def measure(fill: evaluation.Fill, seed: int = 0) -> dict[str, float]:
    """Means of `MEASURES` over the cases, which are the same for every method.

    Parameters
    ----------
    fill : callable
        (images, masks) -> I_out; see `evaluation.Fill`.
    """
    rows = []
    for image, mask in cases(seed):
        image, mask = image[None], mask[None]
        out = fill(image, mask)
        hole = (mask == 0).expand_as(image)
        pairs = {
            "disc_out": (out, image),
            "disc_comp": (composite(out, image, mask), image),
            "disc_hole": (out[hole], image[hole]),
            "disc_known": (out[~hole], image[~hole]),
        }
        rows.append({k: evaluation.psnr(a.numpy(), b.numpy()) for k, (a, b) in pairs.items()})
    return pd.DataFrame(rows).mean().to_dict()


def _mask(rng: np.random.Generator) -> np.ndarray:
    """A disc wholly inside the picture."""
    radius = round(SIZE * (SHARE / np.pi) ** 0.5)
    middle = rng.integers(radius + 1, SIZE - radius - 1, 2).tolist()
    canvas = np.ones((SIZE, SIZE), dtype=np.uint8)
    return cv2.circle(canvas, middle, radius, 0, cv2.FILLED).astype(np.float32)[None]
