"""What changes on thin holes: thin training masks, sums of each part, a smooth continuation.

Every random seed trains each way through stage 1, on the same photographs.  All are measured on the
paper's kind of masks, and on lines of a few pixels' width.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch

from pconv_core import data, evaluation
from pconv_core.masks.seeding import generator
from pconv_core.study import paired
from pconv_core.study.profile import Profile
from pconv_core.study.run import Study

RANDOM_SEEDS = 3
FAITHFUL = "eq. 1, occlusions"
# Ways to train: network, and kind of the training masks.
ARMS = {
    FAITHFUL: ("pconv", "occlusion"),
    "eq. 1, thin masks among them": ("pconv", "mixed"),
    "own sums, occlusions": ("partwise", "occlusion"),
    "own sums, thin masks among them": ("partwise", "mixed"),
    "own sums and continuation, thin masks among them": ("residual", "mixed"),
}
LINE_WIDTHS = (1, 2, 3, 5, 8)
_LINES = 6  # in a picture
# Of many measures, those in which the ways are compared: up to 0.5, and in the hole of lines.
MEASURES = ("psnr", "ssim", "lite0", *(f"line_{width}" for width in LINE_WIDTHS))


def run(profile: Profile, results: Path, seeds: int = RANDOM_SEEDS) -> pd.DataFrame:
    """Train what is not trained yet, measure all, and write tables/08_thin_*.csv.

    The random seeds are the profile's and those that follow it; all are measured on the pictures
    and masks of the first.  Cut off at any moment, the same call goes on.

    Returns
    -------
    DataFrame
        A row a way and measure of `MEASURES`: its mean, the faithful way's, difference, low, high,
        random_seeds and pictures, as `paired.effect` gives them.
    """
    first = Study(profile, results)
    tables, times = [], []
    for seed in range(profile.seed, profile.seed + seeds):
        for number, (arm, (model, kind)) in enumerate(ARMS.items()):
            name = f"{profile.name}/{seed}-{number}"
            study = Study(replace(profile, seed=seed, mask_kind=kind, name=name), results)
            study.network(model, profile.size, "stage1")
            # As stored: a network that was just trained differs in its memory order.
            net = study.network(model, profile.size, "stage1")
            tables.append(paired.named(measure(first, evaluation.network_fill(net)), seed, arm))
            times.append(study.training_time(model, profile.size, "stage1"))
    pictures = pd.concat(tables, ignore_index=True)
    means = pictures.drop(columns="picture").groupby(["model", "random_seed"], sort=False)
    first.save_table(means.mean().reset_index(), "08_thin_by_seed", trained=False)
    found = effects(pictures).assign(
        samples=profile.batch_size * profile.stage1_steps,
        photographs=len(data.open_photos(profile.pretrain_photos, "train")),
        test_photographs=len(data.open_photos(profile.test_photos, "test")),
        features=first.features_label,
        precision=profile.precision,
        hardware=" and ".join(dict.fromkeys(time["hardware"] for time in times)),
        minutes=sum(time["minutes"] for time in times),
    )
    classical = [
        {"model": name, **measure(first, evaluation.BASELINES[name]).mean().to_dict()}
        for name in ("Telea", "Navier-Stokes", "continuation")
    ]
    first.save_table(pd.DataFrame(classical), "08_thin_classical", trained=False)
    return first.save_table(found, "08_thin_effect", trained=False)


def effects(pictures: pd.DataFrame) -> pd.DataFrame:
    """Every way less the faithful one; see `run`."""
    tables = []
    for arm in ARMS:
        if arm != FAITHFUL:
            both = pictures[pictures["model"].isin([FAITHFUL, arm])]
            table = paired.effect(both, FAITHFUL, arm).rename(
                columns={FAITHFUL: "faithful", arm: "mean"}
            )
            table.insert(0, "model", arm)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def finding(effect: pd.DataFrame) -> str:
    """Say of each way what it changes, by how much, and whether that is sure."""
    lines = []
    for arm, rows in effect.groupby("model", sort=False):
        rows = rows.set_index("metric")
        parts = []
        for metric, where in (("psnr", "up to 0.5"), ("line_1", "1 px"), ("line_3", "3 px")):
            row = rows.loc[metric]
            sure = "" if row["low"] > 0 or row["high"] < 0 else ", not told apart"
            interval = f"{row['low']:+.2f} to {row['high']:+.2f}{sure}"
            parts.append(f"{where} {row['difference']:+.2f} dB ({interval})")
        lines.append(f"{arm}: {'; '.join(parts)}")
    return "\n".join(lines)


def measure(study: Study, fill: evaluation.Fill) -> pd.DataFrame:
    """Measure a method on the evaluation set up to 0.5, and on lines: `MEASURES`, a row a crop."""
    crops = list(study.evaluation_set(study.profile.size, "occlusion"))
    table = evaluation.evaluate(fill, iter(crops))
    images = torch.cat([images for *_, images, _ in crops])
    for width in LINE_WIDTHS:
        masks = line_masks(len(images), study.profile.size, width, study.profile.seed)
        table[f"line_{width}"] = psnr_in_hole(fill(images, masks), images, masks)
    return table.loc[table["ratio"] <= 0.5, list(MEASURES)].reset_index(drop=True)


def line_masks(count: int, size: int, width: int, seed: int) -> torch.Tensor:
    """Draw masks (count, 1, size, size) of straight lines `width` pixels wide, not smoothed."""
    return torch.stack([torch.from_numpy(m)[None] for m in _lines(count, size, width, seed)])


def psnr_in_hole(out: torch.Tensor, images: torch.Tensor, masks: torch.Tensor) -> np.ndarray:
    """PSNR in dB of each picture over its hole."""
    holes = (masks == 0).expand_as(images)
    triples = zip(out, images, holes, strict=True)
    return np.array([evaluation.psnr(o[h].numpy(), i[h].numpy()) for o, i, h in triples])


def _lines(count: int, size: int, width: int, seed: int) -> Iterator[np.ndarray]:
    for number in range(count):
        rng = generator(seed, number, "thin")
        mask = np.ones((size, size), dtype=np.uint8)
        for start, end in rng.integers(0, size, (_LINES, 2, 2)).tolist():
            cv2.line(mask, start, end, 0, width)
        yield mask.astype(np.float32)


if __name__ == "__main__":
    sys.exit(paired.main(run, "thin", RANDOM_SEEDS))
