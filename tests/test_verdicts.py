"""Verdicts follow the intervals, and the sentences the verdicts."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from pconv_core.study import deviation_runs, disc, verdicts
from pconv_core.study.deviations import DEVIATIONS, FAITHFUL, REPLICA
from pconv_core.study.tables import published
from pconv_core.study.verdicts import COSTS, GAINS, NO_LOSS, UNDECIDED

MEASURED = "measured on I_out, batch statistics"
ON_COMP = "all of P-Conv's, measured on I_comp"
NAN = float("nan")
SHIFTS = (-0.1, 0.0, 0.1)  # of three random seeds around a mean
# Student's t with two degrees of freedom, from a printed table, times the standard error of SHIFTS.
REACH = 4.303 * 0.1 / 3**0.5


def rows_of(name, psnr, **others):
    """Three random seeds of a deviation: `psnr` and, if named, measures of the disc."""
    columns = {"psnr": psnr, **others}
    notes = ["the loss is nan at step 3" if np.isnan(value) else "" for value in psnr]
    frame = pd.DataFrame({"deviation": name, "seed": range(1, len(psnr) + 1), **columns})
    return frame.assign(ssim=0.8, note=notes)


def runs_of(deltas, base=(20.0, 21.0, 22.0)):
    """Runs of differences to the faithful run: a mean, or one a random seed."""
    parts = [rows_of(FAITHFUL.name, list(base))]
    for name, delta in deltas.items():
        each = [delta + shift for shift in SHIFTS] if np.isscalar(delta) else delta
        parts.append(rows_of(name, [b + d for b, d in zip(base, each, strict=True)]))
    return pd.concat(parts, ignore_index=True)


def table_of(deltas):
    return deviation_runs.by_deviation(runs_of(deltas))


def replica_runs(measured=-7.0, on_comp=-0.1, as_it_does=-9.0, alone=0.0):
    names = [d.name for d in DEVIATIONS if d.whose == "P-Conv"]
    deltas = dict.fromkeys(names, alone)
    return runs_of({**deltas, MEASURED: measured, ON_COMP: on_comp, REPLICA.name: as_it_does})


def with_disc(runs, numbers, measures=disc.MEASURES):
    """Add measures of the disc, each 100 k + the deviation's number, shifted by random seed."""
    shifts = dict(zip((1, 2, 3), SHIFTS, strict=True))
    runs = runs.copy()
    for k, measure in enumerate(measures):
        runs[measure] = [
            100 * k + numbers[name] + (shifts[seed] if name != FAITHFUL.name else 0)
            for name, seed in zip(runs["deviation"], runs["seed"], strict=True)
        ]
    return runs


def without_replica(runs):
    lost = runs["deviation"].isin([ON_COMP, REPLICA.name])
    return runs.assign(psnr=runs["psnr"].mask(lost), note=np.where(lost, "nan", ""))


@pytest.mark.parametrize(
    ("delta", "reach", "seeds", "expected"),
    [
        (-1.0, 0.9, 3, COSTS),
        (1.0, 0.9, 3, GAINS),
        (-1.0, 1.0, 3, UNDECIDED),
        (1.0, 1.1, 3, UNDECIDED),
        (-9.0, NAN, 1, UNDECIDED),
        (0.0, 0.0, 3, UNDECIDED),
        (NAN, NAN, 0, NO_LOSS),
        (NAN, NAN, 2, UNDECIDED),
    ],
)
def test_verdict(delta, reach, seeds, expected):
    assert verdicts.verdict(delta, reach, seeds) == expected


@given(st.lists(st.floats(-3, 3).map(lambda x: round(x, 3)), min_size=2, max_size=6))
def test_a_verdict_is_that_of_a_t_test(deltas):
    """Against scipy's, which knows nothing of our intervals."""
    assume(np.std(deltas) > 1e-3)
    p = stats.ttest_1samp(deltas, 0).pvalue
    assume(abs(p - 0.05) > 1e-6)
    side = COSTS if np.mean(deltas) < 0 else GAINS
    base = np.linspace(20, 22, len(deltas))
    rows = runs_of({"sigmoid output": deltas}, base.tolist())
    found = verdicts.judged(deviation_runs.by_deviation(rows))["verdict"]
    assert found.tolist() == [UNDECIDED, side if p < 0.05 else UNDECIDED]


