"""What stage 2's style weight does: 120 beside the same steps at 1, over several random seeds.

Every random seed trains the partial U-Net through stage 1, and from there twice through stage 2.
What differs between the two is the style weight alone: they see the same samples.
"""

import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pconv_core import data, evaluation
from pconv_core.study import paired
from pconv_core.study.profile import Profile
from pconv_core.study.run import STYLE_KEPT, Study

RANDOM_SEEDS = 5
# The end of stage 1, and its two continuations, by the stage that trains them.
ARMS = {"stage1": "after stage 1", STYLE_KEPT: "style weight 1", "stage2": "style weight 120"}


def run(profile: Profile, results: Path, seeds: int = RANDOM_SEEDS) -> pd.DataFrame:
    """Train what is not trained yet, measure all, and write tables/pictures.csv and effect.csv.

    The random seeds are the profile's and those that follow it; all are measured on the pictures
    and masks of the first.  Cut off at any moment, the same call goes on.

    Returns
    -------
    DataFrame
        See `effect`.
    """
    first = Study(profile, results)
    tables, times = [], []
    for seed in range(profile.seed, profile.seed + seeds):
        named = replace(profile, seed=seed, name=f"{profile.name}/{seed}")
        study = Study(named, results)
        for stage, arm in ARMS.items():
            study.network("pconv", profile.size, stage)
            # As stored: a network that was just trained differs in its memory order, and rounds so.
            net = study.network("pconv", profile.size, stage)
            fill = evaluation.network_fill(net)
            table = evaluation.evaluate(fill, first.evaluation_set(profile.size))
            tables.append(paired.named(table, seed, arm))
            times.append(study.training_time("pconv", profile.size, stage))
    pictures = pd.concat(tables, ignore_index=True)
    pictures = pictures[pictures["ratio"] <= 0.5]
    measures = pictures.drop(columns=["picture", *paired.CASE])
    means = measures.groupby(["random_seed", "model"], sort=False)
    first.save_table(means.mean().reset_index(), "03_style_by_seed", trained=False)
    found = effect(pictures).assign(
        samples=profile.batch_size * (profile.stage1_steps + profile.stage2_steps),
        photographs=len(data.open_photos(profile.pretrain_photos, "train")),
        test_photographs=len(data.open_photos(profile.test_photos, "test")),
        features=first.features_label,
        precision=profile.precision,
        hardware=" and ".join(dict.fromkeys(time["hardware"] for time in times)),
        minutes=sum(time["minutes"] for time in times),
    )
    return first.save_table(found, "03_style_effect", trained=False)


def effect(pictures: pd.DataFrame) -> pd.DataFrame:
    """Style weight 120 less style weight 1, for each metric; see `paired.effect`."""
    return paired.effect(pictures, ARMS[STYLE_KEPT], ARMS["stage2"])


def differences(by_seed: pd.DataFrame) -> pd.DataFrame:
    """Style weight 120 less style weight 1 for each random seed, from tables/03_style_by_seed."""
    wide = by_seed.set_index(["random_seed", "model"]).unstack("model")
    raised, kept = (wide.xs(arm, axis=1, level=1) for arm in (ARMS["stage2"], ARMS[STYLE_KEPT]))
    return (raised - kept).reset_index()


def finding(table: pd.DataFrame) -> str:
    """Say what `effect` found: the sign of each measure's change, if it is sure, and its size."""
    rows, lines = table.set_index("metric"), []
    for metric, name, better in (
        ("lite0", "Lite0 distance", -1),
        ("psnr", "PSNR in dB", 1),
        ("ssim", "SSIM", 1),
    ):
        row = rows.loc[metric]
        sure = row["low"] > 0 or row["high"] < 0
        verdict = "better" if better * row["difference"] > 0 else "worse"
        lines.append(
            f"{name}: {row[ARMS[STYLE_KEPT]]:.3f} with style weight 1, "
            f"{row[ARMS['stage2']]:.3f} with 120; {row['difference']:+.3f} "
            f"({row['low']:+.3f} to {row['high']:+.3f}): {verdict if sure else 'not told apart'}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(paired.main(run, "style", RANDOM_SEEDS))
