"""What the README's tables say of the trainings on photographs follows their tables."""

import pandas as pd
import pytest

from pconv_core.study import answers, readme
from pconv_core.study.found import Found

OURS = "partial U-Net 128"


def test_a_stage_is_better_worse_or_not_told_apart(trainings_tables):
    found = Found(trainings_tables(stage2=-0.5, finetune=0.1))
    assert answers._stage(found, "stage2") == (
        "-0.50 dB (-0.75 to -0.25): worse; Lite0 distance +0.050 (+0.025 to +0.075): worse "
        "(photographs)"
    )
    assert "+0.10 dB (-0.15 to +0.35): not told apart" in answers._stage(found, "finetune")


@pytest.mark.parametrize(
    ("gap", "told"),
    [(0.0, "no, if"), (-0.2, "no, if"), (-0.4, "undecided, if"), (-0.9, "yes, if")],
)
def test_the_size_must_be_a_power_of_two_where_the_other_is_surely_worse(
    trainings_tables, gap, told
):
    text = answers._sizes(Found(trainings_tables(smaller=gap)))
    assert text.startswith(f"{told} 0.5 dB less is as good: trained at 112 instead of 128")


def test_the_winner_is_told_by_its_intervals(trainings_tables):
    bins = {("Conv U-Net 128", "0.1-0.2"): 0.1}
    text = answers._winner(Found(trainings_tables(bins=bins)))
    assert "less Conv U-Net 128 +0.50 dB (+0.25 to +0.75), better in 0.01-0.1 and 0.2-0.3" in text
    assert "told apart in 0.1-0.2, SSIM +0.050 (+0.025 to +0.075): better; less trad" in text
    assert "less biharmonic -3.00 dB (-3.25 to -2.75), worse in every bin" in text


def departures(deltas, seeds=3):
    rows = [("faithful", "", 3, 0.0, 0.0)]
    rows += [(f"d{k}", "P-Conv", seeds, delta, 0.2) for k, delta in enumerate(deltas)]
    columns = ["deviation", "whose", "seeds", "delta_psnr", "reach_psnr"]
    return pd.DataFrame(rows, columns=columns).assign(features="VGG-16 x")


def test_the_dearest_departures_are_those_that_cost_for_sure():
    assert answers._dearest(departures([-1.0, -3.0, 0.1, -2.0])) == (
        "3 of 4 cost PSNR by their 95 % intervals, the dearest: d1 -3.00 ± 0.20 dB; "
        "d3 -2.00 ± 0.20 dB (VGG-16 x)"
    )
    assert answers._dearest(departures([0.1, 3.0, 2.0])) == (
        "0 of 3 cost PSNR by their 95 % intervals; gaining: 2, the most: d1 +3.00 ± 0.20 dB "
        "(VGG-16 x)"
    )
    lost = departures([0.1, None])
    lost.loc[2, "seeds"] = 0
    assert answers._dearest(lost) == (
        "0 of 2 cost PSNR by their 95 % intervals; without a finite loss: 1 (VGG-16 x)"
    )
    assert "d0 -1.00 ± 0.20 dB, a finite loss at 2 of 3" in answers._dearest(departures([-1.0], 2))


def test_the_table_of_the_readme(trainings_tables):
    lines = readme._photographs(Found(trainings_tables())).splitlines()
    assert lines[2] == (
        "| partial U-Net 128 | 25.00 | ± 0.10 | 25.00 | 25.00 | 25.00 | 0.800 | 2.00 | 1.000 |"
    )
    assert any(line.startswith("| Telea | 27.00 | - |") for line in lines)
    text = " ".join(lines)
    assert "means of 3 random seeds. Each training saw 24,000 samples" in text
    assert "4.0 hours, added up, on a processor." in text


def test_networks_that_were_not_trained_alike_are_an_error(trainings_tables):
    found = Found(trainings_tables())
    path = found.folder / "tables/psnr_overall.csv"
    table = pd.read_csv(path)
    table.loc[table["model"] == OURS, "samples"] = 16000
    table.to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"were not trained alike: .*partial U-Net 128.*16000"):
        readme._photographs(found)