def test_a_random_seed_without_a_finite_loss_is_left_out():
    rows = table_of({"a": [-2.0, -2.1, NAN], "b": [NAN, NAN, -9.0], "c": [NAN] * 3})
    found = verdicts.judged(rows).set_index("deviation")
    assert found["verdict"].tolist() == [UNDECIDED, COSTS, UNDECIDED, NO_LOSS]
    assert found.loc["a", "delta_psnr"] == pytest.approx(-2.05)
    assert found["seeds"].tolist() == [3, 2, 1, 0]


TOLD = (COSTS, GAINS, NO_LOSS)


@pytest.mark.parametrize("older", [*TOLD, UNDECIDED])
@pytest.mark.parametrize("newer", [*TOLD, UNDECIDED])
def test_what_becomes_of_a_verdict(older, newer):
    found = verdicts.fate(older, newer)
    if older == newer:
        assert found == (older if older in ("undecided", "no finite loss") else "stands")
    elif NO_LOSS in (older, newer):
        assert found == ("no finite loss now" if newer == NO_LOSS else "a finite loss now")
    elif older == UNDECIDED:
        assert found == "newly told"
    elif newer == UNDECIDED:
        assert found == "no longer told"
    else:
        assert found == "contradicted"


def test_what_becomes_of_a_departure_that_one_run_lacks():
    assert verdicts.fate("", COSTS) == "not in the older run"
    assert verdicts.fate(GAINS, "") == "not in the newer run"


@pytest.fixture
def comparison():
    older = runs_of({"a": -1.0, "b": -1.0, "c": 0.0, "d": 1.0, "e": 1.0, "gone": -1.0})
    newer = runs_of({"new": 1.0, "a": -2.0, "b": 1.0, "c": -1.0, "d": 0.0, "e": [NAN] * 3})
    return verdicts.compare(older, newer).set_index("deviation")


def test_runs_compared(comparison):
    assert comparison.index.tolist() == ["new", "a", "b", "c", "d", "e", "gone"]
    assert comparison["became"].to_dict() == {
        "new": "not in the older run",
        "a": "stands",
        "b": "contradicted",
        "c": "newly told",
        "d": "no longer told",
        "e": "no finite loss now",
        "gone": "not in the newer run",
    }
    assert comparison.loc["a", ["older_delta", "newer_delta"]].tolist() == pytest.approx([-1, -2])
    assert comparison.loc["b", "newer_reach"] == pytest.approx(REACH, rel=1e-3)
    assert comparison.loc["new", "older"] == ""
    assert comparison.loc["e", "newer"] == NO_LOSS


def test_it_is_said_what_became_of_the_earlier_run(comparison):
    text = verdicts.of_fates(comparison.reset_index())
    first, contradicted, newly, no_longer, diverges, converges = text.splitlines()
    assert first == (
        "cost in both runs, or gain in both (1); undecided in both (0); no finite loss in both (0)"
    )
    assert contradicted == (
        "contradicted: b (then costs, -1.00 ± 0.25 dB; now gains, +1.00 ± 0.25 dB)"
    )
    assert diverges == ("no finite loss now: e (then gains, +1.00 ± 0.25 dB; now no finite loss)")
    assert converges == "a finite loss now: none"
    assert newly.startswith("newly told: c (then undecided, +0.00 ± 0.25 dB; now costs, ")
    assert no_longer.startswith("no longer told: d (")


def test_a_verdict_of_fewer_random_seeds_says_so():
    older = runs_of({"a": -1.0, "b": 0.0})
    newer = runs_of({"a": [2.0, 2.001, NAN], "b": 0.0})
    text = verdicts.of_fates(verdicts.compare(older, newer))
    assert "then costs, -1.00 ± 0.25 dB; now gains, +2.00 ± 0.01 dB, a finite loss at 2 of" in text


