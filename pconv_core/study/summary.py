"""The study in six sentences, every number of them read from the committed tables."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from pconv_core import evaluation
from pconv_core.study.profile import load_profile
from pconv_core.study.run import label
from pconv_core.study.tables import CLASSICAL, SHIPPED, published

PHOTOS = "photographs"  # the run on real photographs


def sentences(reference: Path) -> list[str]:
    """Say what the study found.

    Returns
    -------
    list of str
        Six sentences: the networks; the classical methods; the shipped weights; the paper; what
        explains P-Conv; its replica.

    Raises
    ------
    FileNotFoundError
        If a table is missing.
    """
    deviations = pd.read_csv(reference / "demo" / "tables" / "08_deviations.csv")
    overall, gaps = _photographs(reference)
    bins, differences = (
        pd.read_csv(reference / "shipped" / "tables" / f"{name}.csv")
        for name in ("bins", "differences")
    )
    size = load_profile(PHOTOS).size
    ours = label("pconv", size)
    return [
        _networks(overall, gaps, size),
        _classical(overall, gaps, ours),
        _shipped(differences),
        _paper(bins),
        _explanation(deviations),
        _replica(deviations),
    ]


def answer(reference: Path) -> str:
    """Answer the study's question in two sentences, from the tables that `sentences` reads."""
    overall, gaps = _photographs(reference)
    size = load_profile(PHOTOS).size
    ours = label("pconv", size)
    unet = gaps.loc[(f"{ours} - {label('unet', size)}", evaluation.UP_TO_HALF)]
    features = overall.loc[ours, "features"]
    best = overall.loc[list(CLASSICAL), "psnr"]
    gap = overall.loc[ours, "psnr"] - best.max()
    reported = _published("PConv") - _published("U-Net")
    side = "above" if gap > 0 else "below"
    return (
        f"Trained alike on photographs, with strokes for holes and features of a {features}, the "
        "partial U-Net leads a traditional one by "
        f"{_margin(unet)}; P-Conv reported {reported:+.2f} dB. It reaches "
        f"{overall.loc[ours, 'psnr']:.2f} dB, {abs(gap):.2f} dB {side} the best method that learns "
        f"nothing ({best.idxmax()})."
    )


