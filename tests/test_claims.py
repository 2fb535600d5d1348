"""The verdicts follow the tables."""

import pandas as pd
import pytest

from pconv_core.study import Study, claims, load_profile


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
