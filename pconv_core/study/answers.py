"""What each chapter asks and what it found, in one line each, read from the committed tables."""

from pathlib import Path

import pandas as pd

from pconv_core.study import found as tell
from pconv_core.study import verdicts
from pconv_core.study.found import AS_GOOD, Found, as_good, with_interval
from pconv_core.study.mask_shapes import SHAPES, over_paper
from pconv_core.study.tables import CLASSICAL


def answers(reference: Path) -> dict[str, tuple[str, str]]:
    """Return (question, answer) of each chapter, by the name of its notebook.

    Raises
    ------
    FileNotFoundError
        If a table is missing.
    """

    def table(name: str, run: str = "demo") -> pd.DataFrame:
        return pd.read_csv(reference / run / "tables" / f"{name}.csv")

    found = Found(reference)
    stage1 = table("02_stage1").set_index("model")
    ours, unet = stage1.index[:2]
    first = stage1["psnr"]
    masks = table("01_masks_by_bin")["in_bin_of_100"]
    shapes = over_paper(table("01_mask_shapes"))[list(SHAPES)]
    photo = table("09_photo").set_index("model")
    return {
        "01_mask_generation": (
            "What are irregular masks, and how do partial convolutions close them?",
            f"{masks.sum():,} of {100 * len(masks):,} masks lie in the bin asked for; depth, "
            "contour, islands of occlusions and strokes within "
            f"{(shapes - 1).abs().max(axis=None):.0%} of the paper's",
        ),
        "02_pretrain_stage1": (
            "What is learned with little style loss?",
            f"{tell.after_line(found, found.unet, 'stage1')} (photographs); demo: partial "
            f"{first[ours]:.2f} dB, traditional {first[unet]:.2f} dB"
            f"{_lite0(stage1, [ours, unet])}",
        ),
        "03_pretrain_stage2": (
            "What does the full style weight change?",
            _style(table("03_style_effect", "style")),
        ),
        "04_finetune_coco": (
            "What does fine-tuning with a frozen encoder norm bring?",
            _stage(found, "finetune"),
        ),
        "05_size_study_224_vs_256": ("Must the size be a power of two?", _sizes(found)),
        "06_loss_curves": (
            "Do the losses behave as P-Conv reports?",
            _curves(found),
        ),
        "07_psnr_table": ("Which method wins, by how much, at which hole ratio?", _winner(found)),
        "08_deviations": (
            "Which of P-Conv's departures from the paper costs how much?",
            _dearest(verdicts.committed(reference)[0]),
        ),
        "09_inpaint_a_photo": (
            "What becomes of a whole photograph?",
            f"the shipped weights repair it at {photo['psnr']['shipped weights']:.2f} dB, "
            f"Telea's method at {photo['psnr']['Telea']:.2f} dB"
            f"{_lite0(photo, ['shipped weights', 'Telea'])}; known pixels stay bit for bit",
        ),
        "10_benchmarks": ("What does a mask cost?", _price(reference)),
    }


def _curves(found: Found) -> str:
    bands = found.beside_pconv()
    inside = bands.groupby("stage")["inside"].agg(lambda x: f"{(x == 'yes').sum()} of {len(x)}")
    rises = bands.loc[bands["stage"] == "stage2", "rise"]
    return (
        f"{inside['stage1']} trainings' losses lie in P-Conv's bands in stage 1, "
        f"{inside['stage2']} in stage 2, where ours rise {rises.min():.0f} to {rises.max():.0f} "
        "times (photographs)"
    )


def _style(effect: pd.DataFrame) -> str:
    changes = effect.set_index("metric")[["difference", "low", "high"]]
    distance, psnr = changes.loc["lite0"], changes.loc["psnr"]
    return (
        f"120 instead of 1: Lite0 distance {distance.iloc[0]:+.3f} ({distance.iloc[1]:+.3f} to "
        f"{distance.iloc[2]:+.3f}), {psnr.iloc[0]:+.2f} dB ({psnr.iloc[1]:+.2f} to "
        f"{psnr.iloc[2]:+.2f}); {effect['random_seeds'][0]} random seeds (photographs, 64 pixels)"
    )


def _lite0(table: pd.DataFrame, models: list[str]) -> str:
    return f", Lite0 distance {' and '.join(map('{:.3f}'.format, table.loc[models, 'lite0']))}"


def _stage(found: Found, after: str) -> str:
    """What a stage changed for the partial U-Net, by PSNR and Lite0 distance."""
    parts = [tell.told(found.stage(found.ours, after, name), name) for name in ("psnr", "lite0")]
    return f"{'; '.join(parts)} (photographs)"


def _sizes(found: Found) -> str:
    rows = [found.smaller(at) for at in (found.small_size, found.size)]
    verdict = {"yes": "no", "no": "yes", "undecided": "undecided"}[as_good(rows)]
    gaps = " and ".join(f"{with_interval(row)} at {row['evaluated_at']}" for row in rows)
    return (
        f"{verdict}, if {AS_GOOD} dB less is as good: trained at {found.small_size} instead of "
        f"{found.size} pixels {gaps}"
    )


def _winner(found: Found) -> str:
    """The partial U-Net against what was trained alike, and the best classical method."""
    psnr = found.overall["psnr"]
    best = psnr[list(CLASSICAL)].idxmax()
    parts = []
    for other in (found.conv, found.unet, best):
        where = tell.in_bins(found.by_bin(other))
        ssim = tell.told(found.against(other, "ssim"), "ssim")
        parts.append(f"{other} {with_interval(found.against(other))}, {where}, {ssim}")
    return f"the partial U-Net on photographs less {'; less '.join(parts)}"


def _dearest(deviations: pd.DataFrame) -> str:
    """How many of P-Conv's departures cost, gain, or diverge; the dearest two, the largest gain."""
    table = verdicts.judged(deviations[deviations["whose"] == "P-Conv"]).sort_values("delta_psnr")
    sure = table[table["verdict"] == verdicts.COSTS]
    most = deviations["seeds"].iloc[0]
    parts = [f"{row.deviation} {verdicts.sized(row, most)}" for row in sure.head(2).itertuples()]
    dearest = f", the dearest: {'; '.join(parts)}" if parts else ""
    gains = table[table["verdict"] == verdicts.GAINS]
    gained = "".join(
        f"; gaining: {len(gains)}, the most: {row.deviation} {verdicts.sized(row, most)}"
        for row in gains.tail(1).itertuples()
    )
    lost = (table["verdict"] == verdicts.NO_LOSS).sum()
    diverged = f"; without a finite loss: {lost}" if lost else ""
    return (
        f"{len(sure)} of {len(table)} cost PSNR by their 95 % intervals{dearest}{gained}{diverged} "
        f"({table['features'].iloc[0]})"
    )


def _price(reference: Path) -> str:
    rows = pd.concat(
        pd.read_csv(path).head(1) for path in sorted((reference / "bench").glob("*.csv"))
    )
    first = rows.iloc[0]
    return f"{first['ratio'] - 1:+.1%} of a training step's time ({first['machine'].split(',')[0]})"
