"""The weights that come with the project, and what their model card says of them."""

from pathlib import Path

import pandas as pd
import pytest

from pconv_core import weights

TABLES = Path(__file__).parents[2] / "results" / "reference" / "shipped" / "tables"
SHIPPED = weights.path("shipped")
CARD = SHIPPED.with_name("README.md").read_text()


def table(name):
    return pd.read_csv(TABLES / f"{name}.csv")


def rows_of_card(heading):
    """The table below a heading of the card: first cell -> the others."""
    part = CARD.partition(f"\n### {heading}\n")[2].partition("\n#")[0]
    lines = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("|")]
    return {first.strip(): [cell.strip() for cell in others] for first, *others in lines[2:]}


def test_the_card_tells_what_the_tables_hold():
    bins = table("bins")
    means = (
        bins[bins["hole_ratio"] != "0.5-0.6"].groupby(["model", "size"])[["psnr", "lite0"]].mean()
    )
    card = rows_of_card("By hole ratio")
    assert card
    for model, cells in card.items():
        found = means.loc[model].loc[[128, 256, 512]]
        psnr, lite0 = (list(map(float, part)) for part in (cells[:3], cells[3:]))
        assert psnr == pytest.approx(found["psnr"].tolist(), abs=0.0051)
        assert lite0 == pytest.approx(found["lite0"].tolist(), abs=0.00051)
    repairs = table("repair_cases").groupby(["case", "hole_size"])[["psnr", "telea"]].mean()
    names = {"lines": "lines", "squares": "squares", "plain": "plain surface, square"}
    found = {
        f"{names[case]} of {size}": (ours, telea)
        for (case, size), (ours, telea) in zip(repairs.index, repairs.to_numpy(), strict=True)
    }
    card = rows_of_card("Thin lines, large squares")
    assert card.keys() == found.keys()
    for name, cells in card.items():
        assert list(map(float, cells)) == pytest.approx(found[name], abs=0.0051)
