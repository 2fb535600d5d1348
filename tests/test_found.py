"""What is told of the trainings is what their tables hold, whichever way they point."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pconv_core.study import found as tell
from pconv_core.study.found import Found

numbers = st.floats(-5, 5)


@given(numbers, numbers, st.sampled_from(["psnr", "ssim", "l1", "lite0"]))
def test_better_or_worse_only_where_the_interval_is_on_one_side(a, b, measure):
    low, high = sorted((a, b))
    row = pd.Series({"low": low, "high": high})
    up = {"better": low > 0, "worse": high < 0}
    down = {"better": high < 0, "worse": low > 0}
    expected = down if measure in ("l1", "lite0") else up
    told = [name for name, is_so in expected.items() if is_so] or ["not told apart"]
    assert tell.side(row, measure) == told[0]


def test_an_empty_interval_tells_nothing():
    assert tell.side(pd.Series({"low": float("nan"), "high": float("nan")})) == "not told apart"


def test_a_difference_has_its_unit_and_interval():
    row = pd.Series({"mean": 0.7, "low": 0.59, "high": 0.821})
    assert tell.with_interval(row) == "+0.70 dB (+0.59 to +0.82)"
    assert tell.with_interval(-row, "lite0") == "-0.700 (-0.590 to -0.821)"
    row["low"] = 0.003
    assert tell.with_interval(row) == "+0.700 dB (+0.003 to +0.821)"
    row["low"] = float("nan")
    assert tell.with_interval(row) == "+0.70 dB (no interval)"


def test_bins_are_named_where_they_differ(trainings_tables):
    bins = {("Telea", "0.1-0.2"): 0.1, ("Telea", "0.2-0.3"): 1.0}
    found = Found(trainings_tables(bins=bins))
    told = tell.in_bins(found.by_bin("Telea"))
    assert told == "better in 0.2-0.3, worse in 0.01-0.1, not told apart in 0.1-0.2"
    assert tell.in_bins(found.by_bin("Conv U-Net 128")) == "better in every bin"
    assert tell.in_bins(found.by_bin("biharmonic")) == "worse in every bin"
    assert tell.in_bins(found.by_bin("partial U-Net 112")) == "told apart in no bin"


@given(st.sets(st.integers(0, 9)))
def test_bins_that_follow_each_other_are_joined(chosen):
    """What is joined covers the chosen bins and no other, in as few spans as there are gaps."""
    spans = tell._joined([f"{k}-{k + 1}" for k in sorted(chosen)])
    covered = [k for span in spans for k in range(*map(int, span.split("-")))]
    assert covered == sorted(chosen)
    assert len(spans) == sum(k - 1 not in chosen for k in chosen)


def test_the_line_against_another_method(trainings_tables):
    told = tell.measured(Found(trainings_tables()), "Conv U-Net 128")
    assert told == (
        "+0.50 dB (+0.25 to +0.75), better in every bin; "
        "SSIM +0.050 (+0.025 to +0.075), better in every bin; "
        "Lite0 distance -0.050 (-0.075 to -0.025), better in every bin"
    )


def test_the_line_of_the_shipped_weights(trainings_tables):
    """Made with a quarter of a dB less in each bin."""
    told = tell.shipped_measured(Found(trainings_tables()), "biharmonic")
    assert told.startswith("+1.00 dB (+0.75 to +1.25), better in 0.01-0.2, not told apart in 0.2")
    assert "; SSIM +0.100 (+0.075 to +0.125), better in 0.01-0.2, not" in told


def test_the_line_after_a_stage(trainings_tables):
    found = Found(trainings_tables())
    told = tell.after_line(found, found.unet, "finetune")
    assert told.startswith("after fine-tuning, partial U-Net 128 less traditional U-Net 128: +1.50")
    assert tell.after_lines(found, found.unet).splitlines()[2] == told


def test_a_stage_is_told_of_each_network(trainings_tables):
    found = Found(trainings_tables(stage2=-0.5, finetune=0.1))
    lines = tell.stage_lines(found, "stage2").split("\n")
    assert [line.partition(":")[0] for line in lines] == [found.ours, found.conv, found.unet]
    assert lines[0].startswith("partial U-Net 128: -0.50 dB (-0.75 to -0.25): worse; SSIM")
    assert lines[0].endswith("Lite0 distance +0.050 (+0.025 to +0.075): worse")
    assert tell.stage_lines(found, "finetune").count("not told apart") == 9


def test_sizes_are_told_at_both(trainings_tables):
    lines = tell.size_lines(Found(trainings_tables())).split("\n")
    assert len(lines) == 2
    assert lines[0].startswith("trained at 112 instead of 128 pixels, measured at 112: +0.00 dB")


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="psnr_overall"):
        _ = Found(tmp_path).overall
