"""The verdicts follow the tables."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from pconv_core.evaluation import UP_TO_HALF
from pconv_core.study import Study, claims, load_profile
from pconv_core.study.found import Found


class Made(Study):
    """A study of tables given by the test."""

    def __init__(self, tables, records):
        super().__init__(load_profile("demo"))
        self.tables, self.records = tables, records

    def table(self, name):
        return self.tables[name]

    def record(self, model, size):
        assert size == 64
        return self.records[model]


def made(gap=0.2, unet_early=0.05, moved=0.9, jump=0.5):
    partial, small = "partial U-Net 64", "partial U-Net 56"
    by_size = [(partial, 48, 26.0), (partial, 64, 27.0), (small, 48, 26.0 - gap), (small, 64, 28.0)]
    tables = {
        "05_psnr_by_size": pd.DataFrame(by_size, columns=["model", "evaluated_at", "psnr"]),
        "towards_input": pd.DataFrame(
            {"model": [partial, "traditional U-Net 64"], "towards_input": [1.0, moved]}
        ),
    }
    stages = 8 * ["stage1"] + 3 * ["stage2"]
    totals = [9.0, 8.0, 7.0, 6.0, 1.0, 1.1, 1.0, 1.1, 10, 10 + jump, 10]
    records = {
        model: pd.DataFrame(
            {"stage": stages, "hole": [0.10, *3 * [early], *7 * [0.04]], "total": totals}
        )
        for model, early in (("pconv", 0.06), ("unet", unet_early))
    }
    return claims.judge(Made(tables, records))


def test_all_hold():
    table = made(moved=0.3, jump=2.0)
    assert table["holds"].tolist() == ["yes"] * 4
    # Of a way of 0.06 the U-Net has gone 0.05 after a quarter, the partial 0.04.
    assert table["value"].tolist() == pytest.approx([-0.2, 1 / 6, 0.3, (2 / 10) / (0.1 / 1.05)])


@pytest.mark.parametrize(
    ("change", "row"),
    [({"gap": 0.7}, 0), ({"unet_early": 0.08}, 1), ({"moved": 0.6}, 2), ({"jump": 0.5}, 3)],
)
def test_each_can_fail(change, row):
    table = made(**{"moved": 0.3, "jump": 2.0, **change})
    assert [k for k, holds in enumerate(table["holds"]) if holds == "no"] == [row]


SEEDS = (5, 6, 7)


def record(leads=0.0, jump=2.0):
    """Loss record whose network has gone 0.04 and `leads` of a way of 0.06 after a quarter."""
    stages = 8 * ["stage1"] + 3 * ["stage2"] + 2 * ["finetune"]
    early = 0.06 - leads
    return pd.DataFrame(
        {
            "stage": stages,
            "hole": [0.10, *3 * [early], *9 * [0.04]],
            "total": [9.0, 8.0, 7.0, 6.0, 1.0, 1.1, 1.0, 1.1, 10, 10 + jump, 10, 10, 10],
        }
    )


def trainings(folder, lows=(-0.4, -0.2), highs=(0.1, 0.2), leads=3 * (0.01,), jumps=3 * (2.0,)):
    """A committed run, its traditional U-Nets at 0.25, 0.3 and 0.35 of the way from the input."""
    found = Found(folder)
    tables = found.folder / "tables"
    tables.mkdir(parents=True)
    ends = zip((112, 128), lows, highs, strict=True)
    rows = [("psnr", UP_TO_HALF, size, -0.1 * k, *end, 3) for k, (size, *end) in enumerate(ends)]
    # What must not be read: another measure, and a bin.
    rows += [("ssim", UP_TO_HALF, 112, -9, -9, -9, 3), ("psnr", "0.01-0.1", 112, -9, -9, -9, 3)]
    columns = ["measure", "hole_ratio", "evaluated_at", "mean", "low", "high", "random_seeds"]
    pd.DataFrame(rows, columns=columns).to_csv(tables / "05_differences.csv", index=False)
    done = [(m, 128, s) for m in ("pconv", "unet") for s in SEEDS] + [("pconv", 112, 99)]
    manifest = pd.DataFrame(done, columns=["model", "size", "random_seed"])
    manifest.to_csv(tables / "manifest.csv", index=False)
    for k, seed in enumerate(SEEDS):
        logs, cases = found.folder / str(seed) / "logs", found.folder / str(seed) / "cases"
        logs.mkdir(parents=True)
        cases.mkdir()
        pd.DataFrame({"towards_input": [0.25 + 0.05 * k]}).to_csv(
            cases / "unet128.csv", index=False
        )
        for model, log in (("pconv", record(jump=jumps[k])), ("unet", record(leads[k]))):
            for stage, part in log.groupby("stage"):
                part.to_csv(logs / f"{model}128_{stage}.csv", index=False)
    return found


def test_trainings_by_hand(tmp_path):
    table = claims.judge_trainings(trainings(tmp_path))
    assert table.columns.tolist() == ["claim", "measured", "value", "holds"]
    assert table["holds"].tolist() == ["yes"] * 4
    assert table["value"].tolist() == pytest.approx([-0.1, 1 / 6, 0.3, (2 / 10) / (0.1 / 1.05)])
    assert table["claim"].tolist() == made()["claim"].tolist()
    assert table["measured"].str.contains("mean of 3 random seeds").all()
    assert "on crops of 112 to 128 pixels" in table["measured"][0]


def test_several_random_seeds_are_judged_as_one_is(tmp_path):
    """Of equal trainings the mean is what `judge` finds for one."""
    several = claims.judge_trainings(trainings(tmp_path))
    single = made(unet_early=0.05, jump=2.0)
    for row in (1, 3):
        assert several["value"][row] == pytest.approx(single["value"][row])
        assert several["holds"][row] == single["holds"][row]


@pytest.mark.parametrize(
    ("change", "row", "holds"),
    [
        ({"lows": (-0.6, 0.0)}, 0, "undecided"),
        ({"lows": (float("nan"), 0.0), "highs": (float("nan"), 0.1)}, 0, "undecided"),
        ({"lows": (-0.9, 0.0), "highs": (-0.6, 0.1)}, 0, "no"),
        ({"leads": (-0.01, -0.01, -0.011)}, 1, "no"),
        ({"leads": (-0.01, 0.01, 0.01)}, 1, "undecided"),
        ({"jumps": (0.5, 0.4, 0.3)}, 3, "no"),
        ({"jumps": (2.0, 2.0, 0.3)}, 3, "undecided"),
    ],
)
def test_trainings_that_do_not_hold_or_do_not_agree(tmp_path, change, row, holds):
    table = claims.judge_trainings(trainings(tmp_path, **change))
    expected = ["yes"] * 4
    expected[row] = holds
    assert table["holds"].tolist() == expected


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=5), st.floats(-1, 1), st.booleans())
def test_several_random_seeds_are_judged_by_students_interval(values, threshold, above):
    assume(np.std(values) > 1e-3)
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    assume(min(abs(low - threshold), abs(high - threshold)) > 1e-9)
    claim = claims._Claim("", "", threshold, above)
    over, under = ("yes", "no") if above else ("no", "yes")
    expected = over if low > threshold else under if high < threshold else "undecided"
    assert claim.holds(values) == expected


def test_random_seeds_that_one_network_lacks_are_left_out_of_what_compares_two(tmp_path):
    found = trainings(tmp_path, leads=(0.01, 0.01, -0.03))
    path = found.folder / "tables/manifest.csv"
    manifest = pd.read_csv(path)
    manifest[(manifest["model"] != "pconv") | (manifest["random_seed"] != 7)].to_csv(path)
    table = claims.judge_trainings(found)
    assert table["holds"][1] == "yes"
    assert "mean of 2 random seeds" in table["measured"][1]
    assert table["value"][2] == pytest.approx(0.3)


def test_a_run_without_a_table_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        claims.judge_trainings(Found(tmp_path))
