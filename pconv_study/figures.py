"""Every figure of the study, in one look (Okabe-Ito colours, one font size)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from scipy.optimize import isotonic_regression
from torch import Tensor

WIDTH = 9.0  # inches; a README shows it at about 900 pixels

# Okabe and Ito (2008): distinguishable with every kind of colour vision.
BLUE, SKY, RED, GREEN = "#0072B2", "#56B4E9", "#D55E00", "#009E73"
# Colour and marker of a network or method, by how its name begins; the longer beginnings first.
LOOKS = {
    "partial, style 120": (BLUE, "o"),
    "partial, style 1": (SKY, "v"),
    "traditional, style 120": (RED, "s"),
    "traditional, style 1": ("#E69F00", "X"),
    "partial small": (SKY, "v"),
    "partial-masked": (SKY, "^"),
    "partial": (BLUE, "o"),
    "traditional": (RED, "s"),
    "masked": (GREEN, "D"),
    "plain": ("#CC79A7", "P"),
    "gated": ("#E69F00", "X"),
    "merged": ("#7F5F00", "*"),
    "shipped": ("#6A2C91", "P"),
    "Telea": ("#000000", "+"),
    "biharmonic": ("#E69F00", "2"),
    "PatchMatch": ("#882255", "3"),
}
# Axes of the measures, and whether more of it is better.
MEASURES = {
    "psnr": (r"PSNR of $I_{comp}$ in dB", True),
    "ssim": ("SSIM", True),
    "lite0": ("Lite0 distance", False),
    "psnr_hole": ("PSNR in the hole in dB", True),
    "psnr_edge": ("PSNR at the hole's edge in dB", True),
    "psnr_inside": ("PSNR deep inside it in dB", True),
    "ratio": ("ratio of times, with quartiles", False),
}
STYLE = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}

PAPER = {"color": "#F0E442", "markeredgecolor": "black", "markersize": 11}
STAGE_LABELS = {"stage1": "stage 1", "stage2": "stage 2", "finetune": "fine-tuning"}


def picture_rows(
    rows: dict[str, Sequence[np.ndarray]], titles: Sequence[str] = (), height: float = 1.0
) -> Figure:
    """Draw a grid of pictures, a labelled row a kind.

    Parameters
    ----------
    rows : dict of label -> pictures
        Pictures of shape (H, W), drawn grey from 0 to 1, or (H, W, 3); as many in each row.
    titles : sequence of str
        One above each column, or none.
    height : float
        Height over width of a picture.
    """
    count = len(next(iter(rows.values())))
    side = (WIDTH - 1.3) / count
    with page(side * height * len(rows), len(rows), count, squeeze=False) as (figure, axes):
        for line, (label, pictures) in zip(axes, rows.items(), strict=True):
            for axis, picture in zip(line, pictures, strict=True):
                axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(True)
                axis.spines[:].set_color("#BBBBBB")
            line[0].set_ylabel(label, rotation=0, ha="right", va="center")
        for axis, title in zip(axes[0], titles, strict=False):
            axis.set_title(title)
    return figure


def to_picture(image: Tensor) -> np.ndarray:
    """(3, H, W) or (1, H, W) tensor to an array that `picture_rows` draws."""
    array = image.detach().clamp(0, 1).permute(1, 2, 0).numpy()
    return array[..., 0] if array.shape[2] == 1 else array


def by_stage(table: pd.DataFrame, measures: Sequence[str]) -> Figure:
    """Measures after each stage: a line through the means of a network, every random seed a dot.

    Parameters
    ----------
    table : DataFrame
        model, random_seed, stage, and a column a measure of `MEASURES`.
    """
    models, stages = (list(dict.fromkeys(table[name])) for name in ("model", "stage"))
    with page(3.4, 1, len(measures), squeeze=False) as (figure, (axes,)):
        for axis, name in zip(axes, measures, strict=True):
            for number, model in enumerate(models):
                part = table[table["model"] == model]
                at = np.arange(len(stages)) + 0.1 * (number - (len(models) - 1) / 2)
                axis.plot(at, part.groupby("stage", sort=False)[name].mean(), **look(model))
                places = [at[stages.index(stage)] for stage in part["stage"]]
                axis.plot(places, part[name], "o", mfc="none", color=look(model)["color"])
            axis.set_xticks(range(len(stages)), [STAGE_LABELS[stage] for stage in stages])
            axis.set_ylabel(axis_label(name))
            axis.grid(axis="x", visible=False)
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(models))
    return figure


def forest(
    table: pd.DataFrame, measures: Sequence[str], margin: float = 0.0, same: float = 0.0
) -> Figure:
    """Differences with their 95 % intervals, a row a comparison, a panel a measure.

    Parameters
    ----------
    table : DataFrame
        variant, other, measure, mean, low and high, as `statistics.differences` has them, of one
        part of one set of masks; or label instead of the first two.  With the column `series`, a
        line of each beside the others; with p_holm, a hollow marker where it is above 0.05.
    margin : float
        In dB: differences of PSNR that count as none, shaded.
    same : float
        Where neither is better.
    """
    winner = "better"
    if "label" not in table:
        first = table["variant"].unique()
        winner = f"{first[0] if len(first) == 1 else 'first'} better"
        long = (table["variant"] + table["other"]).str.len().max() > 24
        less = "\nless " if long else " less "
        table = table.assign(label=table["variant"] + less + table["other"])
    labels = list(dict.fromkeys(table["label"]))[::-1]
    series = list(dict.fromkeys(table.get("series", [""])))
    height = (0.5 if "\n" in labels[0] else 0.35) * (1 + 0.4 * (len(series) - 1))
    with page(1.1 + height * len(labels), 1, len(measures), sharey=True, squeeze=False) as (
        figure,
        (axes,),
    ):
        for axis, name in zip(axes, measures, strict=True):
            if margin and name == "psnr":
                axis.axvspan(same - margin, same + margin, color="#DDDDDD", lw=0)
                axis.set_title(f"grey: within {margin:g} dB", fontsize=8)
            axis.axvline(same, color="black", linewidth=1, linestyle=":")
            rows = table[table["measure"] == name]
            for number, one in enumerate(series):
                of_one = rows[rows["series"] == one] if one else rows
                of_one = of_one.set_index("label").reindex(labels)
                reach = [of_one["mean"] - of_one["low"], of_one["high"] - of_one["mean"]]
                at = np.arange(len(labels)) - 0.25 * (number - (len(series) - 1) / 2)
                drawn = {"fmt": "Dos"[number], "color": (BLUE, RED, "#777777")[number]}
                axis.errorbar(of_one["mean"], at, xerr=reach, capsize=4, ms=5, label=one, **drawn)
                weak = of_one["mean"].where(of_one.get("p_holm", 0 * of_one["mean"]) > 0.05)
                axis.plot(weak, at, drawn["fmt"], mfc="white", mec=drawn["color"], ms=5, zorder=3)
            axis.set(xlabel=axis_label(name, winner), ylim=(-0.6, len(labels) - 0.4))
            axis.locator_params(axis="x", nbins=12 // len(measures))
            axis.grid(axis="y", visible=False)
        axes[0].set_yticks(range(len(labels)), labels)
        if series != [""]:
            handles = axes[0].get_legend_handles_labels()
            figure.legend(*handles, loc="outside lower center", ncols=len(series))
    return figure


def learning_curve(
    means: pd.DataFrame, methods: pd.DataFrame, measures: Sequence[str], theirs: float = 36e6
) -> Figure:
    """Measures against training samples, a line a network, its band over random seeds.

    Parameters
    ----------
    means, methods : DataFrame
        variant, samples, measure, mean, and low and high of the band, of one part of one set of
        masks: networks, and what is not trained (dashed; without a band).
    theirs : float
        P-Conv's samples, named behind a break of the axis.
    """
    rungs = sorted(means["samples"].unique())
    beyond = 2.5 * rungs[-1]
    ticks = {**{n: f"{n:,}" for n in rungs}, beyond: f"{theirs / 1e6:g} million,\nP-Conv →"}
    with page(4.2, 1, len(measures), squeeze=False) as (figure, (axes,)):
        for axis, name in zip(axes, measures, strict=True):
            ends = []
            for variant, line in means[means["measure"] == name].groupby("variant", sort=False):
                line, drawn = line.sort_values("samples"), look(variant)
                axis.plot(line["samples"], line["mean"], **drawn, markersize=5)
                band = line["samples"], line["low"], line["high"]
                axis.fill_between(*band, color=drawn["color"], alpha=0.2, lw=0)
                ends.append((line["mean"].iloc[-1], line["samples"].iloc[-1], drawn))
            for row in methods[methods["measure"] == name].itertuples():
                drawn = {"color": "#555555", "label": row.variant}
                axis.axhline(row.mean, **drawn, linestyle="--", linewidth=1)
                ends.append((row.mean, beyond, drawn))
            axis.set_xscale("log", base=2)
            axis.set_xticks(list(ticks), ticks.values(), fontsize=8)
            axis.minorticks_off()
            middle = (beyond * rungs[-1]) ** 0.5
            axis.text(middle, 0, "//", transform=axis.get_xaxis_transform(), va="center")
            axis.set(xlabel="training samples", xlim=(rungs[0] / 1.25, beyond))
            axis.set_ylabel(axis_label(name))
            name_ends(axis, ends)
    return figure


def name_ends(axis, ends: Sequence[tuple[float, float, dict]], apart: float = 0.062) -> None:
    """Name lines at the right of an axis, given (y, x, look) of their ends.

    Names stand as near to their ends as they can, `apart` heights of the axis from each other.
    """
    low, high = axis.get_ylim()
    ends = sorted(ends, key=lambda end: end[0])
    steps = apart * np.arange(len(ends))
    wished = np.array([(y - low) / (high - low) for y, *_ in ends])
    places = isotonic_regression(wished - steps).x.clip(0, max(0, 1 - steps[-1])) + steps
    for (y, x, drawn), place in zip(ends, places, strict=True):
        colour = {"color": drawn["color"]}
        line = {"arrowstyle": "-", "linewidth": 0.6, "shrinkB": 0, "relpos": (0, 0.5), **colour}
        where = {"xytext": (1.06, place), "textcoords": "axes fraction", "va": "center"}
        axis.annotate(drawn["label"], (x, y), **where, arrowprops=line, fontsize=9, **colour)


def loss_curves(records: Mapping[str, Sequence[pd.DataFrame]], theirs: pd.DataFrame) -> Figure:
    """P-Conv's three-panel figure: total loss against step, a panel a network, a line a seed.

    Parameters
    ----------
    records : mapping of title -> loss records
        One a random seed, of the same steps.
    theirs : DataFrame
        What was read off P-Conv's curve, by the same titles in the column `model`: stage, first
        (where it begins; may be NaN), low and high (between which it settles).
    """
    with page(3.4, 1, len(records), sharey=True) as (figure, axes):
        for axis, (title, of_seeds) in zip(axes, records.items(), strict=True):
            for record in of_seeds:
                axis.plot(record["step"], record["total"], color=look(title)["color"], lw=0.8)
            axis.set(title=title, xlabel="step", yscale="log")
            plain_log_axis(axis)
            for row in theirs[theirs["model"] == title].itertuples():
                steps = of_seeds[0].loc[of_seeds[0]["stage"] == row.stage, "step"]
                span, look_of = [steps.min(), steps.max()], {"color": "#777777", "alpha": 0.35}
                axis.fill_between(span, row.low, row.high, lw=0, **look_of)
                axis.plot(steps.min(), row.first, "*", color="black", markersize=9)
                axis.axvline(steps.min(), color="#666666", linewidth=0.8, linestyle=":")
        axes[0].set_ylabel("total loss (eq. 7, as trained)")
        looks = [
            Line2D([], [], color="black", lw=0.8, label="ours, a line a random seed"),
            Line2D([], [], ls="", marker="*", color="black", label="P-Conv's curve begins here"),
            Patch(color="#777777", alpha=0.35, lw=0, label="... and settles in here"),
        ]
        figure.legend(handles=looks, loc="outside lower center", ncols=len(looks))
    return figure


def look(name: str) -> dict:
    """How the line of a network or method looks: its colour, marker and label."""
    for beginning, (colour, marker) in LOOKS.items():
        if name.startswith(beginning):
            style = "--" if marker in "+23" else "-"
            return {"color": colour, "marker": marker, "linestyle": style, "label": name}
    return {"color": "#666666", "marker": ".", "linestyle": "-", "label": name}


def axis_label(measure: str, said: str = "better") -> str:
    """Name of a measure, and an arrow to where it is better, on an axis of either direction."""
    name, more = MEASURES[measure]
    return f"{name}\n{'→' if more else '←'} {said}"


def by_ratio(table: pd.DataFrame, measures: Sequence[str], paper: pd.DataFrame) -> Figure:
    """Measures against the hole ratio, a line a model.

    Parameters
    ----------
    table : DataFrame
        model, hole_ratio, and a column a measure of `MEASURES`.
    paper : DataFrame
        The paper's psnr_db by hole_ratio, as stars where PSNR is drawn.
    """
    bins = list(dict.fromkeys(table["hole_ratio"]))
    with page(3.6, 1, len(measures)) as (figure, axes):
        for axis, name in zip(axes, measures, strict=True):
            for model, part in table.groupby("model", sort=False):
                axis.plot([bins.index(b) for b in part["hole_ratio"]], part[name], **look(model))
            if name == "psnr":
                at = [bins.index(b) for b in paper["hole_ratio"]]
                axis.plot(at, paper["psnr_db"], "*", **PAPER, label="paper, Places2, 512 px")
            axis.set_xticks(range(len(bins)), bins)
            axis.set(xlabel="hole ratio", ylabel=axis_label(name))
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3)
    return figure


def picture_grid(
    pictures: Mapping[str, np.ndarray], columns: int = 4, height: float = 1.0
) -> Figure:
    """Draw pictures (H, W, 3), each under its title, line by line; `height` is that of a width."""
    lines = -(-len(pictures) // columns)
    side = WIDTH / columns
    with page((side * height + 0.25) * lines, lines, columns, squeeze=False) as (figure, axes):
        for axis in axes.flat:
            axis.set_axis_off()
        for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=False):
            axis.imshow(picture, vmin=0, vmax=1, interpolation="nearest")
            axis.set_title(title, fontsize=9)
    return figure


@contextmanager
def page(height: float, rows: int = 1, columns: int = 1, **options) -> Iterator[tuple]:
    """Yield a figure as wide as a page, `height` inches high, and its axes, to be drawn on."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, height), **options)
        yield figure, axes
    plt.close(figure)


def save(figure: Figure, path: Path) -> Figure:
    """Write a figure as PNG, the same bytes for the same figure, and return it."""
    figure.savefig(path, format="png", dpi=110, metadata={"Software": None})
    return figure


def plain_log_axis(axis) -> None:
    """Label a logarithmic axis with decimals, few enough to read."""
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
