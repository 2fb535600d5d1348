"""Two ways to train, over several random seeds and on the same pictures: how they differ."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from pconv_core.evaluation import SOURCE, source_of
from pconv_core.study.profile import load_profile, overrides_of
from pconv_core.training import Preempted

CASE = ("hole_ratio", "border", "ratio")  # columns of `evaluation.evaluate` that are no measure


def named(table: pd.DataFrame, seed: int, model: str) -> pd.DataFrame:
    """Say first, in every row of a table of pictures, of which training and picture it is."""
    table.insert(0, "random_seed", seed)
    table.insert(1, "model", model)
    table.insert(2, "picture", range(len(table)))
    return table


def effect(pictures: pd.DataFrame, base: str, other: str) -> pd.DataFrame:
    """One way to train less another, for each metric, with an interval.

    Parameters
    ----------
    pictures : DataFrame
        A row a picture, random seed and way, as `named` makes them.  With a column `photograph`
        the pictures of one photograph are no independent ones.
    base, other : str
        The two ways, as `model` has them; `base` is taken from `other`.

    Returns
    -------
    DataFrame
        For each metric: the means of both, difference, low, high (95 % interval), and how many
        random seeds and pictures.  The interval is Student's; see `half_width`.
    """
    metrics = [c for c in pictures if c not in ("random_seed", "model", "picture", SOURCE, *CASE)]
    keys = ["random_seed", "picture"]
    arms = {
        arm: pictures[pictures["model"] == arm].set_index(keys)[metrics] for arm in (base, other)
    }
    difference = arms[other] - arms[base]
    by_seed = difference.groupby("random_seed").mean()
    by_picture = difference.groupby("picture").mean()
    seeds, count = len(by_seed), len(by_picture)
    once = pictures.drop_duplicates("picture").set_index("picture")
    of_pictures, independent = variance_of_mean(by_picture, source_of(once))
    half = half_width(by_seed.var() / seeds, seeds, of_pictures, independent)
    table = pd.DataFrame({name: arm.mean() for name, arm in arms.items()})
    mean = by_seed.mean()
    table = table.assign(difference=mean, low=mean - half, high=mean + half)
    table = table.assign(random_seeds=seeds, pictures=count)
    return table.rename_axis("metric").reset_index()


def variance_of_mean(values: pd.DataFrame, sources: pd.Series) -> tuple[pd.Series, int]:
    """Variance of each column's mean where rows of one source are not independent.

    Parameters
    ----------
    values : DataFrame
        A row a picture.
    sources : Series
        Of the same index: which photograph a picture comes from.

    Returns
    -------
    Series, int
        C / (C - 1) sum_c r_c^2 / n^2, r_c the sum of the deviations from the mean in source c of
        C, and C; with a source for each of the n rows it is the sample variance over n.
    """
    sums = (values - values.mean()).groupby(sources).sum()
    count = len(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.float64(count) / (count - 1) * (sums**2).sum() / len(values) ** 2, count


def half_width(of_seeds, seeds: int, of_pictures, pictures: int):
    """Half of a 95 % interval whose mean scatters with the random seed and with the picture.

    Parameters
    ----------
    of_seeds, of_pictures : float or Series
        Variance of the mean due to random seeds, and due to pictures: the sample variance of the
        random seeds' (the pictures') means, divided by how many there are.
    seeds, pictures : int
        How many independent ones there are; with one random seed the interval is NaN.

    Returns
    -------
    float or Series
        t sqrt(a + b), t with Satterthwaite's degrees of freedom,
        (a + b)^2 / (a^2 / (seeds - 1) + b^2 / (pictures - 1)): few where random seeds scatter most,
        many where pictures do.
    """
    total = np.maximum(of_seeds + of_pictures, np.finfo(float).tiny)
    # Divided by the total first, as their squares may be too small for a number.
    shares = (of_seeds / total) ** 2, (of_pictures / total) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = 1 / (shares[0] / np.float64(seeds - 1) + shares[1] / (pictures - 1))
    return stats.t.ppf(0.975, freedom) * total**0.5


def main(run: Callable, name: str, seeds: int, arguments: Sequence[str] | None = None) -> int:
    """Run the study of profile `name`; returns the exit code, 75 if SIGTERM came and it was saved.

    `run` takes a profile, the folder of results and how many random seeds, and returns a table.
    """
    parser = argparse.ArgumentParser(prog=f"python -m pconv_core.study.{name}_effect")
    parser.add_argument("--profile", default=name)
    parser.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE")
    parser.add_argument("--random-seeds", type=int, default=seeds, help="how many, from 2")
    given = parser.parse_args(arguments)
    try:
        if given.random_seeds < 2:
            raise ValueError(
                f"random seeds are {given.random_seeds}; they should be at least 2, for an interval"
            )
        profile = load_profile(given.profile, overrides_of(given.set))
        print(run(profile, Path("results"), given.random_seeds).to_string(index=False))
    except Preempted as stop:
        print(stop, file=sys.stderr)
        return stop.exit_code
    except (FloatingPointError, OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
