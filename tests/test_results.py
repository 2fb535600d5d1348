"""What the README says of the results must hold of the tables it shows."""

import re
from itertools import pairwise
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pconv_core.evaluation import BASELINES
from pconv_core.masks import BINS
from pconv_core.study import STAGES, load_profile, mask_shapes, photographs, readme, style_effect
from pconv_core.study.found import Found
from pconv_core.study.tables import published

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results" / "reference"
RESULTS = REFERENCE / "demo"


@pytest.fixture(scope="module")
def psnr():
    return pd.read_csv(RESULTS / "tables/psnr_overall.csv").set_index("model")["psnr"]


def test_partial_is_above_traditional_and_mean_fill(psnr):
    for model in ("partial U-Net 64", "partial U-Net 56"):
        assert psnr[model] > psnr["traditional U-Net 64"] + 1
        assert psnr[model] > psnr["mean fill"] + 3.5


def test_partial_is_nearer_by_lite0_distance():
    lite0 = pd.read_csv(RESULTS / "tables/psnr_overall.csv").set_index("model")["lite0"]
    for model in ("partial U-Net 64", "partial U-Net 56"):
        assert lite0[model] < min(lite0["traditional U-Net 64"], lite0["mean fill"])


def test_masks_measure_like_the_papers():
    table = pd.read_csv(RESULTS / "tables/01_mask_shapes.csv")
    relative = mask_shapes.over_paper(table)
    assert len(relative) == 2 * 2 * len(mask_shapes.COMPARED)
    assert ((relative[list(mask_shapes.SHAPES)] - 1).abs() <= mask_shapes.WITHIN).all(axis=None)


def test_the_style_weights_effect_is_that_of_its_random_seeds():
    tables = REFERENCE / "style/tables"
    effect = pd.read_csv(tables / "03_style_effect.csv").set_index("metric")
    gaps = style_effect.differences(pd.read_csv(tables / "03_style_by_seed.csv"))
    assert len(gaps) == effect["random_seeds"].iloc[0] >= 3
    for metric in ("psnr", "ssim", "lite0"):
        row = effect.loc[metric]
        assert row["difference"] == pytest.approx(gaps[metric].mean(), abs=2e-3)
        assert row["low"] < row["difference"] < row["high"]


def test_table_has_every_cell():
    profile = load_profile("demo")
    table = pd.read_csv(RESULTS / "tables/psnr_by_bin.csv")
    assert (table["pictures"] == profile.test_per_cell).all()
    cells = {(f"{lo}-{hi}", border) for lo, hi in BINS for border in (True, False)}
    for _, part in table.groupby("model"):
        assert set(zip(part["hole_ratio"], part["border"], strict=True)) == cells
    assert table["model"].nunique() == 3 + len(BASELINES)


@pytest.fixture(scope="module")
def manifest():
    files = sorted((REFERENCE / "trainings").glob("*/manifest/*.csv"))
    return pd.concat(map(pd.read_csv, files), ignore_index=True)


def test_every_network_on_photographs_was_trained_alike(manifest):
    trainings = manifest.groupby(["model", "size", "random_seed"])["samples"].sum()
    assert len(trainings) == 4 * 3
    assert trainings.nunique() == 1
    assert trainings.iloc[0] >= 24_000
    assert manifest["weights_sha256"].is_unique
    assert manifest.groupby(["model", "size"])["random_seed"].nunique().eq(3).all()


@pytest.fixture(scope="module")
def crops():
    """Test crops of the finished networks: a row a crop, columns (network, measure), each seed."""

    def read(folder):
        parts = {}
        for network in ("pconv128", "conv128", "unet128", "pconv112"):
            table = pd.read_csv(folder / "pictures" / f"{network}_finetune.csv")
            parts[network] = table[table["evaluated_at"] == 128].reset_index(drop=True)
        return pd.concat(parts, axis=1)

    return {path.name: read(path) for path in sorted((REFERENCE / "trainings").glob("20*"))}


@pytest.mark.parametrize(
    ("network", "name"),
    [
        ("pconv128", "partial U-Net 128"),
        ("conv128", "Conv U-Net 128"),
        ("unet128", "traditional U-Net 128"),
        ("pconv112", "partial U-Net 112"),
    ],
)
def test_means_on_photographs_are_those_of_the_crops(crops, network, name):
    table = pd.read_csv(REFERENCE / "trainings/tables/psnr_overall.csv").set_index("model")
    for measure in ("psnr", "ssim", "l1", "lite0", "psnr_hole"):
        means = []
        for rows in crops.values():
            one = rows[network]
            means.append(one.loc[one["ratio"] <= 0.5, measure].mean())
        assert table.loc[name, measure] == pytest.approx(np.mean(means), abs=1e-3)
        if measure == "psnr":
            assert table.loc[name, "spread_psnr"] == pytest.approx(np.std(means, ddof=1), abs=1e-3)


def test_the_tables_on_photographs_are_those_that_make_tables_writes(tmp_path):
    committed = REFERENCE / "trainings"
    profile = load_profile("photographs", {"name": photographs.NAME})
    photographs.write(photographs.Measured(committed, profile), tmp_path)
    names = {path.name for path in (committed / "tables").glob("*.csv")}
    assert names == {path.name for path in (tmp_path / "tables").glob("*.csv")}
    for name in names:
        made, kept = (pd.read_csv(folder / "tables" / name) for folder in (tmp_path, committed))
        pd.testing.assert_frame_equal(made, kept, rtol=0, atol=2e-6, obj=name)