def test_a_faithful_run_without_a_finite_loss():
    runs = runs_of({"a": -1.0}, base=(20.0, NAN, 22.0))
    runs.loc[(runs["deviation"] == "a") & (runs["seed"] == 2), "psnr"] = 19.0
    table = deviation_runs.by_deviation(runs)
    assert table["seeds"].tolist() == [2, 2]  # of the pairs
    assert table["psnr"].tolist() == pytest.approx([21, 20])
    assert table["delta_psnr"].tolist() == pytest.approx([0, -1])
    runs.loc[runs["deviation"] == FAITHFUL.name, "psnr"] = NAN
    with pytest.raises(ValueError, match="faithful has no finite loss at any random seed"):
        deviation_runs.by_deviation(runs)


@pytest.mark.parametrize(
    ("peaks", "told"),
    [
        ([1.0, 1.1, 0.9], "a: patterns that repeat stand out more"),
        ([-1.0, -1.1, -0.9], "a: patterns that repeat stand out less"),
        ([1.0, -1.1, 0.1], "a: patterns that repeat cannot be told from the faithful run's"),
        (
            [1.0, 1.001, NAN],
            "a: patterns that repeat stand out more, a finite loss at 2 of 3 random seeds",
        ),
        ([NAN] * 3, "a: no finite loss at any random seed"),
    ],
)
def test_patterns_that_repeat(peaks, told):
    runs = runs_of({"a": [-1.0 + 0 * peak for peak in peaks]}).assign(excess=0.0)
    runs["peak"] = [5.0, 5.0, 5.0, *(5 + peak for peak in peaks)]
    lines = verdicts.of_patterns(deviation_runs.by_deviation(runs), "a").splitlines()
    assert lines[-1] == told
    assert len(lines) == (1 if "any" in told else 5)
    if peaks == [1.0, 1.1, 0.9]:
        assert lines[:3] == [
            f"peak: +1.000 ± {REACH:.3f} dB",
            "excess: +0.000 ± 0.000 dB",
            "psnr: -1.000 ± 0.000 dB",
        ]


def test_patterns_of_one_random_seed_have_no_interval():
    runs = runs_of({"a": -1.0}).assign(excess=0.0, peak=[5.0, 5.0, 5.0, 6.0, 6.0, 6.0])
    text = verdicts.of_patterns(deviation_runs.by_deviation(runs[runs["seed"] == 1]), "a")
    assert text.startswith("peak: +1.000 (no interval) dB")
    assert text.endswith("cannot be told from the faithful run's")


def test_what_is_measured_alike_differs_in_training_alone():
    table = deviation_runs.by_deviation(replica_runs())
    left_out = set(table["deviation"]) - set(verdicts.measured_alike(table)["deviation"])
    assert left_out == {MEASURED, REPLICA.name}


def test_nothing_changed():
    runs = runs_of({"sigmoid output": -1.0, "learning rate 0.02": 0.0})
    comparison = verdicts.compare(runs, runs)
    assert comparison["whose"].tolist() == ["P-Conv", "P-Conv"]
    assert comparison["became"].tolist() == ["stands", "undecided"]
    lines = verdicts.of_fates(comparison).splitlines()
    assert lines == [
        "cost in both runs, or gain in both (1); undecided in both (1); no finite loss in both (0)",
        "contradicted: none",
        "newly told: none",
        "no longer told: none",
        "no finite loss now: none",
        "a finite loss now: none",
    ]


def test_departures_are_listed_by_what_they_cost():
    text = verdicts.of_all(
        table_of(
            {
                "sigmoid output": -1.0,
                "composite swapped": -2.0,
                "learning rate 0.02": [NAN] * 3,
                "total variation everywhere": [0.1, -0.1, NAN],
                "random features": 1.0,
                MEASURED: -9.0,
                ON_COMP: -9.0,
            }
        )
    )
    assert text.splitlines()[:6] == [
        "Departures of P-Conv's training, each alone (4)",
        "- cost PSNR (2): composite swapped: -2.00 ± 0.25 dB; sigmoid output: -1.00 ± 0.25 dB",
        "- gain (0): none",
        "- cannot be told from chance (1): total variation everywhere: +0.00 ± 1.27 dB, a finite "
        "loss at 2 of 3 random seeds",
        "- had no finite loss in any random seed (1): learning rate 0.02",
        "Other changes, each alone (1)",
    ]
    assert "- gain (1): random features: +1.00 ± 0.25 dB" in text
    assert "9.00" not in text


