"""The one way to make a difference and its interval, from rows of measured pictures.

Columns of rows: variant; random_seed (-1 or none where nothing is trained); samples; photos and
masks (the sets); photograph (the source) and crop (number within photos and masks); hole_ratio (the
bin); border; ratio; and the measures, such as psnr.  `found` is what `contrast` returns, or a table
with such columns.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

UP_TO_HALF = "up to 0.5"
CROP = ["photos", "masks", "photograph", "crop"]  # what a picture is known by
NOT_TRAINED = -1


def contrast(rows: pd.DataFrame, weights: dict[str, float], measure: str) -> dict:
    """A weighted sum of variants on the same crops and random seeds, such as a difference.

    Parameters
    ----------
    rows : DataFrame
        At one number of samples a variant.  What is not trained is beside every random seed.
    weights : dict
        Of each variant; they add up to 0.

    Returns
    -------
    dict
        mean; low and high, mean -+ half; half, the 95 % `half_width`; p, two-sided: the alpha whose
        `half_width` is abs(mean), so below 0.05 where the interval leaves out 0, and NaN with a
        single random seed, of which others may differ; se_random_seeds, se_photographs;
        random_seeds (the common ones, 0 if nothing is trained), pictures, photographs.  With d_sk
        the sum for random seed s of S and crop k of N, dots for means,

            se_random_seeds^2 = sum_s (d_s. - d_..)^2 / (S - 1) / S,
            se_photographs^2 = C / (C - 1) sum_c r_c^2 / N^2,  r_c = sum_{k in c} (d_.k - d_..),

        c one of C photographs.  With one photograph half and p are NaN.

    Raises
    ------
    ValueError
        If the weights do not add up to 0, or a variant is missing, shares no random seed, lacks a
        crop of another, has one twice, or a value that is not finite.
    """
    return _contrast(_wide(rows[rows["variant"].isin(list(weights))], measure), weights)


def half_width(found, alpha: float = 0.05):
    """Half of the interval of confidence 1 - alpha.

    Returns
    -------
    float or Series
        sqrt((t_s se_random_seeds)^2 + (t_p se_photographs)^2), t Student's quantile at
        1 - alpha / 2 of one degree of freedom less than random seeds, and than photographs; the
        second part only with fewer than two random seeds.
    """
    parts = []
    for counted in ("random_seeds", "photographs"):
        t = -special.stdtrit(found[counted] - 1, alpha / 2)
        parts.append(t * found[f"se_{counted}"])
    return np.hypot(np.where(np.greater(found["random_seeds"], 1), parts[0], 0), parts[1])


def equivalent(found, margin: float):
    """Whether a difference is shown to lie within -+ `margin`, which is named beforehand.

    Returns
    -------
    bool or Series
        abs(mean) + `half_width` at alpha = 0.1 < margin: the 90 % interval lies within the margin,
        so that two one-sided tests at 5 % reject means of at most -margin and of at least margin.
    """
    return abs(found["mean"]) + half_width(found, 0.1) < margin


def differences(rows: pd.DataFrame, pairs: Sequence[tuple[str, str]], measure: str) -> pd.DataFrame:
    """`contrast` of each pair, variant less other, by photos, masks and part.

    Returns
    -------
    DataFrame
        photos, masks, part ("up to 0.5" or a bin), variant, other, measure, and what `contrast`
        returns.  Bins are described, not tested: their p is NaN.
    """
    table, variants = [], {variant for pair in pairs for variant in pair}
    for part, chosen in _parts(rows[rows["variant"].isin(variants)]):
        wide = _wide(chosen, measure)
        for variant, other in pairs:
            labels = {**part, "variant": variant, "other": other, "measure": measure}
            table.append(labels | _contrast(wide, {variant: 1, other: -1}))
    return pd.DataFrame(table).assign(p=lambda t: t["p"].where(t["part"] == UP_TO_HALF))


def means(rows: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Mean of each variant, by photos, masks, part, samples and measure.

    Returns
    -------
    DataFrame
        photos, masks, part, variant, samples, measure; mean; sd, the standard deviation of the
        random seeds' means, NaN under two; random_seeds, pictures, photographs.
    """
    table = []
    for part, chosen in _parts(rows):
        for samples, measure in product(chosen["samples"].unique(), measures):
            wide = _wide(chosen[chosen["samples"] == samples], measure)
            for variant in wide:
                by_crop = _by_crop(wide, {variant: 1})
                labels = {**part, "variant": variant, "samples": samples, "measure": measure}
                table.append(labels | {"sd": by_crop.mean().std()} | _found(by_crop))
    kept = ["mean", "sd", "random_seeds", "pictures", "photographs"]
    return pd.DataFrame(table)[[*labels, *kept]]


def with_holm(table: pd.DataFrame, family: Sequence[str]) -> pd.DataFrame:
    """Add p_holm: p adjusted for all tests of a family, the rows that agree in some columns.

    Returns
    -------
    DataFrame
        With p_(1) <= ... <= p_(m), p_holm of the i-th is max_{j <= i} min(1, (m - j + 1) p_(j)):
        Holm's step-down procedure.  A row without p is no test, and does not count.
    """

    def adjusted(p):
        steps = p.dropna().sort_values() * np.arange(p.count(), 0, -1)
        return steps.cummax().clip(upper=1).reindex(p.index)

    return table.assign(p_holm=table.groupby(list(family), dropna=False)["p"].transform(adjusted))


def slopes(rows: pd.DataFrame, measure: str) -> pd.DataFrame:
    """How much each variant's measure changes with a doubling of the samples.

    Returns
    -------
    DataFrame
        variant, random_seed, slope (by least squares on log2 of the samples); and, the same for all
        rows of a variant, mean, low and high: Student's 95 % interval over random seeds alone, on
        these crops.  Variants at one number of samples are left out.
    """
    table = []
    for variant, chosen in rows.groupby("variant"):
        samples = np.unique(chosen["samples"])
        if len(samples) > 1:
            x = np.log2(samples) - np.log2(samples).mean()
            weights = dict(zip(samples.tolist(), x / (x @ x), strict=True))
            slope = _by_crop(_wide(chosen, measure, by="samples"), weights).mean()
            mean, half = slope.mean(), stats.t.isf(0.025, len(slope) - 1) * slope.sem()
            found = slope.rename("slope").rename_axis("random_seed").reset_index()
            found.insert(0, "variant", variant)
            table.append(found.assign(mean=mean, low=mean - half, high=mean + half))
    return pd.concat(table, ignore_index=True) if table else pd.DataFrame()


def crossing(curve: pd.Series, level: float, more: bool = True) -> int | None:
    """Number of samples at which a learning curve, a mean by number of samples, reaches `level`.

    Parameters
    ----------
    more : bool
        Whether more is better: reached from below, or else from above.

    Returns
    -------
    int or None
        Where the straight lines in log2(samples) between rungs, the last one continued to twice the
        largest, first reach the level; the first rung if it is beyond it there; None if not at all.
    """
    curve = curve.sort_index()
    x, gap = np.log2(curve.index.to_numpy(float)), curve.to_numpy(float) - level
    gap = gap if more else -gap
    slope = (gap[-1] - gap[-2]) / (x[-1] - x[-2])
    x, gap = np.append(x, x[-1] + 1), np.append(gap, gap[-1] + slope)
    for k in np.flatnonzero(gap >= 0)[:1]:
        share = gap[k - 1] / (gap[k - 1] - gap[k]) if k else 0.0
        return round(2 ** (x[k - 1] + share * (x[k] - x[k - 1]) if k else x[0]))
    return None


def _parts(rows: pd.DataFrame) -> Iterator[tuple[dict, pd.DataFrame]]:
    """Of each photos and masks the rows up to a hole ratio of 0.5, then those of each bin."""
    for (photos, masks), group in rows.groupby(["photos", "masks"]):
        for name, chosen in (
            (UP_TO_HALF, group[group["ratio"] <= 0.5]),
            *group.groupby("hole_ratio"),
        ):
            if len(chosen):
                yield {"photos": photos, "masks": masks, "part": name}, chosen


def _wide(rows: pd.DataFrame, measure: str, by: str = "variant") -> dict[object, pd.DataFrame]:
    """A measure by value of column `by`: each a row a crop, a column a random seed."""
    place = [by, "random_seed", *CROP]
    rows = rows.assign(random_seed=rows["random_seed"].fillna(NOT_TRAINED).astype(int))
    faults = {"not finite": ~np.isfinite(rows[measure]), "there twice": rows.duplicated(place)}
    for fault, found in faults.items():
        if found.any():
            first = rows.loc[found, place].iloc[0].to_dict()
            raise ValueError(f"{measure} is {fault} in {found.sum()} rows, the first {first}")
    wide = rows.pivot(index=CROP, columns=place[:2], values=measure)
    return {value: wide[value] for value in wide.columns.unique(by)}


def _by_crop(wide: dict[object, pd.DataFrame], weights: dict) -> pd.DataFrame:
    """Weighted sum of values of `_wide`: a row a crop, a column a random seed."""
    seeds = {key: set(wide.get(key, ())) for key in weights}
    trained = {key: has for key, has in seeds.items() if has != {NOT_TRAINED}}
    common = sorted(set.intersection(*trained.values())) if trained else [NOT_TRAINED]
    if not common or any(NOT_TRAINED in has for has in trained.values()):
        raise ValueError(f"random seeds should be common to all, or none be trained: {seeds}")
    chosen = {key: wide[key][common if key in trained else [NOT_TRAINED]] for key in weights}
    blank = {key: table.isna().to_numpy() for key, table in chosen.items()}
    total, there = 0.0, ~np.hstack(list(blank.values())).all(axis=1)
    for key, weight in weights.items():
        missing = there & blank[key].any(axis=1)
        if missing.any():
            first = chosen[key].index[missing].to_frame().iloc[0].to_dict()
            raise ValueError(f"{key} lacks {missing.sum()} crops, the first {first}")
        total = total + weight * chosen[key].to_numpy()[there]
    return pd.DataFrame(total, chosen[key].index[there], common)


def _contrast(wide: dict[object, pd.DataFrame], weights: dict) -> dict:
    """`contrast` of `_wide`."""
    if not math.isclose(sum(weights.values()), 0, abs_tol=1e-9):
        raise ValueError(f"weights {weights} should add up to 0")
    return _found(_by_crop(wide, weights))


def _found(by_crop: pd.DataFrame) -> dict:
    """What `contrast` returns, of a row a crop and a column a random seed."""
    by_seed, mean_crop = by_crop.mean(), by_crop.mean(axis=1)
    mean = float(by_seed.mean())
    sums = (mean_crop - mean).groupby(level="photograph").sum()
    count = len(sums)
    variance = count / (count - 1) * (sums**2).sum() / len(by_crop) ** 2 if count > 1 else math.nan
    found = {
        "se_random_seeds": float(by_seed.sem()),
        "se_photographs": math.sqrt(variance),
        "random_seeds": 0 if NOT_TRAINED in by_crop else len(by_seed),
        "pictures": len(by_crop),
        "photographs": count,
    }
    half = float(half_width(found))
    interval = {"mean": mean, "low": mean - half, "high": mean + half, "half": half}
    p = math.nan if found["random_seeds"] == 1 else _p(mean, found)
    return interval | {"p": p} | found


def _p(mean: float, found: dict) -> float:
    """The alpha whose `half_width` is abs(mean); 0 for what is below 1e-300."""

    def excess(log_alpha):
        return half_width(found, math.exp(log_alpha)) - abs(mean)

    lowest = math.log(1e-300)
    if math.isnan(excess(0)):
        return math.nan
    if mean == 0 or excess(lowest) <= 0:
        return float(mean == 0)
    return math.exp(optimize.brentq(excess, lowest, 0))
