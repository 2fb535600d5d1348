"""Differences and intervals, against SciPy's tests, loops over single numbers and simulation."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from pconv_study import statistics

SEEDS = (2018, 2019, 2020)
A_LESS_B = {"a": 1, "b": -1}


def rows_of(values, photographs, seeds=SEEDS, **columns):
    """Rows of psnr from an array (random seeds, crops) a variant; one without seeds is (crops,)."""
    tables = []
    for variant, array in values.items():
        array = np.asarray(array, float)
        of_seeds = seeds if array.ndim == 2 else [-1]
        for seed, of_seed in zip(of_seeds, np.atleast_2d(array), strict=True):
            table = pd.DataFrame({"psnr": of_seed, "photograph": photographs})
            table["crop"] = range(len(table))
            tables.append(table.assign(variant=variant, random_seed=seed))
    fixed = {"samples": 1000, "photos": "test", "masks": "occlusion", "hole_ratio": "0.1-0.2"}
    fixed |= {"border": True, "ratio": 0.15}
    return pd.concat(tables, ignore_index=True).assign(**{**fixed, **columns})


def drawn(rng, seed_sd=1.0, photograph_sd=1.0, photographs=40, seeds=SEEDS, most_crops=4):
    """Photographs of 1 to `most_crops` crops, and an array (random seeds, crops) that varies."""
    of = np.repeat(np.arange(photographs), rng.integers(1, most_crops + 1, photographs))
    values = rng.normal(0, seed_sd, (len(seeds), 1))
    values = values + rng.normal(0, photograph_sd, photographs)[of]
    return [f"p{k}" for k in of], values + rng.normal(0, 0.3, values.shape)


def two(seed=0, **more):
    """Rows of a and b, whose difference is what `drawn` makes; and that difference."""
    rng = np.random.default_rng(seed)
    photographs, gap = drawn(rng, **more)
    b = rng.normal(25, 4, gap.shape)
    return rows_of({"a": b + gap, "b": b}, photographs, more.get("seeds", SEEDS)), gap


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("shift", [0.001, 0.3, 20.0])
def test_without_random_seeds_and_with_one_crop_a_photograph_it_is_students_test(count, shift):
    gap = np.random.default_rng(3).normal(shift, 1, 30)
    array = gap[None] if count else gap
    rows = rows_of({"a": array, "b": 0 * array}, [f"p{k}" for k in range(30)], SEEDS[:1])
    found = statistics.contrast(rows, A_LESS_B, "psnr")
    test = stats.ttest_1samp(gap, 0)
    assert_allclose([found["low"], found["high"]], test.confidence_interval(0.95))
    assert_allclose(found["p"], math.nan if count else test.pvalue, rtol=1e-8)
    assert found["random_seeds"] == count
    assert math.isnan(found["se_random_seeds"])


def test_both_parts_are_those_of_a_loop_over_single_numbers():
    rows, gap = two(seed=5, photographs=7)
    photographs = rows[(rows["variant"] == "a") & (rows["random_seed"] == SEEDS[0])]["photograph"]
    crops = gap.shape[1]
    assert crops > 7
    total, sums, seed_means = 0.0, {}, []
    for s in range(3):
        seed_means.append(math.fsum(gap[s]) / crops)
        total += seed_means[-1] / 3
    for k, photograph in enumerate(photographs):
        mean = (gap[0, k] + gap[1, k] + gap[2, k]) / 3
        sums[photograph] = sums.get(photograph, 0.0) + mean - total
    of_photographs = 7 / 6 * sum(r**2 for r in sums.values()) / crops**2
    of_seeds = sum((m - total) ** 2 for m in seed_means) / 2 / 3
    t = stats.t.ppf(0.975, [2, 6])
    half = math.sqrt(t[0] ** 2 * of_seeds + t[1] ** 2 * of_photographs)
    found = statistics.contrast(rows, A_LESS_B, "psnr")
    assert_allclose(found["se_random_seeds"] ** 2, of_seeds)
    assert_allclose(found["se_photographs"] ** 2, of_photographs)
    assert_allclose([found["mean"], found["half"]], [total, half])
    assert_allclose([found["low"], found["high"]], [total - half, total + half])


@pytest.mark.parametrize(("seed_sd", "photograph_sd"), [(0.05, 1.0), (1.0, 0.5)])
def test_the_interval_covers_what_is_true_at_least_as_often_as_it_says(seed_sd, photograph_sd):
    rng, hits = np.random.default_rng(2018), 0
    for _ in range(500):
        photographs, gap = drawn(rng, seed_sd, photograph_sd)
        rows = rows_of({"a": gap, "b": np.zeros(gap.shape[1])}, photographs)
        found = statistics.contrast(rows, A_LESS_B, "psnr")
        hits += found["low"] < 0 < found["high"]
    assert 0.93 <= hits / 500 <= 1


def test_p_is_where_the_interval_ends_at_zero():
    below = 0
    for seed in range(60):
        rows, _ = two(seed, seed_sd=0.2, photographs=12)
        rows["psnr"] += 0.5 * (rows["variant"] == "a")
        found = statistics.contrast(rows, A_LESS_B, "psnr")
        assert (found["p"] < 0.05) == (found["low"] > 0 or found["high"] < 0)
        assert_allclose(statistics.half_width(found, found["p"]), abs(found["mean"]))
        below += found["p"] < 0.05
    assert 10 < below < 50
    for sign in (1, -1):  # moved so that one end is 0
        shift = (rows["variant"] == "a") * (sign * found["half"] - found["mean"])
        moved = rows.assign(psnr=rows["psnr"] + shift)
        assert_allclose(statistics.contrast(moved, A_LESS_B, "psnr")["p"], 0.05)


def test_what_is_not_trained_is_beside_every_random_seed():
    rng = np.random.default_rng(4)
    photographs, a = drawn(rng)
    telea = rng.normal(20, 3, a.shape[1])
    once = rows_of({"a": a, "t": telea}, photographs)
    repeated = rows_of({"a": a, "t": np.tile(telea, (3, 1))}, photographs)
    found = statistics.contrast(once, {"a": 1, "t": -1}, "psnr")
    assert found == statistics.contrast(repeated, {"a": 1, "t": -1}, "psnr")
    assert found["random_seeds"] == 3
    blank = once.assign(random_seed=once["random_seed"].where(once["random_seed"] > 0))
    assert found == statistics.contrast(blank, {"a": 1, "t": -1}, "psnr")
    assert statistics.contrast(once, {"t": 1, "a": -1}, "psnr")["mean"] == -found["mean"]


def test_random_seeds_that_both_have():
    rows, gap = two(2)
    rows = rows[(rows["variant"] == "a") | (rows["random_seed"] != 2019)]
    found = statistics.contrast(rows, A_LESS_B, "psnr")
    assert found["random_seeds"] == 2
    assert_allclose(found["mean"], gap[[0, 2]].mean())


def test_rows_that_cannot_be_paired_are_named():
    rows, _ = two(1)
    b = rows["variant"] == "b"
    at = (rows["random_seed"] == 2019) & (rows["crop"] == 4)

    def refused(rows, match, variant="a"):
        with pytest.raises(ValueError, match=match):
            statistics.contrast(rows, {variant: 1, "b": -1}, "psnr")

    refused(rows[~(b & at)], "b lacks 1 crops, the first .*'crop': 4")
    refused(rows[~(b & (rows["crop"] == 4))], "b lacks 1 crops, the first .*'crop': 4")
    moved = rows.assign(photograph=rows["photograph"].where(~(b & at), "elsewhere"))
    refused(moved, "lacks 1 crops, the first .*'photograph': 'elsewhere'")
    refused(rows.assign(psnr=rows["psnr"].mask(b & at)), "not finite in 1 rows.*'b'.*2019.*4")
    refused(rows.assign(psnr=rows["psnr"].mask(at, np.inf)), "not finite in 2 rows")
    refused(pd.concat([rows, rows[b & at]]), "there twice in 1 rows.*'b'.*2019.*4")
    refused(rows[~b | (rows["random_seed"] == 1)], "common")
    refused(rows.assign(random_seed=rows["random_seed"].where(~(b & at), -1)), "common")
    refused(rows, "common", variant="c")
    refused(rows, "add up to 0", variant="b")
    with pytest.raises(ValueError, match="add up to 0"):
        statistics.differences(rows, [("a", "a")], "psnr")


def test_differences_by_set_and_part_of_which_bins_have_no_p():
    rows = pd.concat(
        two(k)[0].assign(
            masks=masks,
            hole_ratio=name,
            ratio=ratio,
            ssim=lambda t: t["psnr"] / 50,
            crop=lambda t, k=k: t["crop"] + 1000 * k,
        )
        for k, (masks, (name, ratio)) in enumerate(
            product(["occlusion", "disc"], [("0.1-0.2", 0.2), ("0.4-0.5", 0.5), ("0.5-0.6", 0.51)])
        )
    )
    pairs = [("a", "b"), ("b", "a")]
    table = pd.concat(statistics.differences(rows, pairs, m) for m in ("psnr", "ssim"))
    assert list(table["part"].unique()) == ["up to 0.5", "0.1-0.2", "0.4-0.5", "0.5-0.6"]
    assert len(table) == 2 * 4 * 2 * 2
    assert (table["p"].isna() == (table["part"] != "up to 0.5")).all()
    chosen = rows[(rows["masks"] == "disc") & (rows["ratio"] <= 0.5)]
    place = "masks == 'disc' and part == 'up to 0.5' and variant == 'b' and measure == 'ssim'"
    row = table.query(place).iloc[0]
    found = statistics.contrast(chosen, {"b": 1, "a": -1}, "ssim")
    assert row[list(found)].to_dict() == found


def test_interaction_of_four():
    rng = np.random.default_rng(8)
    photographs, gap = drawn(rng, photographs=6)
    weights = {"a": -1, "b": -1, "both": 1, "none": 1}
    arrays = {name: rng.normal(25, 3, gap.shape) for name in weights}
    rows = rows_of(arrays, photographs)
    expected = (arrays["both"] - arrays["a"]) - (arrays["b"] - arrays["none"])
    reference = rows_of({"a": expected, "b": np.zeros(gap.shape[1])}, photographs)
    found = statistics.contrast(rows, weights, "psnr")
    reference = statistics.contrast(reference, A_LESS_B, "psnr")
    assert_allclose([*found.values()], [*reference.values()], rtol=1e-9)


def test_holm_by_hand():
    p = [0.01, 0.04, math.nan, 0.03, 0.005, 0.7, 0.02]
    table = pd.DataFrame({"p": p, "family": list("mmmmmnn")})
    adjusted = statistics.with_holm(table, ["family"])["p_holm"]
    # 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1 but no less than 0.06; of the other family 0.02 x 2.
    assert_allclose(adjusted, [0.03, 0.06, math.nan, 0.06, 0.02, 0.7, 0.04])
    assert (statistics.with_holm(table.assign(p=0.6), ["family"])["p_holm"] == 1).all()


def test_equivalence_is_two_one_sided_tests_at_five_percent():
    gap = np.random.default_rng(11).normal(0.1, 0.4, 25)
    rows = rows_of({"a": gap, "b": 0 * gap}, [f"p{k}" for k in range(25)])
    found = statistics.contrast(rows, A_LESS_B, "psnr")
    verdicts = set()
    for margin in np.linspace(0.05, 0.5, 60):
        upper = stats.ttest_1samp(gap, margin, alternative="less").pvalue
        lower = stats.ttest_1samp(gap, -margin, alternative="greater").pvalue
        verdict = bool(statistics.equivalent(found, margin))
        assert verdict == (max(upper, lower) < 0.05)
        verdicts.add(verdict)
    assert verdicts == {False, True}


def test_means_and_the_spread_of_random_seeds():
    rng = np.random.default_rng(12)
    photographs, a = drawn(rng)
    rows = rows_of({"a": a, "t": a[0]}, photographs)
    table = statistics.means(rows, ["psnr"]).set_index(["part", "variant"])
    found = table.loc[("up to 0.5", "a")]
    by_seed = a.mean(axis=1)
    assert_allclose([found["mean"], found["sd"]], [by_seed.mean(), by_seed.std(ddof=1)])
    assert found["random_seeds"] == 3
    assert found["photographs"] == 40
    assert math.isnan(table.loc[("0.1-0.2", "t"), "sd"])
    assert table.loc[("0.1-0.2", "t"), "random_seeds"] == 0


def test_slopes_are_those_of_least_squares_with_students_interval_over_random_seeds():
    rng = np.random.default_rng(13)
    rungs = (1000, 2000, 8000)
    photographs, first = drawn(rng)
    curve = {n: first + rng.normal(0.3 * np.log2(n), 0.2, first.shape) for n in rungs}
    rows = [rows_of({"a": curve[n]}, photographs, samples=n) for n in rungs]
    once = rows_of({"t": first[0]}, photographs)
    table = statistics.slopes(pd.concat([*rows, once], ignore_index=True), "psnr")
    assert table[["variant", "random_seed"]].values.tolist() == [["a", seed] for seed in SEEDS]
    assert statistics.slopes(once, "psnr").empty
    of_seeds = [[curve[n][s].mean() for n in rungs] for s in range(3)]
    expected = [np.polyfit(np.log2(rungs), means, 1)[0] for means in of_seeds]
    assert_allclose(table["slope"], expected)
    interval = stats.ttest_1samp(expected, 0).confidence_interval(0.95)
    assert_allclose(table[["low", "high"]].iloc[1], interval)
    assert_allclose(table["mean"], np.mean(expected))


def test_crossing_is_told_up_to_twice_the_largest_rung():
    curve = pd.Series({4000: 25.0, 1000: 20.0, 2000: 24.0})
    assert statistics.crossing(curve, 24.5) == round(2000 * 2**0.5)
    assert statistics.crossing(curve, 25.0) == 4000
    assert statistics.crossing(curve, 25.5) == round(4000 * 2**0.5)
    assert statistics.crossing(curve, 26.0) == 8000
    assert statistics.crossing(-curve, -25.5, more=False) == round(4000 * 2**0.5)
    assert statistics.crossing(curve, 26.001) is None
    assert statistics.crossing(curve, 19.0) == 1000
    assert statistics.crossing(curve, 19.0, more=False) is None