@given(st.lists(st.integers(-3000, 3000).map(lambda x: x / 1000), min_size=9, max_size=9))
def test_every_departure_is_named_once_and_in_order(deltas):
    names = [d.name for d in DEVIATIONS if d.whose == "P-Conv"]
    table = table_of(dict(zip(names, deltas, strict=True)))
    text = verdicts.of_all(table)
    assert [text.count(f"{name}:") for name in names] == [1] * len(names)
    for line in text.splitlines()[1:]:
        listed = [name for name in names if f"{name}:" in line]
        listed.sort(key=lambda name: line.index(f"{name}:"))
        values = [deltas[names.index(name)] for name in listed]
        assert values == sorted(values)


def test_a_difference_shows_on_which_side_of_0_it_lies():
    assert verdicts.change(-1.467, 0.42) == "-1.47 ± 0.42 dB"
    assert verdicts.change(-0.324, 0.319) == "-0.324 ± 0.319 dB"
    assert verdicts.change(0.316, 0.324) == "+0.32 ± 0.32 dB"
    assert verdicts.change(0.5, NAN) == "+0.50 dB (no interval)"
    assert verdicts.change(NAN, NAN) == "not compared"


def test_the_replica_taken_apart():
    table = deviation_runs.by_deviation(replica_runs(alone=-0.5))
    text = verdicts.of_replica(table, verdicts.on_disc(replica_runs()))
    assert text.splitlines() == [
        "The replica, all of P-Conv's departures at once, measured as P-Conv does (I_out, "
        "statistics of the batch), reaches 12.00 dB, the faithful run on I_comp 21.00 dB: "
        "-9.00 ± 0.25 dB.",
        "The measure alone, on the faithful network, changes PSNR by -7.00 ± 0.25 dB; the training "
        "alone, the replica on I_comp, by -0.10 ± 0.25 dB; -1.90 dB come of both together. The "
        "measure has the larger effect, whichever ends of the intervals are taken.",
        "On I_comp the replica cannot be told from the faithful run.",
        "P-Conv published 22.65 dB, of one other photograph.",
    ]


@pytest.mark.parametrize(
    ("on_comp", "words"),
    [
        (-4.0, "lies below the faithful run, as does its whole 95 % interval"),
        (4.0, "lies above the faithful run, as does its whole 95 % interval"),
        (0.2, "cannot be told from the faithful run"),
    ],
)
def test_the_replica_may_lie_anywhere(on_comp, words):
    runs = replica_runs(on_comp=on_comp)
    text = verdicts.of_replica(deviation_runs.by_deviation(runs), verdicts.on_disc(runs))
    assert f"On I_comp the replica {words}." in text


@pytest.mark.parametrize(
    ("measured", "on_comp", "words"),
    [
        (-1.0, -5.0, "The training has the larger effect"),
        (-5.0, 1.0, "The measure has the larger effect"),
    ],
)
def test_either_part_may_be_the_larger(measured, on_comp, words):
    table = deviation_runs.by_deviation(replica_runs(measured, on_comp))
    assert words in verdicts.of_replica(table, verdicts.on_disc(replica_runs()))


def test_it_is_said_whether_the_replica_is_noisy():
    runs = replica_runs()
    runs["excess"] = runs["deviation"].map({FAITHFUL.name: -4.0, ON_COMP: 1.5, REPLICA.name: 3.0})
    text = verdicts.of_replica(deviation_runs.by_deviation(runs), verdicts.on_disc(runs))
    assert "+1.5 dB of the replica, +3.0 dB with statistics of the batch, -4.0 dB of the f" in text


def test_parts_that_overlap_are_not_ranked():
    table = deviation_runs.by_deviation(replica_runs(-3.0, -3.2))
    assert "larger effect" not in verdicts.of_replica(table, verdicts.on_disc(replica_runs()))


