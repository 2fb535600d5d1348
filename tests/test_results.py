"""What the README says of the results must hold of the tables it shows."""

from pathlib import Path

import pandas as pd
import pytest

from pconv_core.masks import BINS
from pconv_core.profiles import load_profile
from pconv_core.study import STAGES

RESULTS = Path(__file__).parents[1] / "results" / "demo"


@pytest.fixture(scope="module")
def psnr():
    return pd.read_csv(RESULTS / "tables/psnr_overall.csv").set_index("model")["psnr"]


def test_partial_is_above_traditional_and_mean_fill(psnr):
    for model in ("partial U-Net 64", "partial U-Net 56"):
        assert psnr[model] > psnr["traditional U-Net 64"] + 1
        assert psnr[model] > psnr["mean fill"] + 3.5


def test_partial_is_below_the_classical_methods(psnr):
    assert psnr["partial U-Net 64"] < min(psnr["Telea"], psnr["Navier-Stokes"])


def test_table_has_every_cell():
    profile = load_profile("demo")
    table = pd.read_csv(RESULTS / "tables/psnr_by_bin.csv")
    assert (table["pictures"] == profile.test_per_cell).all()
    cells = {(f"{lo}-{hi}", border) for lo, hi in BINS for border in (True, False)}
    for _, part in table.groupby("model"):
        assert set(zip(part["hole_ratio"], part["border"], strict=True)) == cells
    assert table["model"].nunique() == 6


@pytest.mark.parametrize("network", ["pconv64", "unet64", "pconv56"])
def test_logs_cover_the_schedule(network):
    profile = load_profile("demo")
    log = pd.concat(pd.read_csv(RESULTS / "logs" / f"{network}_{s}.csv") for s in STAGES)
    steps = profile.stage1_steps + profile.stage2_steps + profile.finetune_steps
    assert log["step"].is_monotonic_increasing
    assert log["step"].is_unique
    assert log["step"].iloc[-1] == steps
    assert log.notna().all(axis=None)
