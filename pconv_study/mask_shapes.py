"""How the holes of our masks measure beside the paper's: tables, and their figures."""

from collections.abc import Sequence
from itertools import product

import cv2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pconv_core.masks import KINDS, PAPER_LIKE, random_mask
from pconv_study.figures import BLUE, GREEN, PAPER, RED, page
from pconv_study.tables import published

SIZE = 256  # pixels; the paper's masks were measured at it
SHAPES = {
    "mean_depth": "mean depth in sides",
    "contour": "contour in sides",
    "known_parts": "known parts",
}
# Hole ratios that are compared: the paper's masks that we know reach from 0.25 to 0.55.
COMPARED = ((0.25, 0.35), (0.35, 0.45), (0.45, 0.55))
# Beyond them the figures should go on smoothly.
ALL = ((0.05, 0.15), (0.15, 0.25), *COMPARED, (0.5, 0.6))
WITHIN = {"mean_depth": 0.25, "contour": 0.25, "known_parts": 1 / 3}  # of the paper's mean
WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # pixels at `SIZE`
# Hole ratios at which widths are compared: where objects seldom meet, and those of the paper's.
SMALL, OF_PAPER = "0.01-0.1", "0.25-0.55"
_COLOURS = {"occlusion": BLUE, "strokes": RED, "thin": GREEN, "mixed": "#E69F00"}


def shape_of(mask: np.ndarray) -> dict[str, float]:
    """Measure the shape of the hole of a mask (height, width), 1 = known, 0 = hole.

    Returns
    -------
    dict
        "hole_ratio"; "mean_depth", the mean distance of the hole's pixels to the nearest known
        one; "known_parts", the connected parts (of eight neighbours) of what is known; and
        "contour", half the sum of a 3 x 3 morphological gradient.  Lengths are in short sides of
        the mask, and those of the contour pixels times pixels over the side.
    """
    hole = (mask == 0).astype(np.uint8)
    side = min(hole.shape)
    # OpenCV's approximation on 5 x 5 neighbours, since the paper's masks were measured with it.
    deep = cv2.distanceTransform(hole, cv2.DIST_L2, 5)
    gradient = cv2.morphologyEx(hole, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    parts, _ = cv2.connectedComponents(1 - hole, connectivity=8)
    return {
        "hole_ratio": float(hole.mean()),
        "mean_depth": float(deep[hole > 0].mean() / side),
        "known_parts": parts - 1,  # one label is the hole's
        "contour": float(gradient.sum() / 2 / side),
    }


def widths_of(mask: np.ndarray, widths: Sequence[int]) -> list[float]:
    """For each width in pixels the share of a mask's hole, (height, width), that wide or less.

    The width of the hole at one of its pixels is the side of the largest square of hole that holds
    the pixel: of a horizontal or vertical line its thickness, of a slanting one a little less.
    Beyond its sides the mask goes on as it ends there.
    """
    hole, shares = (mask == 0).astype(np.uint8), []
    for side in (width + 1 for width in widths):
        # Opened with a square one pixel wider, there is hole where it is wider.
        wide = cv2.copyMakeBorder(hole, *[side] * 4, cv2.BORDER_REPLICATE)
        square = np.ones((side, side), np.uint8)
        # Of even side it has no middle: what erodes to its first corner grows from its last.
        kept = cv2.erode(wide, square, anchor=(0, 0))
        wide = cv2.dilate(kept, square, anchor=(side - 1, side - 1))
        shares.append(1 - float((wide[side:-side, side:-side] * hole).sum() / hole.sum()))
    return shares


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


def over_paper(ours: pd.DataFrame) -> pd.DataFrame:
    """Divide what `measure` found by the means of twenty of the paper's masks.

    In the bins of `COMPARED`; paper_masks.csv was measured by `shape_of`, too.
    """
    paper = published("paper_masks")
    names = [f"{lo}-{hi}" for lo, hi in COMPARED]
    bins = pd.cut(paper["hole_ratio"], [COMPARED[0][0], *(hi for _, hi in COMPARED)], labels=names)
    means = paper.groupby(bins, observed=True)[list(SHAPES)].mean()
    known = ours[ours["hole_ratio"].isin(names)].set_index(["kind", "border", "hole_ratio"])
    return known[list(SHAPES)].div(means, level="hole_ratio").reset_index()


def widths(seed: int, count: int) -> pd.DataFrame:
    """Measure how wide the holes of each kind of mask are, over `count` masks.

    Returns
    -------
    DataFrame
        kind, hole_ratio (`SMALL` or `OF_PAPER`), width in pixels at `SIZE`, and at_most: the share
        of a hole's pixels where it is that wide or less (`widths_of`), in the mean.
    """
    rows = []
    for ratio, kind in product((SMALL, OF_PAPER), KINDS):
        lo, hi = map(float, ratio.split("-"))
        draws = ((SIZE, (lo, hi), k % 2 == 0, seed, k, kind) for k in range(count))
        shares = np.mean([widths_of(random_mask(*draw), WIDTHS) for draw in draws], axis=0)
        rows += [(kind, ratio, width, share) for width, share in zip(WIDTHS, shares, strict=True)]
    return pd.DataFrame(rows, columns=["kind", "hole_ratio", "width", "at_most"])


def shapes_figure(ours: pd.DataFrame) -> Figure:
    """Depth, contour and known parts of holes against their ratio, ours beside the paper's."""
    paper = published("paper_masks")
    with page(3.4, 1, len(SHAPES)) as (figure, axes):
        for axis, (name, label) in zip(axes, SHAPES.items(), strict=True):
            axis.plot(paper["hole_ratio"], paper[name], "*", **PAPER, label="paper, a mask each")
            for (kind, border), rows in ours.groupby(["kind", "border"], sort=False):
                look = {"color": _COLOURS[kind], "markersize": 4}
                place = "with border" if border else "no border"
                line = "-o" if border else "--s"
                axis.plot(rows["ratio"], rows[name], line, label=f"{kind}, {place}", **look)
            axis.set(xlabel="hole-to-image ratio", ylabel=label, ylim=(0, None))
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def widths_figure(ours: pd.DataFrame) -> Figure:
    """Share of the hole that is at most so wide; the means of ten of the paper's masks beside."""
    paper = published("paper_widths").set_index("mask").mean().rename(index=int)
    with page(3.4, 1, 2, sharey=True) as (figure, axes):
        for axis, interval in zip(axes, (SMALL, OF_PAPER), strict=True):
            for kind, rows in ours[ours["hole_ratio"] == interval].groupby("kind", sort=False):
                look = {"color": _COLOURS[kind], "markersize": 4, "label": kind}
                axis.plot(rows["width"], rows["at_most"], "-o", **look)
            axis.set_xscale("log", base=2)
            axis.set_xticks(ticks := [1, 2, 4, 8, 16, 32, 64], ticks)
            axis.set(xlabel="width in pixels of 256", title=f"hole ratio {interval}")
        axes[1].plot(paper.index, paper, "*", **PAPER, label="paper")
        axes[0].set_ylabel("share of the hole\nthat is at most so wide")
        figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure
