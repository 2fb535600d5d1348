"""What stage 2's style weight does: the interval, what is trained, and going on after a cut."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pconv_core.study import paired, style_effect
from pconv_core.study.profile import load_profile
from pconv_core.study.run import STYLE_KEPT, Study

SMALL = {
    **{name: "embedded" for name in ("pretrain_photos", "finetune_photos", "test_photos")},
    **{"size": 32, "base_channels": 2, "batch_size": 2, "features": "random"},
    **{"feature_width": 0.0625, "stage1_steps": 3, "stage2_steps": 2, "test_per_cell": 1},
}


def pictures(seeds, count, shift, over_seeds, over_pictures):
    """Two arms whose difference is `shift`, spread over random seeds and over pictures."""
    rng = np.random.default_rng(0)
    of_seed, of_picture = rng.normal(0, over_seeds, seeds), rng.normal(0, over_pictures, count)
    rows = []
    for s in range(seeds):
        for k in range(count):
            base = rng.normal()
            row = {"random_seed": s, "picture": k}
            rows.append({**row, "model": "style weight 1", "psnr": base})
            gap = shift + of_seed[s] + of_picture[k]
            rows.append({**row, "model": "style weight 120", "psnr": base + gap})
    return pd.DataFrame(rows), of_seed, of_picture


def test_without_spread_over_pictures_it_is_students_interval_over_random_seeds():
    table, of_seed, _ = pictures(5, 40, 1.0, 0.3, 0.0)
    (row,) = style_effect.effect(table).itertuples()
    low, high = stats.ttest_1samp(1.0 + of_seed, 0).confidence_interval()
    assert (row.low, row.high) == pytest.approx((low, high))
    assert row.difference == pytest.approx(1.0 + of_seed.mean())
    assert (row.random_seeds, row.pictures) == (5, 40)


def test_spread_over_pictures_widens_it():
    narrow = style_effect.effect(pictures(5, 40, 1.0, 0.3, 0.0)[0]).iloc[0]
    wide = style_effect.effect(pictures(5, 40, 1.0, 0.3, 3.0)[0]).iloc[0]
    assert wide["high"] - wide["low"] > narrow["high"] - narrow["low"]


@given(
    st.floats(0.01, 10), st.floats(0.01, 10), st.integers(2, 6), st.integers(2, 60), st.integers(0)
)
def test_degrees_of_freedom_are_those_of_welchs_test(over_seeds, over_pictures, seeds, count, k):
    rng = np.random.default_rng(k)
    a, b = rng.normal(0, over_seeds, seeds), rng.normal(0, over_pictures, count)
    half = paired.half_width(a.var(ddof=1) / seeds, seeds, b.var(ddof=1) / count, count)
    low, high = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert half == pytest.approx((high - low) / 2)


def test_pictures_of_one_photograph_count_as_one():
    """With as many of each it is the interval of the photographs' means."""
    rng = np.random.default_rng(0)
    values = pd.DataFrame({"a": rng.normal(0, 1, 20), "b": rng.normal(3, 2, 20)})
    sources = pd.Series(np.repeat(range(5), 4))
    variance, count = paired.variance_of_mean(values, sources)
    means = values.groupby(sources).mean()
    assert count == 5
    assert variance.to_numpy() == pytest.approx((means.var() / 5).to_numpy())
    apart, count = paired.variance_of_mean(values, pd.Series(range(20)))
    assert count == 20
    assert apart.to_numpy() == pytest.approx((values.var() / 20).to_numpy())


def test_interval_holds_the_truth_though_crops_of_a_photograph_are_alike():
    held = 0
    for k in range(300):
        rng = np.random.default_rng(k)
        photographs = np.repeat(rng.normal(0, 1, 20), 3)
        rows = [
            {
                **{"random_seed": s, "picture": p, "photograph": p // 3, "model": arm},
                "psnr": on * (seed + photographs[p] + rng.normal(0, 0.1)),
            }
            for s, seed in enumerate(rng.normal(0, 0.05, 3))
            for p in range(60)
            for arm, on in (("style weight 1", 0), ("style weight 120", 1))
        ]
        row = style_effect.effect(pd.DataFrame(rows)).iloc[0]
        held += row["low"] <= 0 <= row["high"]
    # 95 %, less three standard deviations of 300 draws; as independent crops it would be 75 %.
    assert held / 300 > 0.91


def test_nothing_that_scatters_has_no_width_and_one_random_seed_no_interval():
    assert paired.half_width(0.0, 3, 0.0, 10) == pytest.approx(0)
    assert np.isnan(paired.half_width(float("nan"), 1, 0.1, 10))


def test_interval_holds_the_truth_about_as_often_as_it_says():
    held = 0
    for k in range(300):
        rng = np.random.default_rng(k)
        seeds, crops = rng.normal(0, 0.3, 3), rng.normal(0, 1, 30)
        rows = [
            {"random_seed": s, "picture": p, "model": arm, "psnr": on * (seeds[s] + crops[p])}
            for s in range(3)
            for p in range(30)
            for arm, on in (("style weight 1", 0), ("style weight 120", 1))
        ]
        row = style_effect.effect(pd.DataFrame(rows)).iloc[0]
        held += row["low"] <= 0 <= row["high"]
    # 95 %, less three standard deviations of 300 draws.
    assert held / 300 > 0.91


def test_it_trains_both_ways_from_one_stage_1_and_goes_on(tmp_path):
    profile = load_profile("style", {"name": "small", **SMALL})
    found = style_effect.run(profile, tmp_path, seeds=2)
    assert set(found["metric"]) >= {"psnr", "ssim", "lite0", "psnr_hole"}
    assert (found["samples"] == 2 * (3 + 2)).all()
    weights = {p.relative_to(tmp_path): p.stat().st_mtime_ns for p in tmp_path.rglob("*.pt")}
    assert len(weights) == 2 * 3
    by_seed = pd.read_csv(tmp_path / "small/tables/03_style_by_seed.csv")
    assert sorted(by_seed["random_seed"].unique()) == [profile.seed, profile.seed + 1]
    gaps = style_effect.differences(by_seed)
    psnr = found.set_index("metric").loc["psnr", "difference"]
    assert gaps["psnr"].mean() == pytest.approx(psnr, abs=1.1e-3)
    # What is trained is not trained again, and says the same.
    again = style_effect.run(profile, tmp_path, seeds=2)
    assert {
        p.relative_to(tmp_path): p.stat().st_mtime_ns for p in tmp_path.rglob("*.pt")
    } == weights
    pd.testing.assert_frame_equal(found, again)


def test_only_the_style_weight_differs(tmp_path):
    study = Study(load_profile("style", {"name": "small", **SMALL}), tmp_path)
    full, kept = study.stage("stage2"), study.stage(STYLE_KEPT)
    assert (full.lambda_style, kept.lambda_style) == (120.0, 1.0)
    assert (full.first_step, full.steps, full.learning_rate) == (
        kept.first_step,
        kept.steps,
        kept.learning_rate,
    )


@pytest.mark.parametrize(
    ("low", "high", "word"), [(-2, -1, "better"), (1, 2, "worse"), (-1, 1, "not told apart")]
)
def test_finding_says_the_sign_only_where_it_is_sure(low, high, word):
    row = {"style weight 1": 1.0, "style weight 120": 1.5, "difference": (low + high) / 2}
    rows = [{"metric": m, **row, "low": low, "high": high} for m in ("lite0", "psnr", "ssim")]
    assert style_effect.finding(pd.DataFrame(rows)).splitlines()[0].endswith(word)


def test_errors_are_one_line(capsys):
    assert paired.main(style_effect.run, "style", 5, ["--random-seeds", "1"]) == 2
    assert capsys.readouterr().err == (
        "error: random seeds are 1; they should be at least 2, for an interval\n"
    )
    assert paired.main(style_effect.run, "style", 5, ["--set", "pretrain_photos=/nowhere"]) == 2
    assert "no folder at" in capsys.readouterr().err
