"""What the departures cost, in words: verdicts by their intervals, and what became of older ones.

A departure costs, or gains, only where its whole interval lies on one side of 0.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from pconv_core.study import deviation_runs, disc
from pconv_core.study.deviations import DEVIATIONS, FAITHFUL
from pconv_core.study.tables import published_by_pconv

COSTS, GAINS, UNDECIDED, NO_LOSS = "costs", "gains", "undecided", "no finite loss"
STANDS, CONTRADICTED = "stands", "contradicted"
NEWLY, NO_LONGER = "newly told", "no longer told"
DIVERGES, CONVERGES = "no finite loss now", "a finite loss now"
NOT_OLDER, NOT_NEWER = "not in the older run", "not in the newer run"

# On P-Conv's test case: which pixels a measure of `disc` is of.
PLACES = {
    "disc_comp": "I_comp",
    "disc_out": "I_out",
    "disc_hole": "in the disc",
    "disc_known": "outside it",
}
LEARNED, OF_BATCH = "as learned", "of the batch"
_OWN, _REPLICA = "faithful", "replica"
# What is told of a network there: in words, state of the batch norm, and measure.
_READINGS = (
    ("on I_comp", LEARNED, "I_comp"),
    ("on I_out", LEARNED, "I_out"),
    ("on I_out with statistics of the batch", OF_BATCH, "I_out"),
    ("in the disc itself", LEARNED, "in the disc"),
)
_GROUPS = {"P-Conv": "Departures of P-Conv's training", "other": "Other changes"}


def verdict(delta: float, reach: float, seeds: int) -> str:
    """Say what a departure does to PSNR, by its 95 % interval.

    Parameters
    ----------
    delta, reach : float
        Mean difference to the faithful run in dB, and half the width of its interval, which is NaN
        with too few random seeds.
    seeds : int
        Random seeds at which it and the faithful run could be measured.

    Returns
    -------
    {"costs", "gains", "undecided", "no finite loss"}
        The last where the loss was no number in every random seed, so that nothing was measured.
    """
    if seeds == 0:
        return NO_LOSS
    return COSTS if delta + reach < 0 else GAINS if delta - reach > 0 else UNDECIDED


def committed(reference: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the committed run below results/reference: `deviation_runs.by_deviation`, `on_disc`."""
    runs = pd.read_csv(reference / "deviations" / "tables" / "runs.csv")
    return deviation_runs.by_deviation(runs), on_disc(runs)


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """Add the column `verdict` to a table of `deviation_runs.by_deviation`."""
    triples = table[["delta_psnr", "reach_psnr", "seeds"]].itertuples(index=False)
    return table.assign(verdict=[verdict(*triple) for triple in triples])


def of_row(row) -> str:
    """The verdict of a row of `deviation_runs.by_deviation`."""
    return verdict(row.delta_psnr, row.reach_psnr, row.seeds)


def replica_rows(table: pd.DataFrame) -> tuple:
    """The replica in `deviation_runs.by_deviation`: on I_comp, and measured as P-Conv does."""
    on_comp, as_it_does = (row for _, row in table[table["whose"] == "all"].iterrows())
    return on_comp, as_it_does