def test_a_replica_without_a_finite_loss():
    runs = without_replica(replica_runs())
    text = verdicts.of_replica(deviation_runs.by_deviation(runs), verdicts.on_disc(runs))
    first, second, last = text.splitlines()
    assert "had no finite loss in any random seed" in first
    assert "changes PSNR by -7.00 ± 0.25 dB" in second
    assert last.startswith("P-Conv published")
    assert "nan" not in text.lower()


def test_parts_of_fewer_random_seeds_are_not_subtracted():
    runs = replica_runs(as_it_does=[-9.0, -9.1, NAN])
    text = verdicts.of_replica(deviation_runs.by_deviation(runs), verdicts.on_disc(runs))
    assert "both together" not in text
    assert "-9.05" in text


def test_a_replica_that_diverged_at_one_random_seed():
    runs = replica_runs(on_comp=[-1.0, -1.1, NAN], as_it_does=[-9.0, -9.1, NAN])
    text = verdicts.of_replica(deviation_runs.by_deviation(runs), verdicts.on_disc(runs))
    assert "It had a finite loss at 2 of 3 random seeds; its means" in text


NUMBERS = {FAITHFUL.name: 30.0, MEASURED: 24.0, ON_COMP: 29.0, REPLICA.name: 21.0}
NUMBERS |= {d.name: 0.0 for d in DEVIATIONS if d.whose == "P-Conv"}


def test_the_disc_by_hand():
    """disc_out, disc_comp, disc_hole and disc_known are 0, 100, 200 and 300 + the number."""
    case = verdicts.on_disc(with_disc(replica_runs(), NUMBERS))
    assert len(case) == 2 * 2 * 4
    assert (case["seeds"] == 3).all()
    rows = case.set_index(["network", "batch_norm", "measure"])
    psnr, delta = rows["psnr"], rows["delta_psnr"]
    assert psnr["faithful", "as learned"].to_dict() == {
        "I_comp": 130,
        "I_out": 30,
        "in the disc": 230,
        "outside it": 330,
    }
    assert psnr["replica", "of the batch", "I_out"] == pytest.approx(21)
    assert psnr["replica", "as learned", "I_comp"] == pytest.approx(129)
    # I_out is taken from I_comp of the faithful network, what is in the disc from the same there.
    assert delta["faithful", "as learned", "I_comp"] == 0
    assert delta["faithful", "as learned", "I_out"] == -100
    assert delta["faithful", "of the batch", "I_out"] == pytest.approx(24 - 130)
    assert delta["replica", "of the batch", "in the disc"] == pytest.approx(-9)
    assert rows["within"]["replica", "of the batch", "I_out"] == pytest.approx(REACH, rel=1e-3)
    assert rows["within"]["faithful", "as learned", "I_out"] == 0


@given(st.lists(st.floats(10, 40), min_size=6, max_size=6))
def test_intervals_on_the_disc_are_scipys(values):
    own, theirs = values[:3], values[3:]
    assume(min(np.std(theirs), np.std(np.subtract(theirs, own))) > 1e-3)
    runs = pd.concat(
        [
            rows_of(FAITHFUL.name, [1.0] * 3, disc_comp=own, disc_out=own),
            rows_of(REPLICA.name, [1.0] * 3, disc_comp=theirs, disc_out=theirs),
        ]
    )
    rows = verdicts.on_disc(runs).set_index(["network", "measure"])
    row = rows.loc[("replica", "I_out")]
    for mean, half, sample in (
        (row["psnr"], row["within"], np.array(theirs)),
        (row["delta_psnr"], row["reach_psnr"], np.subtract(theirs, own)),
    ):
        low, high = stats.ttest_1samp(sample, 0).confidence_interval(0.95)
        assert (mean - half, mean + half) == pytest.approx((low, high), rel=1e-6, abs=1e-6)


def test_the_disc_where_the_faithful_run_had_no_finite_loss():
    runs = with_disc(replica_runs(), NUMBERS)
    lost = (runs["deviation"] == FAITHFUL.name) & (runs["seed"] == 3)
    runs.loc[lost, ["psnr", *disc.MEASURES]] = NAN
    case = verdicts.on_disc(runs)
    assert (case["seeds"] == 2).all()
    row = case.set_index(["network", "batch_norm", "measure"]).loc["replica", "of the batch"]
    assert row.loc["I_out", "psnr"] == pytest.approx(21 + (SHIFTS[0] + SHIFTS[1]) / 2)


