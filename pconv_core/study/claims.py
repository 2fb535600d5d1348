"""What P-Conv claims beside its PSNR, each with a yes or no and what was measured for it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pconv_core.study import deviation_runs
from pconv_core.study.found import AS_GOOD, Found, as_good
from pconv_core.study.run import Study, label
from pconv_core.study.trained import CASES

_COLUMNS = ["claim", "measured", "value", "holds"]


@dataclass(frozen=True)
class _Claim:
    """One claim: what it says, what is measured for it, and whether it holds at a value."""

    text: str
    measured: str
    threshold: float
    above: bool = True  # whether it holds above the threshold, or below

    def holds(self, values: Sequence[float]) -> str:
        """Say "yes" or "no"; of several random seeds only if their mean's 95 % interval says so."""
        mean, half = np.mean(values), 0.0
        if len(values) > 1:
            half = deviation_runs.reach(pd.DataFrame({"value": values}))[0]
        margin = mean - self.threshold if self.above else self.threshold - mean
        return "yes" if margin - half > 0 else "no" if margin + half <= 0 else "undecided"


_FASTER = _Claim(
    "the traditional U-Net converges faster",
    "share of its descent of the hole term in stage 1 done after a quarter of the steps, less "
    "the partial U-Net's",
    0,
)
_IDENTITY = _Claim(
    "the traditional U-Net tends to the identity",
    "distance of its output from its input in the hole, over that of the ground truth; below "
    "a half is nearer to the identity",
    0.5,
    above=False,
)


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
    p = study.profile
    psnr = study.table("05_psnr_by_size").pivot(
        index="evaluated_at", columns="model", values="psnr"
    )
    gap = psnr[label("pconv", p.small_size)] - psnr[label("pconv", p.size)]
    ours, unet = (study.record(model, p.size) for model in ("pconv", "unet"))
    moved = study.table("towards_input").set_index("model")["towards_input"]
    rows = [
        _row(_sizes(p.small_size, p.size, gap.index), [gap.min()]),
        _row(_FASTER, [_lead(unet, ours)]),
        _row(_IDENTITY, [moved[label("unet", p.size)]]),
        _row(_noisy(ours), [_growth(ours)]),
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def judge_trainings(found: Found) -> pd.DataFrame:
    """Test P-Conv's claims on trainings with several random seeds.

    Parameters
    ----------
    found : Found
        Its tables, loss records, and what was measured of each network are read.

    Returns
    -------
    DataFrame
        As `judge` makes it; value is the mean over the random seeds, holds "yes" or "no" where its
        95 % interval over them, Student's, lies on one side, else "undecided".  Two sizes are
        judged by the intervals of their difference, which hold the spread over pictures, too:
        "yes" if all lie above -`AS_GOOD`, "no" if one lies below it.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    """
    ours, unets = (
        {seed: found.record(model, found.size, seed) for seed in found.seeds(model)}
        for model in ("pconv", "unet")
    )
    both = [seed for seed in ours if seed in unets]
    rows = [
        _sizes_by_interval(found),
        _row(_FASTER, [_lead(unets[seed], ours[seed]) for seed in both]),
        _row(_IDENTITY, [_moved(found, "unet", seed) for seed in unets]),
        _row(_noisy(next(iter(ours.values()))), [_growth(record) for record in ours.values()]),
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _row(claim: _Claim, values: Sequence[float]) -> tuple:
    """A claim with the mean of a value by random seed, and whether it holds."""
    of = f"; mean of {len(values)} random seeds" if len(values) > 1 else ""
    return claim.text, claim.measured + of, np.mean(values), claim.holds(values)


def _sizes(small: int, large: int, measured_at: Iterable[int]) -> _Claim:
    return _Claim(
        "partial convolution adapts to sizes that are no power of two",
        f"lowest difference of PSNR in dB, trained at {small} less trained at {large}, on crops of "
        f"{min(measured_at)} to {max(measured_at)} pixels; above {-AS_GOOD} is as good",
        -AS_GOOD,
    )


def _sizes_by_interval(found: Found) -> tuple:
    gaps = [found.smaller(at) for at in (found.small_size, found.size)]
    claim = _sizes(found.small_size, found.size, [gap["evaluated_at"] for gap in gaps])
    of = f"; mean of {gaps[0]['random_seeds']} random seeds, judged by its interval"
    return claim.text, claim.measured + of, min(gap["mean"] for gap in gaps), as_good(gaps)


def _moved(found: Found, model: str, seed: int) -> float:
    """How far a network's output is from its input; see `evaluation.towards_input`."""
    file = found.folder / str(seed) / CASES / f"{model}{found.size}.csv"
    return pd.read_csv(file)["towards_input"].iloc[0]


def _lead(unet: pd.DataFrame, ours: pd.DataFrame) -> float:
    """How much more of its descent in stage 1 the traditional U-Net has done at a quarter."""
    first = [record.loc[record["stage"] == "stage1", "hole"] for record in (unet, ours)]
    theirs, own = (_descent(term.to_numpy()) for term in first)
    return theirs - own


def _descent(term: np.ndarray) -> float:
    """Share of the way from the first record to the mean of the last quarter done at a quarter."""
    eighth = max(1, len(term) // 8)
    middle = len(term) // 4
    there = term[max(1, middle - eighth) : middle + eighth + 1].mean()
    return (term[0] - there) / (term[0] - term[-2 * eighth :].mean())


def _noisy(record: pd.DataFrame) -> _Claim:
    late, second = _totals(record)
    return _Claim(
        "convergence at stage 2 is noisy",
        "mean change of the partial U-Net's loss from record to record, over its median, in the "
        f"{len(second)} records of stage 2 over the same in the last {len(late)} of stage 1",
        1,
    )


def _growth(record: pd.DataFrame) -> float:
    """Noise of the total loss in stage 2 over that late in stage 1."""
    late, second = (_noise(total) for total in _totals(record))
    return second / late


def _totals(record: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Total loss in the last half of stage 1, and in stage 2."""
    first, second = (
        record.loc[record["stage"] == stage, "total"] for stage in ("stage1", "stage2")
    )
    return first.iloc[len(first) // 2 :], second


def _noise(total: pd.Series) -> float:
    return total.diff().abs().mean() / total.median()
