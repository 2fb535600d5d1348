"""The study in a few sentences, every number of them read from the committed tables."""

from pathlib import Path

import pandas as pd

from pconv_core import evaluation
from pconv_core.study import found as tell
from pconv_core.study import verdicts
from pconv_core.study.found import Found, listed, with_interval
from pconv_core.study.run import STAGES
from pconv_core.study.tables import CLASSICAL, SHIPPED, published, published_by_pconv


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
    deviations, _ = verdicts.committed(reference)
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


def answer(reference: Path) -> list[str]:
    """Answer the study's questions in a few sentences each, in Markdown.

    Returns
    -------
    list of str
        What the mask is worth; the traditional U-Net; methods that learn nothing; why P-Conv's
        figure is low.  From the tables that `sentences` reads.
    """
    found = Found(reference)
    return [
        _worth(found),
        _beside_unet(found),
        _beside_classical(found),
        _why(*verdicts.committed(reference)),
    ]


def _worth(found: Found) -> str:
    psnr, lite0 = (found.against(found.conv, measure) for measure in ("psnr", "lite0"))
    said = {tell.BETTER: "Yes", tell.WORSE: "No", tell.UNTOLD: "It cannot be told"}
    return (
        f"**Does knowing the mask help? {said[tell.side(psnr)]}.** Beside the same U-Net with "
        "plain convolutions, which never sees the mask, the partial one has "
        f"{with_interval(psnr)} on photographs; {_distance(lite0)}. That is what mask and layer do "
        "together: a plain network with the mask as an input was not trained."
    )


def _distance(row: pd.Series) -> str:
    """A Lite0 distance beside another, in words."""
    words = {
        tell.BETTER: "the perceptual distance (Lite0) is lower, which is better",
        tell.WORSE: "the perceptual distance (Lite0) is higher, which is worse",
        tell.UNTOLD: "the perceptual distance (Lite0) cannot be told apart",
    }
    return words[tell.side(row, "lite0")]


def _beside_unet(found: Found) -> str:
    reported = published_by_pconv("PConv") - published_by_pconv("U-Net")
    psnr, ssim, lite0 = (found.against(found.unet, measure) for measure in tell.TOLD)
    before = tell.told(found.after(STAGES[1], found.unet))
    return (
        "**Beside a traditional U-Net** (3x3 kernels, max pooling, no mask) it has "
        f"{tell.told(psnr)}; {tell.told(ssim, 'ssim')}; {_distance(lite0)}. Before fine-tuning it "
        f"has {before}. P-Conv reported {reported:+.2f} dB, of the raw output on a picture of "
        "which 99 % was known; of the raw output on such pictures ours has "
        f"{_disc_lead(found)['disc_out']:+.2f} dB."
    )


def _disc_lead(found: Found) -> pd.Series:
    """The partial U-Net less the traditional one on P-Conv's kind of test case."""
    discs = found.table("disc").set_index("model")
    return discs.loc[found.ours] - discs.loc[found.unet]


def _beside_classical(found: Found) -> str:
    overall = found.overall
    best = overall.loc[list(CLASSICAL), "psnr"].idxmax()
    row = found.against(best)
    where = {
        tell.BETTER: "lies above",
        tell.WORSE: "lies below",
        tell.UNTOLD: "cannot be told from",
    }[tell.side(row)]
    return (
        f"**Beside methods that learn nothing** it {where} the best classical one, {best}, after "
        f"{overall.loc[found.ours, 'samples']:,} samples: {with_interval(row)}. The weights that "
        "come with the project, which are no network of partial convolutions, have "
        f"{with_interval(found.shipped_against(best))} beside {best}: "
        f"{tell.in_bins(found.shipped_by_bin(best))}."
    )


