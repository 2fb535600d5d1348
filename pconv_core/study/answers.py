"""What each chapter asks and what it found, in one line each, read from the committed tables."""

from itertools import pairwise
from pathlib import Path

import pandas as pd

from pconv_core.evaluation import UP_TO_HALF
from pconv_core.study.claims import AS_GOOD
from pconv_core.study.mask_shapes import SHAPES, over_paper
from pconv_core.study.profile import load_profile
from pconv_core.study.run import label
from pconv_core.study.summary import PHOTOS, change


def answers(reference: Path) -> dict[str, tuple[str, str]]:
    """Return (question, answer) of each chapter, by the name of its notebook.

    Raises
    ------
    FileNotFoundError
        If a table is missing.
    """

    def table(name: str, run: str = "demo") -> pd.DataFrame:
        return pd.read_csv(reference / run / "tables" / f"{name}.csv")

    stages = [table(n).set_index("model") for n in ("02_stage1", "03_stage2", "04_finetune")]
    ours, unet = stages[0].index[:2]
    first = stages[0]["psnr"]
    moves = [
        f"{after['psnr'][ours] - before['psnr'][ours]:+.2f} dB"
        f"{_lite0(after - before, [ours], '{:+.3f}')} for the partial U-Net (demo)"
        for before, after in pairwise(s.select_dtypes("number") for s in stages)
    ]
    masks = table("01_masks_by_bin")["in_bin_of_100"]
    shapes = over_paper(table("01_mask_shapes"))[list(SHAPES)]
    photo = table("09_photo").set_index("model")
    costs = table("08_deviations").query("whose == 'P-Conv'").sort_values("delta_psnr").iloc[0]
    return {
        "01_mask_generation": (
            "What are irregular masks, and how do partial convolutions close them?",
            f"{masks.sum():,} of {100 * len(masks):,} masks lie in the bin asked for; depth, "
            "contour, islands of occlusions and strokes within "
            f"{(shapes - 1).abs().max(axis=None):.0%} of the paper's",
        ),
        "02_pretrain_stage1": (
            "What is learned with little style loss?",
            f"partial {first[ours]:.2f} dB, traditional {first[unet]:.2f} dB"
            f"{_lite0(stages[0], [ours, unet])} (demo)",
        ),
        "03_pretrain_stage2": (
            "What does the full style weight change?",
            _style(table("03_style_effect", "style")),
        ),
        "04_finetune_coco": (
            "What does fine-tuning with a frozen encoder norm bring?",
            moves[1],
        ),
        "05_size_study_224_vs_256": ("Must the size be a power of two?", _sizes(table)),
        "06_loss_curves": (
            "Do the losses behave as P-Conv reports?",
            _curves(table("06_beside_pconv")),
        ),
        "07_psnr_table": ("Which method wins, by how much, at which hole ratio?", _winner(table)),
        "08_deviations": (
            "Which of P-Conv's departures from the paper costs how much?",
            f"{costs['deviation']} costs most: {change(costs)} ({costs['features']})",
        ),
        "09_inpaint_a_photo": (
            "What becomes of a whole photograph?",
            f"the shipped weights repair it at {photo['psnr']['shipped weights']:.2f} dB, "
            f"Telea's method at {photo['psnr']['Telea']:.2f} dB"
            f"{_lite0(photo, ['shipped weights', 'Telea'])}; known pixels stay bit for bit",
        ),
        "10_benchmarks": ("What does a mask cost?", _price(reference)),
    }


def _curves(bands: pd.DataFrame) -> str:
    stages = bands.groupby("stage")
    inside = stages["inside"].agg(lambda found: f"{(found == 'yes').sum()} of {len(found)}")
    rises = bands.loc[bands["stage"] == "stage2", "rise"]
    return (
        f"the networks' losses lie in P-Conv's bands: {inside['stage1']} in stage 1, "
        f"{inside['stage2']} in stage 2, where ours rise {rises.min():.0f} to {rises.max():.0f} "
        "times (demo)"
    )


def _style(effect: pd.DataFrame) -> str:
    changes = effect.set_index("metric")[["difference", "low", "high"]]
    distance, psnr = changes.loc["lite0"], changes.loc["psnr"]
    return (
        f"120 instead of 1: Lite0 distance {distance.iloc[0]:+.3f} ({distance.iloc[1]:+.3f} to "
        f"{distance.iloc[2]:+.3f}), {psnr.iloc[0]:+.2f} dB ({psnr.iloc[1]:+.2f} to "
        f"{psnr.iloc[2]:+.2f}); {effect['random_seeds'][0]} random seeds (photographs, 64 pixels)"
    )


def _lite0(table: pd.DataFrame, models: list[str], form: str = "{:.3f}") -> str:
    """Lite0 distances of models, which tables of older runs lack."""
    if "lite0" not in table:
        return ""
    listed = " and ".join(form.format(table["lite0"][model]) for model in models)
    return f", Lite0 distance {listed}"


def _sizes(table) -> str:
    p = load_profile(PHOTOS)
    psnr = table("05_psnr_by_size", PHOTOS).pivot(index="evaluated_at", columns="model")["psnr"]
    gap = psnr[label("pconv", p.small_size)] - psnr[label("pconv", p.size)]
    verdict = "no" if gap.min() > -AS_GOOD else "yes"
    return (
        f"{verdict}: trained at {p.small_size} instead of {p.size} pixels, {gap.min():+.2f} to "
        f"{gap.max():+.2f} dB (photographs)"
    )


def _winner(table) -> str:
    size = load_profile(PHOTOS).size
    pair = f"{label('pconv', size)} - {label('unet', size)}"
    row = table("psnr_differences", PHOTOS).set_index(["difference", "hole_ratio"]).loc[pair]
    overall = table("psnr_overall", PHOTOS).set_index("model")
    distances = _lite0(overall, [label("pconv", size), label("unet", size)])
    return (
        f"the partial U-Net, by {row.loc[UP_TO_HALF, 'psnr']:+.2f} dB over the traditional one "
        f"(photographs); lowest in a bin {row['psnr'].min():+.2f} dB{distances}"
    )


def _price(reference: Path) -> str:
    rows = pd.concat(
        pd.read_csv(path).head(1) for path in sorted((reference / "bench").glob("*.csv"))
    )
    first = rows.iloc[0]
    return f"{first['ratio'] - 1:+.1%} of a training step's time ({first['machine'].split(',')[0]})"
