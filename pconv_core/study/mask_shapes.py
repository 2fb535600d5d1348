"""How the holes of our masks measure beside the paper's."""

from importlib.resources import files
from itertools import product

import numpy as np
import pandas as pd

from pconv_core.masks import KINDS, PAPER_LIKE, random_mask
from pconv_core.masks.shape import shape_of, widths_of

SIZE = 256  # pixels; the paper's masks were measured at it
SHAPES = ("mean_depth", "contour", "known_parts")
# Hole ratios that are compared: the paper's masks that we know reach from 0.25 to 0.55.
COMPARED = ((0.25, 0.35), (0.35, 0.45), (0.45, 0.55))
# Beyond them the figures should go on smoothly.
ALL = ((0.05, 0.15), (0.15, 0.25), *COMPARED, (0.5, 0.6))
WITHIN = 0.25  # of the paper's mean
WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # pixels at `SIZE`
# Hole ratios at which widths are compared: where objects seldom meet, and those of the paper's.
SMALL, OF_PAPER = "0.01-0.1", "0.25-0.55"


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


def paper_widths() -> pd.Series:
    """Share of the hole that is at most so wide, by the `WIDTHS`: the mean of ten paper masks."""
    with (files("pconv_core.study") / "paper_widths.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file, dtype={"mask": str}).set_index("mask")
    return table.mean().rename(index=int)


def widths(seed: int, count: int) -> pd.DataFrame:
    """Measure how wide the holes of each kind of mask are, over `count` masks.

    Returns
    -------
    DataFrame
        kind, hole_ratio (`SMALL` or `OF_PAPER`), width in pixels at `SIZE`, and at_most: the share
        of a hole's pixels where it is that wide or less (`masks.shape.widths_of`), in the mean.
    """
    rows = []
    for ratio, kind in product((SMALL, OF_PAPER), KINDS):
        lo, hi = map(float, ratio.split("-"))
        draws = ((SIZE, (lo, hi), k % 2 == 0, seed, k, kind) for k in range(count))
        shares = np.mean([widths_of(random_mask(*draw), WIDTHS) for draw in draws], axis=0)
        rows += [(kind, ratio, width, share) for width, share in zip(WIDTHS, shares, strict=True)]
    return pd.DataFrame(rows, columns=["kind", "hole_ratio", "width", "at_most"])


def widths_finding(table: pd.DataFrame) -> str:
    """Say in two lines what `widths` found: the share of narrow hole, and where half is reached."""
    shares = table.pivot(index=["hole_ratio", "width"], columns="kind", values="at_most")
    narrow = shares.loc[OF_PAPER].loc[4]
    told = ", ".join(f"{kind} {narrow[kind]:.1%}" for kind in KINDS)
    half = (shares.loc[SMALL] >= 0.5).idxmax()
    return (
        f"at most 4 pixels wide at hole ratios {OF_PAPER}: paper {paper_widths()[4]:.1%}, {told}\n"
        f"half of the hole is at most so wide at hole ratios {SMALL}: "
        + ", ".join(f"{kind} {half[kind]} pixels" for kind in KINDS)
    )
