"""The command that measures the shipped weights by bin and size."""

import numpy as np
import pytest

from pconv_core import data, evaluation
from pconv_core.models import build_model
from pconv_core.study import shipped_bins


@pytest.fixture(scope="module")
def found():
    net = build_model("pconv", 32, 2, seed=0).eval()
    return shipped_bins.run(net, data.embedded("test"), {64: 1, 48: 2})


def test_every_size_bin_and_method_has_its_row(found):
    bins, _ = found
    methods = [shipped_bins.SHIPPED, shipped_bins.ONE_PASS, *shipped_bins._OTHERS]
    assert len(bins) == 2 * len(methods) * 12
    assert bins.groupby("size")["pictures"].unique().map(list).to_dict() == {64: [1], 48: [2]}
    assert set(bins["model"]) == set(methods)


def test_a_row_is_what_the_method_measures_there(found):
    bins, _ = found
    crops = data.evaluation_set(data.embedded("test"), 48, 2, 0, shipped_bins.SPAN)
    telea = evaluation.evaluate(evaluation.telea, crops)
    one = bins.query("size == 48 and model == 'Telea' and border").set_index("hole_ratio")
    expected = telea[telea["border"]].groupby("hole_ratio")["psnr"].mean()
    assert np.allclose(one["psnr"].loc[expected.index], expected)


def test_differences_are_those_of_the_bins(found):
    bins, differences = found
    wide = bins.query("size == 64").groupby(["model", "hole_ratio"])["psnr"].mean()
    row = differences.query(
        "size == 64 and measure == 'psnr' and hole_ratio == '0.2-0.3' "
        "and difference == 'shipped weights - Telea'"
    ).iloc[0]
    gap = wide[shipped_bins.SHIPPED, "0.2-0.3"] - wide["Telea", "0.2-0.3"]
    assert row["mean"] == pytest.approx(gap)
    assert row["low"] <= row["mean"] <= row["high"]


def test_a_missing_folder_is_one_line(capsys, tmp_path):
    assert shipped_bins.main(["--photographs", "/nowhere", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: no folder at /nowhere")
    assert not list(tmp_path.iterdir())
