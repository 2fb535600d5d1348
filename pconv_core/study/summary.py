"""The study in a few sentences, every number of them read from the committed tables."""

from pathlib import Path

import pandas as pd

from pconv_core import evaluation
from pconv_core.study import found as tell
from pconv_core.study import verdicts
from pconv_core.study.found import Found, listed, with_interval
from pconv_core.study.tables import CLASSICAL, SHIPPED, published


def sentences(reference: Path) -> list[str]:
    """Say what the study found.

    Returns
    -------
    list of str
        A sentence or two each: what the mask is worth; the traditional U-Net; the classical
        methods; stages and sizes; the shipped weights; the paper; P-Conv's departures; its replica.

    Raises
    ------
    FileNotFoundError
        If a table is missing.
    """
    deviations = pd.read_csv(reference / "demo" / "tables" / "08_deviations.csv")
    found = Found(reference)
    bins, differences = (
        pd.read_csv(reference / "shipped" / "tables" / f"{name}.csv")
        for name in ("bins", "differences")
    )
    return [
        _mask(found),
        _traditional(found),
        _classical(found),
        _schedule(found),
        _shipped(differences),
        _paper(bins),
        _explanation(deviations),
        _replica(deviations),
    ]


def answer(reference: Path) -> str:
    """Answer the study's question in a few sentences, from the tables that `sentences` reads."""
    found = Found(reference)
    mask, overall = found.against(found.conv), found.overall
    verb = {
        "better": "helps",
        "worse": "harms",
        "not told apart": "changes nothing that can be told from chance",
    }[tell.side(mask)]
    best = overall.loc[list(CLASSICAL), "psnr"]
    gap = overall.loc[found.ours, "psnr"] - best.max()
    reported = _published("PConv") - _published("U-Net")
    return (
        f"Knowing the mask {verb}: {with_interval(mask)} on photographs, against the same network "
        f"with plain convolutions; {with_interval(found.against(found.unet))} against a "
        f"traditional U-Net, where P-Conv reported {reported:+.2f} dB, on a picture of which 99 % "
        f"was never missing. With {int(overall.loc[found.ours, 'samples']):,} samples a training "
        f"it reaches {overall.loc[found.ours, 'psnr']:.2f} dB, {abs(gap):.2f} dB "
        f"{'above' if gap > 0 else 'below'} the best method that learns nothing ({best.idxmax()}), "
        f"while the weights that come along reach {overall.loc[SHIPPED, 'psnr']:.2f} dB."
    )


def _published(model: str) -> float:
    """PSNR that P-Conv reports for a model, in dB."""
    rows = published().query("source == 'P-Conv' and model == @model")
    return rows["psnr_db"].iloc[0]


def _mask(found: Found) -> str:
    overall = found.overall
    row, network = found.against(found.conv), overall.loc[found.ours]
    return (
        f"On BSDS500's test photographs at {found.size} pixels, hole ratios up to 0.5, the partial "
        f"U-Net reaches {network['psnr']:.2f} dB. Against itself with plain convolutions: "
        f"{tell.measured(found, found.conv)} (95 % over {row['random_seeds']} random seeds and "
        f"{row['pictures']} pictures; features of a {network['features']}; a lower Lite0 distance "
        "is better)."
    )


def _traditional(found: Found) -> str:
    return (
        f"Against a traditional U-Net ({found.overall.loc[found.unet, 'psnr']:.2f} dB): "
        f"{tell.measured(found, found.unet)}."
    )


def _classical(found: Found) -> str:
    parts = []
    for other in CLASSICAL:
        where = tell.in_bins(found.by_bin(other))
        parts.append(
            f"{other} ({found.overall.loc[other, 'psnr']:.2f} dB) "
            f"{with_interval(found.against(other))}, {where}"
        )
    nearer = [o for o in CLASSICAL if tell.side(found.against(o, "lite0"), "lite0") == "better"]
    return (
        f"Against the methods that learn nothing: {'; '.join(parts)}. Its Lite0 distance is lower "
        f"than that of {listed(nearer) if nearer else 'none of them'}."
    )


def _schedule(found: Found) -> str:
    stages = [found.stage(found.ours, name) for name in ("stage2", "finetune")]
    sizes = [with_interval(found.smaller(at)) for at in (found.small_size, found.size)]
    return (
        f"Stage 2, its style weight and rate and samples together, changes it by "
        f"{with_interval(stages[0])}, fine-tuning by {with_interval(stages[1])}; trained at "
        f"{found.small_size} instead of {found.size} pixels it differs by {sizes[0]} at "
        f"{found.small_size} and {sizes[1]} at {found.size}."
    )


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
            f"{with_interval(row)} and a Lite0 distance of {farther['mean']:+.3f} at {size} pixels "
            f"({other})"
        )
    return (
        "The weights that come along, a plain network that adds to a smooth continuation, differ "
        f"from the best classical method by {listed(parts)}."
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


def _explanation(table: pd.DataFrame) -> str:
    own = verdicts.judged(table[table["whose"] == "P-Conv"]).sort_values("delta_psnr")
    parts = []
    for verdict, words in (
        (verdicts.COSTS, "cost PSNR"),
        (verdicts.GAINS, "gain"),
        (verdicts.NO_LOSS, "had no finite loss"),
    ):
        rows = [row for row in own.itertuples() if row.verdict == verdict]
        if rows:
            named = "; ".join(f'"{row.deviation}"{_size(row)}' for row in rows)
            parts.append(f"{words} ({len(rows)}): {named}")
    if undecided := (own["verdict"] == verdicts.UNDECIDED).sum():
        parts.append(f"cannot be told from chance ({undecided})")
    return (
        f"Of the {len(own)} departures of P-Conv's training, each switched on alone at 64 pixels, "
        f"with {table['seeds'].iloc[0]} random seeds and features of a {own['features'].iloc[0]}, "
        f"these {listed(parts)}."
    )


def _size(row) -> str:
    """A departure's difference, which one that had no finite loss has not."""
    if row.verdict == verdicts.NO_LOSS:
        return ""
    return f" {verdicts.change(row.delta_psnr, row.reach_psnr)}"


def _replica(table: pd.DataFrame) -> str:
    faithful = table.iloc[0]
    on_comp, as_seed = verdicts.judged(table[table["whose"] == "all"]).itertuples()
    measured = table[table["whose"] == "measure"].iloc[-1]
    theirs = f"P-Conv reported {_published('PConv'):.2f} dB on one other photograph"
    if on_comp.verdict == verdicts.NO_LOSS:
        return f"All of them together had no finite loss in any random seed; {theirs}."
    chance = ", not told from chance" if on_comp.verdict == verdicts.UNDECIDED else ""
    return (
        f"All of them together land at {on_comp.psnr:.2f} dB,{_size(on_comp)} from the faithful "
        f"runs, {faithful['psnr']:.2f} dB{chance}; measured as P-Conv does, on I_out with "
        f"batch statistics, at {as_seed.psnr:.2f} dB, and that measure alone changes the faithful "
        f"run by {measured['delta_psnr']:+.2f} dB; {theirs}."
    )
