"""The weights that come with the project, and what their model card says of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from pconv_core import data, evaluation
from pconv_core.__main__ import main
from pconv_core.files import weights
from pconv_core.models import RefinedUNet
from pconv_core.study.tables import CLASSICAL

MEASURES = ("psnr", "lite0")
ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results" / "reference"
CARD = weights.SHIPPED.with_name("README.md").read_text()


def test_they_are_small_halves_and_nothing_else():
    assert weights.SHIPPED.stat().st_size <= 10e6
    with safe_open(weights.SHIPPED, "pt") as file:
        kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
        assert len(file.metadata()) == 1
    assert kinds <= {torch.float16, torch.int64}
    net = weights.load_network(weights.SHIPPED)
    assert type(net) is RefinedUNet
    count = sum(p.numel() for p in net.parameters())
    assert f"{count:,} parameters" in CARD


def test_inpaint_needs_no_checkpoint(tmp_path):
    photo = data.embedded("test")[1][:120, :150]
    mask = np.full(photo.shape[:2], 255, np.uint8)
    mask[40:60, 50:90] = 0
    Image.fromarray(photo).save(tmp_path / "photo.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    paths = {k: str(tmp_path / f"{k}.png") for k in ("photo", "mask", "out")}
    command = ["inpaint", "--image", paths["photo"], "--mask", paths["mask"]]
    assert main([*command, "--out", paths["out"]]) == 0
    out = np.asarray(Image.open(paths["out"]))
    known = mask == 255
    assert (out[known] == photo[known]).all()
    assert (out[~known] != photo[~known]).any()


def test_they_beat_the_mean_fill_on_photographs_never_seen():
    """Live, on the embedded test photographs: a damaged file could not."""
    cells = list(data.evaluation_set(data.embedded("test"), 88, 2, seed=5))
    net = weights.load_network(weights.SHIPPED)
    ours = evaluation.evaluate(evaluation.network_fill(net), cells)
    mean = evaluation.evaluate(evaluation.mean_fill, cells)
    assert (ours["psnr"] - mean["psnr"]).mean() > 3


def table(name):
    return pd.read_csv(REFERENCE / "shipped" / "tables" / f"{name}.csv")


def rows_of_card(heading):
    """The table below a heading of the card: first cell -> the others."""
    part = CARD.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("|")]
    return {first.strip(): [cell.strip() for cell in others] for first, *others in lines[2:]}


def test_the_card_tells_what_the_tables_hold():
    bins = table("bins")
    means = (
        bins[bins["hole_ratio"] != "0.5-0.6"].groupby(["model", "size"])[["psnr", "lite0"]].mean()
    )
    for model, cells in rows_of_card("By hole ratio").items():
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


@pytest.mark.parametrize("case", ["lines", "squares", "plain"])
def test_they_repair_lines_squares_and_plain_surfaces_better_than_telea(case):
    rows = table("repair_cases").query("case == @case")
    means = rows.groupby("hole_size")[["psnr", "telea"]].mean()
    assert (means["psnr"] >= means["telea"]).all()
    if case == "plain":
        assert (rows["psnr"] >= 40).all()
    if case == "squares":
        assert (rows["grey"] == 0).all()


@pytest.mark.parametrize("size", [128, 256, 512])
def test_they_pass_the_classical_methods_in_every_bin_on_photographs_never_seen(size):
    bins = table("bins").query("size == @size and border")
    psnr, lite0 = (bins.pivot(index="hole_ratio", columns="model", values=m) for m in MEASURES)
    for other in CLASSICAL:
        assert (psnr["shipped weights"] > psnr[other]).all()
        assert (lite0["shipped weights"] < lite0[other]).all()


@pytest.mark.parametrize("size", [128, 256, 512])
def test_up_to_a_half_they_surely_gain_on_the_continuation_and_the_classical_methods(size):
    found = table("differences").query("size == @size and hole_ratio == '0.01-0.5'")
    psnr, lite0 = (found[found["measure"] == m].set_index("difference") for m in MEASURES)
    for other in (*CLASSICAL, "continuation"):
        name = f"shipped weights - {other}"
        assert psnr.loc[name, "low"] > 0
        assert lite0.loc[name, "high"] < 0
    if size == 128:
        names = [f"shipped weights - {other}" for other in CLASSICAL]
        assert (psnr.loc[names, "mean"] >= 0.8).all()
