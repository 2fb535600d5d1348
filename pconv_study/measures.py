"""What is measured of a filling method: rows, one a picture, from which all tables are made."""

import copy
from collections.abc import Iterator, Mapping

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pconv_core import data, evaluation
from pconv_core.masks import LAMA
from pconv_core.models import InpaintingNet, check_pair, composite
from pconv_core.seeding import generator

DEFINITION = 2  # raised by one when a measure changes
# The crops come from another random seed than those that train.
SEED = 1_002_018
OCCLUSION = "occlusion"
DISC = "disc"
SPECTRUM = "spectrum"
DISC_SIZE = 256  # pixels; P-Conv's
DISC_SHARE = 0.0084  # of the picture, as in P-Conv's test case
STATISTICS = ", batch statistics"  # as P-Conv measures: see `with_batch_statistics`


def measure(
    net: InpaintingNet | None,
    fill: evaluation.Fill,
    photos: data.Photos,
    size: int,
    span: tuple[float, float],
    wanted: Mapping[str, int],
) -> pd.DataFrame:
    """Measure one method on one set of photographs.

    Parameters
    ----------
    net : InpaintingNet or None
        The network behind `fill`, for measures that need it.
    fill : callable
        See `evaluation.Fill`.
    size : int
        Side of the crops in pixels.
    span : (smallest, largest)
        Side of the square cut from a photograph, in its short sides.
    wanted : mapping
        What to measure, and on how many pictures: "crops" and "lama", crops a cell of
        `data.evaluation_cells`; "disc", pictures with a disc; "spectrum", crops a cell, of which
        each photograph has one row.  With the ending "-statistics", as P-Conv measures; with the
        ending "@112", at so many pixels.

    Returns
    -------
    DataFrame
        A row a picture: masks, size, photograph, crop, hole_ratio, border, ratio, and the measures
        of `evaluation.picture_row`, or of `periodicity`.
    """
    tables = []
    for name, count in wanted.items():
        name, _, other = name.partition("@")
        kind, _, statistics = name.partition("-")
        if statistics and net is None:
            continue  # a method has none
        chosen = with_batch_statistics(net) if statistics else fill
        at = int(other or size)
        for masks, part in _parts(kind, chosen, photos, at, span, count):
            part.insert(0, "masks", masks + (STATISTICS if statistics else ""))
            part.insert(1, "size", DISC_SIZE if kind == DISC else at)
            tables.append(part)
    return pd.concat(tables, ignore_index=True)


def _parts(kind, fill, photos, size, span, count) -> Iterator[tuple[str, pd.DataFrame]]:
    if kind == DISC:
        yield DISC, discs(fill, photos, count)
        return
    if kind == SPECTRUM:
        yield SPECTRUM, spectra(fill, photos, size, span, count)
        return
    if kind not in ("crops", "lama"):
        raise ValueError(
            f"nothing named {kind!r} is measured; there are: crops, lama, disc, spectrum"
        )
    for masks in (OCCLUSION,) if kind == "crops" else LAMA:
        yield masks, crops(fill, photos, size, span, count, masks)


def crops(
    fill: evaluation.Fill,
    photos: data.Photos,
    size: int,
    span: tuple[float, float],
    per_cell: int,
    masks: str,
) -> pd.DataFrame:
    """Measure a method on an evaluation set; rows say which photograph they come from."""
    where = (photos, size, per_cell, SEED, span, masks)
    table = evaluation.evaluate(fill, data.evaluation_set(*where))
    origins = [s.origin(n)[0] for *_, s, numbers in data.evaluation_cells(*where) for n in numbers]
    table.insert(0, "photograph", [photos.label(index) for index in origins])
    table.insert(1, "crop", range(len(table)))
    return table


def discs(fill: evaluation.Fill, photos: data.Photos, count: int) -> pd.DataFrame:
    """Measure a method on P-Conv's kind of test case: a disc of 0.84 % of the picture.

    P-Conv rates I_out, of which 99 % was never missing: `psnr_out`.
    """
    span, rows = (1.0, 1.0), []
    samples = data.Samples(photos, DISC_SIZE, SEED, span=span)
    for number in range(count):
        index, cut = samples.origin(number)
        picture = data.crop(photos.read(index, DISC_SIZE), DISC_SIZE, cut)
        image, mask = data.to_tensor(picture)[None], _disc(generator(SEED, number, "mask"))
        (row,) = evaluation.evaluate(fill, iter([((0, 0), False, image, mask)])).to_dict("records")
        rows.append({"photograph": photos.label(index), "crop": number, **row, "hole_ratio": DISC})
    return pd.DataFrame(rows)