def _why(deviations: pd.DataFrame, case: pd.DataFrame) -> str:
    """Why P-Conv's figure is low: what its measure changes, and what its training."""
    training, _ = verdicts.replica_rows(deviations)
    raw, measure = verdicts.measure_rows(deviations)
    most, landed = deviations["seeds"].iloc[0], verdicts.where_it_landed(case)
    if training.seeds == 0:
        trained = "Training as P-Conv does had no finite loss at any random seed."
    else:
        trained = (
            "Training as P-Conv does, scored on the composite, changes it by "
            f"{_with_chance(training, most)}."
        )
    text = (
        "**Why P-Conv's figure is low.** Of networks trained for a short time at 64 pixels, holes "
        "up to half of the picture: scoring a faithful one as P-Conv does changes its PSNR by "
        f"{_with_chance(measure, most)}. The raw output alone changes it by "
        f"{_with_chance(raw, most)}, the rest is batch norm with the statistics of one picture "
        f"stacked twice. {trained}"
    )
    theirs = f"P-Conv reported {published_by_pconv('PConv'):.2f} dB, of one other photograph."
    return f"{text} {landed} {theirs}" if landed else f"{text} {theirs}"


def _with_chance(row: pd.Series, most: int) -> str:
    """A difference to the faithful run, and whether it may be chance."""
    chance = " (not told from chance)" if verdicts.of_row(row) == verdicts.UNDECIDED else ""
    return f"{verdicts.sized(row, most)}{chance}"


def _mask(found: Found) -> str:
    row, network = found.against(found.conv), found.overall.loc[found.ours]
    return (
        f"On BSDS500's test photographs at {found.size} pixels, hole ratios up to 0.5, the partial "
        f"U-Net reaches {network['psnr']:.2f} dB. Beside itself with plain convolutions it has "
        f"{tell.measured(found, found.conv)} (95 % over {row['random_seeds']} random seeds and "
        f"{row['pictures']} crops of {network['photographs']} photographs; features of a "
        f"{network['features']}; a lower Lite0 distance is better)."
    )


def _traditional(found: Found) -> str:
    lead = _disc_lead(found)
    return (
        f"Beside a traditional U-Net ({found.overall.loc[found.unet, 'psnr']:.2f} dB) the "
        f"partial U-Net has {tell.measured(found, found.unet)}. {_by_stage(found)} On discs like "
        f"P-Conv's test case it has {lead['disc_out']:+.2f} dB of the raw output, which P-Conv "
        f"measures, and {lead['disc_hole']:+.2f} dB in the disc (means, no interval)."
    )


def _by_stage(found: Found) -> str:
    first, second = (found.after(stage, found.unet) for stage in STAGES[:2])
    last = found.stage(found.unet, STAGES[-1])
    return (
        f"After stage 1 it has {with_interval(first)}, after stage 2 {with_interval(second)}; "
        f"fine-tuning changes the traditional one by {with_interval(last)}."
    )


def _classical(found: Found) -> str:
    names, parts = (*CLASSICAL, "continuation"), []
    for other in names:
        where = tell.in_bins(found.by_bin(other))
        parts.append(
            f"{with_interval(found.against(other))} beside {other} "
            f"({found.overall.loc[other, 'psnr']:.2f} dB), {where}"
        )
    sides = {other: tell.side(found.against(other, "lite0"), "lite0") for other in names}
    nearer = [other for other, side in sides.items() if side == tell.WORSE]
    return (
        "The partial U-Net against methods that learn nothing, the last of them this project's "
        f"own: {'; '.join(parts)}. By Lite0 distance better than it: "
        f"{listed(nearer) if nearer else 'none of them'}."
    )


