"""P-Conv's own test case, on other photographs: a disc of 0.84 % of the picture.

P-Conv's PSNR is that of one photograph with one disc over a face, measured on I_out.  So 99 % of
the pixels that it rates were never missing.  Here are four measures of such a case, apart.
"""

from collections.abc import Iterator, Mapping

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
# PSNR in dB: of I_out, which P-Conv measures; of I_comp; over the hole; of I_out over known pixels.
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


def table(fills: Mapping[str, evaluation.Fill], seed: int = 0) -> pd.DataFrame:
    """Measure several methods: a row each, `model` and `MEASURES`.

    disc_known is 100 dB, as of equal pictures, where I_out leaves known pixels as they are.
    """
    return pd.DataFrame([{"model": name, **measure(f, seed)} for name, f in fills.items()])


def finding(table: pd.DataFrame, ours: str, other: str) -> str:
    """Say what the raw output and the other measures make of two networks, in a few lines.

    Parameters
    ----------
    table : DataFrame
        As `table` makes it.
    ours, other : str
        Networks in its column `model`.
    """
    rows = table.set_index("model")
    learned_nothing = rows.loc[[name for name in evaluation.BASELINES if name in rows.index]]
    best = learned_nothing["disc_comp"].idxmax()
    lines = [f"{1 - SHARE:.2%} of such a picture is known."]
    for name in (ours, other):
        row = rows.loc[name]
        lines.append(
            f"{name}: {row['disc_out']:.2f} dB of I_out, about what it has over the known pixels "
            f"alone, {row['disc_known']:.2f} dB; with these put back {row['disc_comp']:.2f} dB; in "
            f"the hole {row['disc_hole']:.2f} dB"
        )
    lead = rows.loc[ours, list(MEASURES)] - rows.loc[other, list(MEASURES)]
    lines += [
        f"So {ours} is {lead['disc_out']:+.2f} dB from {other} on I_out, and "
        f"{lead['disc_hole']:+.2f} dB in the hole.",
        f"{best}, the best that learns nothing: {rows.loc[best, 'disc_comp']:.2f} dB, in the hole "
        f"{rows.loc[best, 'disc_hole']:.2f} dB.",
    ]
    return "\n".join(lines)


def _mask(rng: np.random.Generator) -> np.ndarray:
    """A disc wholly inside the picture."""
    radius = round(SIZE * (SHARE / np.pi) ** 0.5)
    middle = rng.integers(radius + 1, SIZE - radius - 1, 2).tolist()
    canvas = np.ones((SIZE, SIZE), dtype=np.uint8)
    return cv2.circle(canvas, middle, radius, 0, cv2.FILLED).astype(np.float32)[None]