def test_what_the_runs_lack_of_the_disc_is_left_out():
    runs = replica_runs()
    assert verdicts.on_disc(runs).empty
    assert verdicts.on_disc(runs.assign(**dict.fromkeys(disc.MEASURES, NAN))).empty
    case = verdicts.on_disc(with_disc(runs, NUMBERS, ("disc_out",)).assign(disc_comp=NAN))
    assert case["measure"].unique().tolist() == ["I_out"]
    # There is no I_comp from which it could be taken.
    assert case["delta_psnr"].isna().all()


def test_the_replica_on_the_disc():
    runs = with_disc(replica_runs(), NUMBERS)
    # As pictures have it: I_comp above I_out.
    runs["disc_comp"] -= 95
    text = verdicts.of_replica(deviation_runs.by_deviation(runs), verdicts.on_disc(runs))
    *_, title, own, replica, apart, told, last = text.splitlines()
    assert title == "On discs like P-Conv's test case, 0.84% of pictures of 256 pixels"
    assert own == (
        "- the faithful network: 35.00 ± 0.00 dB on I_comp, 30.00 ± 0.00 dB on I_out, "
        "24.00 ± 0.25 dB on I_out with statistics of the batch, 230.00 ± 0.00 dB in the disc itself"
    )
    assert replica.startswith("- the replica: 34.00 ± 0.25 dB on I_comp, 29.00 ± 0.25 dB on I_out,")
    # 21 - 35 = (24 - 35) + (34 - 35) + rest
    assert "differs from the faithful run on I_comp by -14.00 ± 0.25 dB" in apart
    assert "-11.00 ± 0.25 dB" in apart
    assert "-1.00 ± 0.25 dB; -2.00 dB come of both together" in apart
    assert told.startswith("There, on I_comp, the replica lies below the faithful run")
    theirs = published().query("source == 'P-Conv' and model == 'PConv'")["psnr_db"].iloc[0]
    assert f"{theirs:.2f} dB, of one other photograph" in last


def test_a_disc_without_the_replica():
    runs = without_replica(with_disc(replica_runs(), NUMBERS))
    lost = runs["deviation"].isin([ON_COMP, REPLICA.name])
    runs[list(disc.MEASURES)] = runs[list(disc.MEASURES)].mask(lost)
    case = verdicts.on_disc(runs)
    assert (case.set_index("network").loc["replica", "seeds"] == 0).all()
    text = verdicts.of_replica(deviation_runs.by_deviation(runs), case)
    assert "- the faithful network: " in text
    assert "- the replica: " not in text
    assert "nan" not in text.lower()


def test_tables_that_were_written_and_read_say_the_same(tmp_path):
    runs = with_disc(replica_runs(alone=-0.5), NUMBERS)
    both = [deviation_runs.by_deviation(runs), verdicts.on_disc(runs)]
    read = []
    for k, table in enumerate(both):
        table.to_csv(tmp_path / f"{k}.csv", index=False, float_format="%.3f")
        read.append(pd.read_csv(tmp_path / f"{k}.csv"))
    assert verdicts.of_replica(*read) == verdicts.of_replica(*both)
    assert verdicts.of_all(read[0]) == verdicts.of_all(both[0])


def test_a_run_says_what_it_was():
    runs = runs_of({MEASURED: 0.0, "sigmoid output": [NAN, -1.0, NAN]})
    facts = {"features": "VGG-16 hed", "samples": 8000, "hardware": "CPU, 1 thread"}
    text = verdicts.of_run(runs.assign(**facts, minutes=20.0))
    # The faithful network is measured twice and trained once.
    assert text.splitlines() == [
        "2 ways to train, 3 random seeds each; 8,000 samples a training, features of a VGG-16 "
        "hed; 2.0 hours added up on CPU, 1 thread",
        "loss no longer a number: sigmoid output (random seed 1, 3)",
    ]
    assert verdicts.of_run(runs_of({"sigmoid output": -1.0}).assign(note=NAN)) == (
        "2 ways to train, 3 random seeds each\nloss no longer a number: none"
    )