def _schedule(found: Found) -> str:
    stages = [
        " and Lite0 distance ".join(
            with_interval(found.stage(found.ours, name, measure), measure)
            for measure in ("psnr", "lite0")
        )
        for name in ("stage2", "finetune")
    ]
    sizes = [with_interval(found.smaller(at)) for at in (found.small_size, found.size)]
    return (
        "Stage 2, its style weight, learning rate and samples together, changes the partial U-Net "
        f"by {stages[0]}, fine-tuning by {stages[1]}. Trained at {found.small_size} instead of "
        f"{found.size} pixels it has {sizes[0]} at {found.small_size} and {sizes[1]} at "
        f"{found.size}."
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
        gain = with_interval(by["psnr"].loc[f"{SHIPPED} - continuation"])
        parts.append(
            f"at {size} pixels ({row['pictures']} crops) by {with_interval(row)} and a Lite0 "
            f"distance of {farther['mean']:+.3f} ({other}), from the continuation by {gain}"
        )
    return (
        "The shipped weights, a plain network that adds to a smooth continuation, differ from the "
        f"best classical method, on crops of their own, {'; '.join(parts)}."
    )


def _paper(bins: pd.DataFrame) -> str:
    paper = published().query("source.str.startswith('paper')")
    paper = paper.set_index("hole_ratio")["psnr_db"]
    size = bins["size"].max()
    own = bins[(bins["size"] == size) & bins["border"] & (bins["model"] == SHIPPED)]
    crops = own["pictures"].iloc[0]
    own = own.set_index("hole_ratio")["psnr"]
    return (
        f"For scale only, {crops} crops a bin: at {size} pixels, with holes at the border, in the "
        f"bins {listed(paper.index)}, they reach "
        f"{listed(own[paper.index].map('{:.2f}'.format))} dB, the paper "
        f"{listed(paper.map('{:.2f}'.format))} dB on Places2 instead of BSDS500, whose "
        "photographs are enlarged for it."
    )


def _explanation(table: pd.DataFrame) -> str:
    own = verdicts.judged(table[table["whose"] == "P-Conv"]).sort_values("delta_psnr")
    most, parts = table["seeds"].iloc[0], []
    for verdict, words in (
        (verdicts.COSTS, "Costing PSNR"),
        (verdicts.GAINS, "Gaining"),
        (verdicts.UNDECIDED, "Not told from chance"),
        (verdicts.NO_LOSS, "Without a finite loss"),
    ):
        rows = [row for row in own.itertuples() if row.verdict == verdict]
        told = verdict in (verdicts.COSTS, verdicts.GAINS)
        named = (
            [f'"{r.deviation}" {verdicts.sized(r, most)}, {_lite0(r)}' for r in rows]
            if told
            else [f'"{r.deviation}"{_of_fewer(r, most)}' for r in rows]
        )
        if rows:
            parts.append(f"{words} ({len(rows)}): {'; '.join(named)}.")
    return (
        f"P-Conv's {len(own)} departures in training, each switched on alone at 64 pixels with "
        f"{most} random seeds (features of a {own['features'].iloc[0]}). {' '.join(parts)}"
    )


def _lite0(row) -> str:
    """What a departure does to the Lite0 distance, since blur alone may raise PSNR."""
    return f"Lite0 distance {row.delta_lite0:+.3f} ± {row.reach_lite0:.3f}"


def _of_fewer(row, most: int) -> str:
    """Say of a departure that is only named at how many random seeds it had a finite loss."""
    return verdicts.fewer(row.seeds, most) if row.seeds else ""


def _replica(table: pd.DataFrame) -> str:
    faithful, most = table.iloc[0], table["seeds"].iloc[0]
    on_comp, as_it_does = verdicts.replica_rows(table)
    theirs = f"P-Conv reported {published_by_pconv('PConv'):.2f} dB, of one other photograph"
    if on_comp.seeds == 0:
        return f"All of them together had no finite loss at any random seed; {theirs}."
    return (
        f"All of them together land at {on_comp.psnr:.2f} dB, the faithful runs at "
        f"{faithful['psnr']:.2f} dB: {_with_chance(on_comp, most)}. Measured as P-Conv does, they "
        f"land at {as_it_does.psnr:.2f} dB. That measure alone changes the faithful run by "
        f"{_with_chance(verdicts.measure_rows(table)[-1], most)}. {theirs}."
    )
