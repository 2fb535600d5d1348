"""How the holes of our masks measure beside the paper's."""

from importlib.resources import files
from itertools import product

import pandas as pd

from pconv_core.masks import PAPER_LIKE, random_mask
from pconv_core.masks.shape import shape_of

SIZE = 256  # pixels; the paper's masks were measured at it
SHAPES = ("mean_depth", "contour", "known_parts")
# Hole ratios that are compared: the paper's masks that we know reach from 0.25 to 0.55.
COMPARED = ((0.25, 0.35), (0.35, 0.45), (0.45, 0.55))
# Beyond them the figures should go on smoothly.
ALL = ((0.05, 0.15), (0.15, 0.25), *COMPARED, (0.5, 0.6))
WITHIN = 0.25  # of the paper's mean


def of_paper() -> pd.DataFrame:
    """Figures of twenty of the paper's test masks, measured as `masks.shape.shape_of` does.

    Returns
    -------
    DataFrame
        A row a mask: mask, hole_ratio, mean_depth, max_depth, known_parts, contour.  Where the
        known parts of these masks are stated elsewhere, the hole may be counted as one more.
    """
    with (files("pconv_core.study") / "paper_masks.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype={"mask": str})


def measure(seed: int, count: int) -> pd.DataFrame:
    """Means over `count` masks of each kind, border setting and bin of `ALL`.

    Returns
    -------
    DataFrame
        kind, border, hole_ratio ("0.25-0.35"), ratio (the mean of the exact ones), and `SHAPES`.
    """
    rows = []
    for kind, border, (lo, hi) in product(PAPER_LIKE, (True, False), ALL):
        masks = (random_mask(SIZE, (lo, hi), border, seed, k, kind) for k in range(count))
        means = pd.DataFrame(map(shape_of, masks)).mean()
        row = {"kind": kind, "border": border, "hole_ratio": f"{lo}-{hi}"}
        rows.append({**row, "ratio": means["hole_ratio"], **means[list(SHAPES)]})
    return pd.DataFrame(rows)


def paper_means() -> pd.DataFrame:
    """Means of the paper's masks in the bins of `COMPARED`: hole_ratio, masks, and `SHAPES`."""
    paper, rows = of_paper(), []
    for lo, hi in COMPARED:
        inside = paper[(paper["hole_ratio"] > lo) & (paper["hole_ratio"] <= hi)]
        means = inside[list(SHAPES)].mean()
        rows.append({"hole_ratio": f"{lo}-{hi}", "masks": len(inside), **means})
    return pd.DataFrame(rows)


def over_paper(ours: pd.DataFrame) -> pd.DataFrame:
    """Divide what `measure` found by the paper's means, in the bins that can be compared."""
    keys = ["kind", "border", "hole_ratio"]
    paper = paper_means().set_index("hole_ratio")
    known = ours[ours["hole_ratio"].isin(paper.index)].set_index(keys)[list(SHAPES)]
    return known.div(paper[list(SHAPES)], level="hole_ratio").reset_index()