def test_the_runs_of_the_deviations_are_those_that_were_kept():
    folder = REFERENCE / "deviations"
    kept = pd.concat(pd.read_csv(path) for path in folder.glob("kept/*.csv"))
    runs, keys = pd.read_csv(folder / "tables/runs.csv"), ["deviation", "seed"]
    assert len(runs) == len(kept) == 63
    made, found = (table.set_index(keys).sort_index()[list(kept)[2:]] for table in (kept, runs))
    pd.testing.assert_frame_equal(made, found, rtol=0, atol=2e-6)


@pytest.mark.parametrize("measure", ["psnr", "ssim", "lite0"])
@pytest.mark.parametrize(
    ("network", "name"), [("conv128", "Conv U-Net 128"), ("unet128", "traditional U-Net 128")]
)
def test_differences_on_photographs_are_those_of_the_crops(crops, network, name, measure):
    """The interval as Welch's test has it: random seeds' means, and what photographs add."""
    gaps = pd.DataFrame(
        {seed: rows["pconv128"][measure] - rows[network][measure] for seed, rows in crops.items()}
    )
    case = next(iter(crops.values()))["pconv128"]
    origin = pd.read_csv(REFERENCE / "trainings/pictures/origins.csv")["photograph"]
    assert len(origin) == len(case)
    found = Found(REFERENCE)
    for chosen, row in (
        (case["ratio"] <= 0.5, found.against(name, measure)),
        *(
            (case["hole_ratio"] == ratio, row)
            for ratio, row in found.by_bin(name, measure).iterrows()
        ),
    ):
        seeds, pictures = gaps[chosen].mean(), gaps[chosen].mean(axis=1)
        sums = (pictures - pictures.mean()).groupby(origin[chosen]).sum()
        added = sums * len(sums) / len(pictures)
        low, high = stats.ttest_ind(seeds, added, equal_var=False).confidence_interval()
        assert row["mean"] == pytest.approx(seeds.mean(), abs=1e-3)
        assert row["high"] - row["low"] == pytest.approx(high - low, abs=2e-3)
        assert (row["random_seeds"], row["pictures"]) == (3, len(pictures))


def finished(network, stage, size, measure):
    """Mean over the random seeds of a measure up to 0.5."""
    means = []
    for path in sorted((REFERENCE / "trainings").glob("20*/pictures")):
        table = pd.read_csv(path / f"{network}_{stage}.csv")
        table = table[(table["evaluated_at"] == size) & (table["ratio"] <= 0.5)]
        means.append(table[measure].mean())
    assert len(means) == 3
    return np.mean(means)


@pytest.mark.parametrize("measure", ["psnr", "lite0"])
def test_stages_and_sizes_on_photographs_are_those_of_the_crops(measure):
    found = Found(REFERENCE)
    for before, after in pairwise(STAGES):
        gap = finished("unet128", after, 128, measure) - finished("unet128", before, 128, measure)
        row = found.stage("traditional U-Net 128", after, measure)
        assert row["mean"] == pytest.approx(gap, abs=1e-3)
    for at in (112, 128):
        gap = finished("pconv112", "finetune", at, measure)
        gap -= finished("pconv128", "finetune", at, measure)
        assert found.smaller(at, measure)["mean"] == pytest.approx(gap, abs=1e-3)


@pytest.fixture(scope="module")
def costs():
    return pd.read_csv(RESULTS / "tables/08_deviations.csv").set_index("deviation")


@pytest.mark.parametrize("measure", ["psnr", "ssim"])
def test_what_departures_cost_is_students_interval_of_their_runs(costs, measure):
    runs = pd.read_csv(REFERENCE / "deviations/tables/runs.csv")
    wide = runs.pivot(index="seed", columns="deviation", values=measure)
    for name, row in costs.iloc[1:].iterrows():
        gaps = (wide[name] - wide["faithful"]).dropna()
        assert row["seeds"] == len(gaps)
        if len(gaps) > 1:
            low, high = stats.ttest_1samp(gaps, 0).confidence_interval()
            assert row[f"delta_{measure}"] == pytest.approx(gaps.mean(), abs=1e-3)
            assert row[f"reach_{measure}"] == pytest.approx((high - low) / 2, abs=3e-3)


def numbers_by_hand():
    """Every number of dB in the text of README, model card and chapters that is not generated."""
    text = (ROOT / "README.md").read_text()
    for body in readme.blocks(REFERENCE).values():
        assert body in text
        text = text.replace(body, "")
    texts = {"README.md": text, "model card": (ROOT / "pconv_core/shipped/README.md").read_text()}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        texts[path.stem] = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    another = r"(?:,| and| to| against) [+-]?\d+\.\d+"
    pattern = re.compile(rf"(?<![\w.])[+-]?(\d+\.\d+)(?=(?:{another})*\sdB)")
    return [(name, n) for name, text in texts.items() for n in pattern.findall(text)]


def test_numbers_written_by_hand_stand_in_the_tables_they_speak_of():
    tables = [pd.read_csv(path)["psnr"] for path in REFERENCE.glob("*/tables/09_shipped.csv")]
    allowed = {f"{v:.2f}" for v in pd.concat([*tables, published()["psnr_db"]])}
    found = numbers_by_hand()
    assert len(found) >= 5
    for name, printed in found:
        assert printed in allowed, f"{name}: {printed} stands in no table"


@pytest.mark.parametrize("network", ["pconv64", "unet64", "pconv56"])
def test_logs_cover_the_schedule(network):
    profile = load_profile("demo")
    log = pd.concat(pd.read_csv(RESULTS / "logs" / f"{network}_{s}.csv") for s in STAGES)
    steps = profile.stage1_steps + profile.stage2_steps + profile.finetune_steps
    assert log["step"].is_monotonic_increasing
    assert log["step"].is_unique
    assert log["step"].iloc[-1] == steps
    assert log.notna().all(axis=None)
