"""What P-Conv claims beside its PSNR, each with a yes or no and what was measured for it."""

import numpy as np
import pandas as pd

from pconv_core.study.run import Study, label

AS_GOOD = 0.5  # dB; within this, two training sizes are equally good


def judge(study: Study) -> pd.DataFrame:
    """Test P-Conv's claims on the loss records and the tables that chapters 5 to 7 of a run left.

    Returns
    -------
    DataFrame
        A row a claim: claim, measured (what the value is), value, holds ("yes" or "no").

    Raises
    ------
    ValueError
        If a table is missing.
    """
    rows = [_sizes(study), _faster(study), _identity(study), _noisy(study)]
    table = pd.DataFrame(rows, columns=["claim", "measured", "value", "holds"])
    return table.assign(holds=table["holds"].map({True: "yes", False: "no"}))


def _sizes(study: Study) -> tuple:
    p = study.profile
    psnr = study.table("05_psnr_by_size").pivot(
        index="evaluated_at", columns="model", values="psnr"
    )
    gap = psnr[label("pconv", p.small_size)] - psnr[label("pconv", p.size)]
    return (
        "partial convolution adapts to sizes that are no power of two",
        f"lowest PSNR in dB, trained at {p.small_size} less trained at {p.size}, on crops of "
        f"{gap.index.min()} to {gap.index.max()} pixels; above {-AS_GOOD} is as good",
        gap.min(),
        gap.min() > -AS_GOOD,
    )


def _faster(study: Study) -> tuple:
    shares = {}
    for model in ("unet", "pconv"):
        log = study.record(model, study.profile.size).query("stage == 'stage1'")
        shares[model] = _descent(log["hole"].to_numpy())
    return (
        "the traditional U-Net converges faster",
        "share of its descent of the hole term in stage 1 done after a quarter of the steps, less "
        "the partial U-Net's",
        shares["unet"] - shares["pconv"],
        shares["unet"] > shares["pconv"],
    )


def _descent(term: np.ndarray) -> float:
    """Share of the way from the first record to the mean of the last quarter done at a quarter."""
    eighth = max(1, len(term) // 8)
    middle = len(term) // 4
    there = term[max(1, middle - eighth) : middle + eighth + 1].mean()
    return (term[0] - there) / (term[0] - term[-2 * eighth :].mean())


def _identity(study: Study) -> tuple:
    table = study.table("towards_input").set_index("model")["towards_input"]
    value = table[label("unet", study.profile.size)]
    return (
        "the traditional U-Net tends to the identity",
        "distance of its output from its input in the hole, over that of the ground truth; below "
        "a half is nearer to the identity",
        value,
        value < 0.5,
    )


def _noisy(study: Study) -> tuple:
    log = study.record("pconv", study.profile.size)
    totals = {stage: part["total"] for stage, part in log.groupby("stage")}
    late = totals["stage1"].iloc[len(totals["stage1"]) // 2 :]
    ratio = _noise(totals["stage2"]) / _noise(late)
    return (
        "convergence at stage 2 is noisy",
        "mean change of the partial U-Net's loss from record to record, over its median, in the "
        f"{len(totals['stage2'])} records of stage 2 over the same in the last {len(late)} of "
        "stage 1",
        ratio,
        ratio > 1,
    )


def _noise(total: pd.Series) -> float:
    return total.diff().abs().mean() / total.median()