def spectra(
    fill: evaluation.Fill, photos: data.Photos, size: int, span: tuple[float, float], per_cell: int
) -> pd.DataFrame:
    """Compare the spectra of fillings and ground truth, photograph by photograph."""
    pictures: dict[int, list] = {}
    for *_, samples, numbers in data.evaluation_cells(photos, size, per_cell, SEED, span):
        for number in numbers:
            pictures.setdefault(samples.origin(number)[0], []).append(samples[number])
    rows = []
    for place, index in enumerate(sorted(pictures)):
        images, masks = (torch.stack(column) for column in zip(*pictures[index], strict=True))
        found = periodicity(fill(images, masks), images, masks)
        rows.append({"photograph": photos.label(index), "crop": place, **found})
    return pd.DataFrame(rows)


def _disc(rng: np.random.Generator) -> Tensor:
    """A mask (1, 1, 256, 256) with a disc wholly inside the picture."""
    radius = round(DISC_SIZE * (DISC_SHARE / np.pi) ** 0.5)
    middle = rng.integers(radius + 1, DISC_SIZE - radius - 1, 2).tolist()
    canvas = np.ones((DISC_SIZE, DISC_SIZE), dtype=np.uint8)
    return torch.from_numpy(cv2.circle(canvas, middle, radius, 0, cv2.FILLED)).float()[None, None]


def with_batch_statistics(net: InpaintingNet) -> evaluation.Fill:
    """As P-Conv measures: batch norm in training mode, on each image stacked twice."""
    net = copy.deepcopy(net)
    net.encoder_norm_frozen = False
    net.train()

    @torch.no_grad()
    def fill(images: Tensor, masks: Tensor) -> Tensor:
        pairs = zip(images.split(1), masks.split(1), strict=True)
        outs = [net(torch.cat([i * m, i * m]), torch.cat([m, m]))[:1] for i, m in pairs]
        return torch.cat(outs).clamp(0, 1)

    return fill


# Patterns of at most so many pixels a period count as artefacts of a network.
LONGEST_PERIOD = 8
_LUMA = (0.299, 0.587, 0.114)


def periodicity(comp: Tensor, images: Tensor, masks: Tensor) -> dict[str, float]:
    """Compare the spectrum of what fills the holes with that of the ground truth there.

    The mean power spectra of the luma in the hole, its local mean taken off, are divided at every
    frequency of at most `LONGEST_PERIOD` pixels a period.

    Parameters
    ----------
    comp, images : Tensor of shape (N, 3, H, W)
        I_comp and I_gt.
    masks : Tensor of shape (N, 1, H, W)

    Returns
    -------
    dict
        excess: energy at those frequencies over the truth's, in dB; below 0 is blur.
        peak: how far the largest quotient stands out of those at the same distance from frequency
        0, in dB; high where a pattern repeats, low for blur and for noise.
    """
    check_pair(images, masks)
    powers = [_power(pictures, masks) for pictures in (composite(comp, images, masks), images)]
    height, width = masks.shape[-2:]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    fine = frequency >= 1 / LONGEST_PERIOD
    ours, truth = (power[fine] for power in powers)
    # Neighbouring frequencies of few pictures scatter; what repeats does not hide in a mean of 3x3.
    smooth = [cv2.blur(np.fft.fftshift(power), (3, 3)) for power in powers]
    quotient = smooth[0] / smooth[1]
    rings = np.fft.fftshift(np.where(fine, np.rint(frequency * max(height, width)), -1))
    peaks = [_peak(quotient[rings == r]) for r in np.unique(rings[rings >= 0])]
    return {
        "excess": 10 * float(np.log10(ours.sum() / truth.sum())),
        "peak": 10 * float(np.log10(max(peaks))),
    }


def _peak(quotients: np.ndarray) -> float:
    """Largest quotient over the median one; where there is blur, over the ground truth's energy."""
    middle = np.median(quotients)
    return 1 + (quotients.max() - middle) / max(middle, 1.0)


def _power(pictures: Tensor, masks: Tensor) -> np.ndarray:
    luma = (pictures * torch.tensor(_LUMA).view(1, 3, 1, 1)).sum(1).numpy().astype(np.float64)
    holes = 1 - masks[:, 0].numpy().astype(np.float64)
    fields = [
        (p - cv2.GaussianBlur(p, (0, 0), LONGEST_PERIOD / 2)) * h
        for p, h in zip(luma, holes, strict=True)
    ]
    return np.mean([np.abs(np.fft.fft2(f)) ** 2 for f in fields], axis=0)