def measured_alike(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of such a table that differ in training alone: all is measured on I_comp."""
    otherwise = [d.name for d in DEVIATIONS if d.on_out]
    return table[~table["deviation"].isin(otherwise)]


def measure_rows(table: pd.DataFrame) -> tuple:
    """The faithful network in the same table: measured on I_out, and just as P-Conv does."""
    rows = table[table["whose"] == "measure"]
    return rows.iloc[0], rows.iloc[-1]


def fate(older: str, newer: str) -> str:
    """Say what became of a verdict, "" being that of a departure which a run did not have."""
    if not older:
        return NOT_OLDER
    if not newer:
        return NOT_NEWER
    if older == newer:
        return older if older in (UNDECIDED, NO_LOSS) else STANDS
    if NO_LOSS in (older, newer):
        return DIVERGES if newer == NO_LOSS else CONVERGES
    return {older: NEWLY, newer: NO_LONGER}.get(UNDECIDED, CONTRADICTED)


def compare(older_runs: pd.DataFrame, newer_runs: pd.DataFrame) -> pd.DataFrame:
    """Judge every departure in two runs.

    Parameters
    ----------
    older_runs, newer_runs : DataFrame
        As `deviation_runs.runs` makes them.

    Returns
    -------
    DataFrame
        A row a departure in either run: deviation, whose, older_delta and older_reach in dB,
        older_seeds, older (its verdict, "" if the run did not have it), the same for the newer, and
        became: "stands" (it costs, or gains, in both), "undecided" or "no finite loss" (in both),
        "contradicted" (it costs in one and gains in the other), "newly told" (it was undecided),
        "no longer told" (it is undecided now), "no finite loss now", "a finite loss now", "not in
        the older run" or "not in the newer run".
    """
    tables = {
        "older": judged(deviation_runs.by_deviation(older_runs)).set_index("deviation"),
        "newer": judged(deviation_runs.by_deviation(newer_runs)).set_index("deviation"),
    }
    names = dict.fromkeys([*tables["newer"].index, *tables["older"].index])
    names = [name for name in names if name != FAITHFUL.name]
    whose = {d.name: d.whose for d in DEVIATIONS}
    found = pd.DataFrame({"deviation": names, "whose": [whose.get(n, "") for n in names]})
    for run, table in tables.items():
        rows = table.reindex(names)
        found[f"{run}_delta"] = rows["delta_psnr"].to_numpy()
        found[f"{run}_reach"] = rows["reach_psnr"].to_numpy()
        found[f"{run}_seeds"] = rows["seeds"].astype("Int64").to_numpy()
        found[run] = rows["verdict"].fillna("").to_numpy()
    pairs = zip(found["older"], found["newer"], strict=True)
    return found.assign(became=[fate(*pair) for pair in pairs])


def on_disc(runs: pd.DataFrame) -> pd.DataFrame:
    """Means over the random seeds on P-Conv's test case, of the faithful network and the replica.

    Parameters
    ----------
    runs : DataFrame
        As `deviation_runs.runs` makes them; measures of `disc` that it lacks are left out.

    Returns
    -------
    DataFrame
        A row a network ("faithful" or "replica"), batch_norm ("as learned", or "of the batch" as
        P-Conv measures) and measure (of `PLACES`): seeds, psnr in dB, within (half width of its
        95 % interval), delta_psnr and reach_psnr: the difference to the faithful network, batch
        norm as learned, of the same random seed, in the same place.  I_out is compared with its
        I_comp, as in `deviation_runs.by_deviation`.
    """
    rows = []
    by_name = {name: part.set_index("seed") for name, part in runs.groupby("deviation")}
    # Empty where the runs lack the measure.
    faithful = by_name[FAITHFUL.name].dropna(subset="psnr").reindex(columns=list(PLACES))
    for (network, norm), name in _fills().items():
        for measure, place in PLACES.items():
            if name not in by_name or measure not in runs or runs[measure].isna().all():
                continue
            psnr = by_name[name][measure].reindex(faithful.index)
            base = faithful["disc_comp" if measure == "disc_out" else measure]
            both = pd.DataFrame({"psnr": psnr, "delta": psnr - base})
            (mean, delta), (within, reach) = both.mean(), deviation_runs.reach(both)
            rows.append((network, norm, place, psnr.count(), mean, within, delta, reach))
    columns = ["network", "batch_norm", "measure", "seeds", "psnr", "within"]
    return pd.DataFrame(rows, columns=[*columns, "delta_psnr", "reach_psnr"])


def _fills() -> dict[tuple[str, str], str]:
    """Deviation that fills with a network and a state of its batch norm."""
    found = {}
    for d in DEVIATIONS:
        if d.whose in ("", "measure", "all"):
            network = _REPLICA if d.whose == "all" else _OWN
            found.setdefault((network, OF_BATCH if d.batch_statistics else LEARNED), d.name)
    return found


def of_run(runs: pd.DataFrame) -> str:
    """Say in a line or two what a run was, and whose loss was no number."""
    leaders = [DEVIATIONS[group[0]].name for group in deviation_runs.networks()]
    trainings = runs[runs["deviation"].isin(leaders)]
    first, seeds = runs.iloc[0], runs["seed"].nunique()
    facts = [f"{trainings['deviation'].nunique()} ways to train, {_seeds(seeds)} each"]
    if "samples" in runs:
        facts.append(f"{first['samples']:,} samples a training, features of a {first['features']}")
    if "hardware" in runs:
        names = " and ".join(trainings["hardware"].dropna().unique())
        facts.append(f"{trainings['minutes'].sum() / 60:.1f} hours added up on {names}")
    lost = trainings[trainings["note"].notna() & (trainings["note"] != "")]
    parts = [
        f"{name} (random seed {', '.join(map(str, rows['seed']))})"
        for name, rows in lost.groupby("deviation", sort=False)
    ]
    return f"{'; '.join(facts)}\nloss no longer a number: {'; '.join(parts) or 'none'}"


def of_all(table: pd.DataFrame) -> str:
    """Say which departures cost, gain, or cannot be told, each with its size; the dearest first.

    Parameters
    ----------
    table : DataFrame
        As `deviation_runs.by_deviation` makes it.
    """
    lines, table = [], judged(table)
    most = int(table["seeds"].iloc[0])
    for whose, title in _GROUPS.items():
        rows = table[table["whose"] == whose].sort_values("delta_psnr")
        if len(rows):
            lines.append(f"{title}, each alone ({len(rows)})")
            lines += _by_verdict(rows, most)
    return "\n".join(lines)


def _by_verdict(rows: pd.DataFrame, most: int) -> Iterator[str]:
    for which, words in (
        (COSTS, "cost PSNR"),
        (GAINS, "gain"),
        (UNDECIDED, "cannot be told from chance"),
        (NO_LOSS, "had no finite loss in any random seed"),
    ):
        chosen = rows[rows["verdict"] == which]
        parts = [
            row["deviation"] if which == NO_LOSS else f"{row['deviation']}: {sized(row, most)}"
            for _, row in chosen.iterrows()
        ]
        yield f"- {words} ({len(parts)}): {'; '.join(parts) or 'none'}"


def sized(row, most: int) -> str:
    """A row's difference to the faithful run, and of how many random seeds, if not of all."""
    return f"{change(row.delta_psnr, row.reach_psnr)}{fewer(row.seeds, most)}"


def fewer(seeds: int, most: int) -> str:
    """Say of how many random seeds a difference is, if not of all."""
    return f", a finite loss at {seeds} of {_seeds(most)}" if seeds < most else ""


def _seeds(count: int) -> str:
    return f"{count} random seed{'' if count == 1 else 's'}"


def change(delta: float, reach: float) -> str:
    """Write a difference with its interval: "-1.47 ± 0.42 dB"."""
    if np.isnan(delta):
        return "not compared"
    if np.isnan(reach):
        return f"{delta:+.2f} dB (no interval)"
    # A third decimal where two do not show on which side of 0 the interval lies.
    told = abs(delta) > reach
    digits = 2 if (round(abs(delta), 2) > round(reach, 2)) == told else 3
    return f"{delta:+.{digits}f} ± {reach:.{digits}f} dB"


def of_patterns(table: pd.DataFrame, name: str) -> str:
    """Say what a departure does to patterns in the holes, and whether it makes them for sure.

    Parameters
    ----------
    table : DataFrame
        As `deviation_runs.by_deviation` makes it.
    name : str
        Of the departure.
    """
    row, most = table.set_index("deviation").loc[name], int(table["seeds"].iloc[0])
    if row["seeds"] == 0:
        return f"{name}: {NO_LOSS} at any random seed"
    lines = []
    for measure, unit in (("peak", " dB"), ("excess", " dB"), ("psnr", " dB"), ("ssim", "")):
        delta, reach = row[f"delta_{measure}"], row[f"reach_{measure}"]
        within = "(no interval)" if np.isnan(reach) else f"± {reach:.3f}"
        lines.append(f"{measure}: {delta:+.3f} {within}{unit}")
    # A higher peak is a pattern that stands out more.
    found = verdict(row["delta_peak"], row["reach_peak"], row["seeds"])
    words = {
        GAINS: "stand out more",
        COSTS: "stand out less",
        UNDECIDED: "cannot be told from the faithful run's",
    }[found]
    patterns = f"{name}: patterns that repeat {words}{fewer(row['seeds'], most)}"
    return "\n".join([*lines, patterns])


def of_fates(comparison: pd.DataFrame) -> str:
    """Say which verdicts of an older run the newer one contradicts, first tells, tells no more.

    Parameters
    ----------
    comparison : DataFrame
        As `compare` makes it.
    """
    words = {STANDS: "cost in both runs, or gain in both", UNDECIDED: "undecided in both"}
    words[NO_LOSS] = "no finite loss in both"
    lines = [
        "; ".join(f"{said} ({(comparison['became'] == it).sum()})" for it, said in words.items())
    ]
    for which in (CONTRADICTED, NEWLY, NO_LONGER, DIVERGES, CONVERGES):
        chosen = comparison[comparison["became"] == which]
        parts = [
            f"{row['deviation']} (then {_told(row, 'older', comparison)}; "
            f"now {_told(row, 'newer', comparison)})"
            for _, row in chosen.iterrows()
        ]
        lines.append(f"{which}: {'; '.join(parts) or 'none'}")
    return "\n".join(lines)


def _told(row: pd.Series, run: str, comparison: pd.DataFrame) -> str:
    """A verdict of one of the two runs, with its size."""
    if row[run] == NO_LOSS:
        return NO_LOSS
    size = change(row[f"{run}_delta"], row[f"{run}_reach"])
    seeds = f"{run}_seeds"
    return f"{row[run]}, {size}{fewer(row[seeds], comparison[seeds].max())}"


def of_replica(table: pd.DataFrame, case: pd.DataFrame) -> str:
    """Say where P-Conv's replica lands, and what of its distance is measure and what training.

    Parameters
    ----------
    table : DataFrame
        As `deviation_runs.by_deviation` makes it.
    case : DataFrame
        As `on_disc` makes it; what it lacks is left out.
    """
    rows = judged(table)
    theirs = f"P-Conv published {published_by_pconv('PConv'):.2f} dB, of one other photograph."
    (on_comp, as_it_does), (_, measured) = replica_rows(rows), measure_rows(rows)
    if on_comp["verdict"] == NO_LOSS:
        lines = [
            "The replica, all of P-Conv's departures at once, had no finite loss in any random "
            "seed: nothing of it was measured.",
            "On the faithful network P-Conv's measure (I_out, statistics of the batch) changes "
            f"PSNR by {_size(measured)}.",
        ]
    else:
        lines = _replica_lines(rows.iloc[0], measured, on_comp, as_it_does)
        if "excess" in rows:
            lines.append(_noise(rows.iloc[0], on_comp, as_it_does))
        most = rows["seeds"].iloc[0]
        if on_comp["seeds"] < most:
            lines.append(
                f"It had a finite loss at {on_comp['seeds']} of {_seeds(most)}; its means, and the "
                "differences, are over these."
            )
    return "\n".join([*lines, *_disc_lines(case), theirs])


def _replica_lines(
    faithful: pd.Series, measured: pd.Series, on_comp: pd.Series, as_it_does: pd.Series
) -> list[str]:
    return [
        "The replica, all of P-Conv's departures at once, measured as P-Conv does (I_out, "
        f"statistics of the batch), reaches {as_it_does['psnr']:.2f} dB, the faithful run on "
        f"I_comp {faithful['psnr']:.2f} dB: {_size(as_it_does)}.",
        _taken_apart(measured, on_comp, as_it_does),
        f"On I_comp the replica {_beside(on_comp)}.",
    ]


def _noise(faithful: pd.Series, on_comp: pd.Series, as_it_does: pd.Series) -> str:
    """Say whether the replica's holes are noisy or blurred."""
    return (
        "Energy of fine detail in the holes over the ground truth's (below 0 is blur, above 0 "
        f"noise): {on_comp['excess']:+.1f} dB of the replica, {as_it_does['excess']:+.1f} dB with "
        f"statistics of the batch, {faithful['excess']:+.1f} dB of the faithful run."
    )


def _taken_apart(measured: pd.Series, training: pd.Series, total: pd.Series) -> str:
    """Parts of a distance, what is left of it, and which has the larger effect, if that is sure."""
    text = (
        f"The measure alone, on the faithful network, changes PSNR by {_size(measured)}; the "
        f"training alone, the replica on I_comp, by {_size(training)}"
    )
    if measured["seeds"] == training["seeds"] == total["seeds"]:
        rest = total["delta_psnr"] - measured["delta_psnr"] - training["delta_psnr"]
        text += f"; {rest:+.2f} dB come of both together"
    for larger, other, name in (
        (measured, training, "measure"),
        (training, measured, "training"),
    ):
        least = abs(larger["delta_psnr"]) - larger["reach_psnr"]
        if least > abs(other["delta_psnr"]) + other["reach_psnr"]:
            text += f". The {name} has the larger effect, whichever ends of the intervals are taken"
    return f"{text}."


def _size(row: pd.Series) -> str:
    return change(row["delta_psnr"], row["reach_psnr"])


def _beside(row: pd.Series) -> str:
    """What a network is beside the faithful run."""
    found = verdict(row["delta_psnr"], row["reach_psnr"], row["seeds"])
    sides = {COSTS: "below", GAINS: "above"}
    if found not in sides:
        return "cannot be told from the faithful run"
    return f"lies {sides[found]} the faithful run, as does its whole 95 % interval"


def _disc_lines(case: pd.DataFrame) -> list[str]:
    """What there is of P-Conv's test case."""
    rows, lines = _by_fill(case), []
    for network, named in ((_OWN, "the faithful network"), (_REPLICA, "the replica")):
        parts = [
            f"{_mean(rows.loc[(network, *key)])} {words}"
            for words, *key in _READINGS
            if (network, *key) in rows.index
        ]
        if parts:
            lines.append(f"- {named}: {', '.join(parts)}")
    if lines:
        lines.insert(
            0,
            f"On discs like P-Conv's test case, {disc.SHARE:.2%} of pictures of {disc.SIZE} pixels",
        )
    return [*lines, *_disc_apart(rows)]


def where_it_landed(case: pd.DataFrame) -> str:
    """Say where the replica lands on P-Conv's kind of test case, measured as P-Conv does.

    Parameters
    ----------
    case : DataFrame
        As `on_disc` makes it; the sentence is empty where it lacks the replica.
    """
    rows = _by_fill(case)
    replica, own, as_learned = (
        (_REPLICA, OF_BATCH, "I_out"),
        (_OWN, OF_BATCH, "I_out"),
        (_OWN, LEARNED, "I_comp"),
    )
    if not {replica, own, as_learned} <= set(rows.index):
        return ""
    replica, own, as_learned = (_mean(rows.loc[key]) for key in (replica, own, as_learned))
    return (
        f"On discs of {disc.SHARE:.2%} of a picture, like its test case, P-Conv's measure gives "
        f"the replica {replica} and the faithful runs {own}; with batch norm as learned and the "
        f"known pixels put back these have {as_learned}."
    )


def _by_fill(case: pd.DataFrame) -> pd.DataFrame:
    """Rows of `on_disc` of which something could be measured, by network, norm and measure."""
    return case[case["seeds"] > 0].set_index(["network", "batch_norm", "measure"])


def _disc_apart(rows: pd.DataFrame) -> list[str]:
    """The same distance as in the whole picture, from the faithful network on I_comp."""
    measured, training, total = (
        (_OWN, OF_BATCH, "I_out"),
        (_REPLICA, LEARNED, "I_comp"),
        (_REPLICA, OF_BATCH, "I_out"),
    )
    if not {measured, training, total} <= set(rows.index):
        return []
    measured, training, total = (rows.loc[key] for key in (measured, training, total))
    return [
        "There the replica, measured as P-Conv does, differs from the faithful run on I_comp by "
        f"{_size(total)}. {_taken_apart(measured, training, total)}",
        f"There, on I_comp, the replica {_beside(training)}.",
    ]


def _mean(row: pd.Series) -> str:
    within = "" if np.isnan(row["within"]) else f" ± {row['within']:.2f}"
    return f"{row['psnr']:.2f}{within} dB"