def _photographs(reference: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    tables = reference / PHOTOS / "tables"
    gaps = pd.read_csv(tables / "psnr_differences.csv").set_index(["difference", "hole_ratio"])
    return pd.read_csv(tables / "psnr_overall.csv").set_index("model"), gaps


def _published(model: str) -> float:
    """PSNR that P-Conv reports for a model, in dB."""
    rows = published().query("source == 'P-Conv' and model == @model")
    return rows["psnr_db"].iloc[0]


def _networks(overall: pd.DataFrame, gaps: pd.DataFrame, size: int) -> str:
    ours = label("pconv", size)
    unet, conv = (
        gaps.loc[(f"{ours} - {label(model, size)}", evaluation.UP_TO_HALF)]
        for model in ("unet", "conv")
    )
    return (
        f"On BSDS500's test photographs at {size} pixels, hole ratios up to 0.5, the partial U-Net "
        f"reaches {overall.loc[ours, 'psnr']:.2f} dB: {_margin(unet)} against the traditional "
        f"U-Net and {_margin(conv)} against itself with plain convolutions (intervals: 95 % over "
        f"the crops, one training each, features of a {overall.loc[ours, 'features']}); its SSIM "
        f"is {overall.loc[ours, 'ssim']:.3f}, that of the traditional one "
        f"{overall.loc[label('unet', size), 'ssim']:.3f}"
        f"{_distances(overall, ours, label('unet', size))}."
    )


def _distances(overall: pd.DataFrame, ours: str, unet: str) -> str:
    """Lite0 distances of two networks, which tables of older runs lack."""
    if "lite0" not in overall:
        return ""
    own, other = overall.loc[[ours, unet], "lite0"]
    return f"; the Lite0 distances (lower is better) are {own:.3f} and {other:.3f}"


def _margin(row: pd.Series) -> str:
    return f"{row['psnr']:+.2f} dB ({row['low']:+.2f} to {row['high']:+.2f})"


def _margin_of(row: pd.Series) -> str:
    return f"{row['mean']:+.2f} dB ({row['low']:+.2f} to {row['high']:+.2f})"


def _classical(overall: pd.DataFrame, gaps: pd.DataFrame, ours: str) -> str:
    parts = []
    for other in CLASSICAL:
        bins = gaps.loc[f"{ours} - {other}", "low"].drop(evaluation.UP_TO_HALF)
        parts.append(f"{other} ({overall.loc[other, 'psnr']:.2f} dB) {_ahead_from(bins)}")
    return (
        f"Of the methods that learn nothing it surely (95 %) passes {parts[0]}, {parts[1]} and "
        f"{parts[2]}."
    )


def _ahead_from(bins: pd.Series) -> str:
    """From which hole ratio on the lower ends of all intervals are above 0."""
    behind = [k for k, low in enumerate(bins) if low <= 0]
    first = behind[-1] + 1 if behind else 0
    if first == len(bins):
        return "nowhere"
    low = bins.index[first].partition("-")[0]
    return "at every hole ratio" if first == 0 else f"from a hole ratio of {low} on"


def _shipped(gaps: pd.DataFrame) -> str:
    half = gaps[gaps["hole_ratio"] == evaluation.UP_TO_HALF]
    parts = []
    for size, rows in half.groupby("size"):
        by = {m: t.set_index("difference") for m, t in rows.groupby("measure")}
        names = [f"{SHIPPED} - {name}" for name in CLASSICAL]
        least = by["psnr"].loc[names, "mean"].idxmin()
        row, farther = by["psnr"].loc[least], by["lite0"].loc[least]
        other = least.removeprefix(f"{SHIPPED} - ")
        parts.append(
            f"{_margin_of(row)} and a Lite0 distance of {farther['mean']:+.3f} at {size} pixels "
            f"({other})"
        )
    return (
        "The weights that come along, a plain network that adds to a smooth continuation, are "
        f"better than the best classical method by {listed(parts)}."
    )


def _paper(bins: pd.DataFrame) -> str:
    paper = published().query("source.str.startswith('paper')")
    paper = paper.set_index("hole_ratio")["psnr_db"]
    size = bins["size"].max()
    own = bins[(bins["size"] == size) & bins["border"] & (bins["model"] == SHIPPED)]
    own = own.set_index("hole_ratio")["psnr"]
    return (
        f"At {size} pixels, with holes at the border, in the bins {listed(paper.index)}, they "
        f"reach {listed(own[paper.index].map('{:.2f}'.format))} dB, the paper "
        f"{listed(paper.map('{:.2f}'.format))} dB on Places2 instead of BSDS500, whose "
        "photographs are enlarged for it."
    )


def listed(parts: Iterable[str]) -> str:
    """Join as in a sentence: "a, b and c"."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else str(last)


def _explanation(table: pd.DataFrame) -> str:
    own = table[table["whose"] == "P-Conv"].sort_values("delta_psnr")
    first, second = own.iloc[:2].itertuples()
    return (
        f"Of the {len(own)} departures of P-Conv's training that were switched on alone at demo "
        f'scale, "{first.deviation}" costs most, {change(first)}, then "{second.deviation}", '
        f"{change(second)}, over {first.seeds} random seeds."
    )


def change(row: pd.Series) -> str:
    """A departure's difference in PSNR with its 95 % interval."""
    return f"{row.delta_psnr:+.2f} ± {row.reach_psnr:.2f} dB"


def _replica(table: pd.DataFrame) -> str:
    faithful = table.iloc[0]
    on_comp, as_seed = table[table["whose"] == "all"].itertuples()
    measured = table[table["whose"] == "measure"].iloc[-1]
    return (
        f"All of them together land at {on_comp.psnr:.2f} dB, {change(on_comp)} from the mean of "
        f"the faithful runs, {faithful['psnr']:.2f} dB; measured as P-Conv does, on I_out with "
        f"batch statistics, at {as_seed.psnr:.2f} dB, and that measure alone changes the faithful "
        f"run by {measured['delta_psnr']:+.2f} dB; P-Conv reported {_published('PConv'):.2f} "
        "dB on one other photograph."
    )
