"""Every figure of the study; `styles` are the keys of COLOURS by the model in a table."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from pconv_core.evaluation import UP_TO_HALF
from pconv_core.files.figure import COLOURS, WIDTH, page, plain_log_axis
from pconv_core.models import composite

PAPER = {"color": "#F0E442", "markeredgecolor": "black", "markersize": 11}
MARKERS = {"pconv": "o", "unet": "s", "pconv_small": "v", "conv": "D", "shipped weights": "P"}
KIND_COLOURS = {"occlusion": "pconv", "strokes": "unet", "thin": "conv", "mixed": "biharmonic"}

# Axes of the measures that figures show beside each other.
MEASURE_LABELS = {
    "psnr": r"PSNR of $I_{comp}$ in dB",
    "lite0": "Lite0 distance\n(lower is better)",
}
STAGE_LABELS = {"stage1": "stage 1", "stage2": "stage 2", "finetune": "fine-tuning"}
TERM_LABELS = {
    "valid": r"valid  $L_{valid}$",
    "hole": r"hole  $L_{hole}$",
    "perceptual": r"perceptual  $L_{perc}$",
    "style_out": r"style of $I_{out}$",
    "style_comp": r"style of $I_{comp}$",
    "tv": r"total variation  $L_{tv}$",
}


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


def fillings(
    images: Tensor, masks: Tensor, outs: dict[str, Tensor], titles: Sequence[str] = ()
) -> Figure:
    """Draw input, mask, I_out and I_comp of each network, and ground truth: a column a sample.

    Parameters
    ----------
    images, masks : Tensor of shape (N, 3, H, W) and (N, 1, H, W)
    outs : dict of network's name -> I_out, of shape (N, 3, H, W)
    titles : sequence of str
    """
    rows = {"input": images * masks, "mask": masks}
    for name, out in outs.items():
        rows[f"{name}\n$I_{{out}}$"] = out
        rows[f"{name}\n$I_{{comp}}$"] = composite(out, images, masks)
    rows["ground truth"] = images
    return picture_rows({k: [to_picture(i) for i in row] for k, row in rows.items()}, titles)


def to_picture(image: Tensor) -> np.ndarray:
    """(3, H, W) or (1, H, W) tensor to an array that `picture_rows` draws."""
    array = image.detach().clamp(0, 1).permute(1, 2, 0).numpy()
    return array[..., 0] if array.shape[2] == 1 else array


def ratio_histogram(ratios: dict[str, np.ndarray], edges: Sequence[float]) -> Figure:
    """Histogram of hole ratios for each kind of mask, with the bins' edges marked."""
    with page(2.8) as (figure, axis):
        bins = np.linspace(0, 0.62, 32)
        colours = [COLOURS[KIND_COLOURS[kind]] for kind in ratios]
        axis.hist(list(ratios.values()), bins, label=list(ratios), color=colours)
        for edge in edges:
            axis.axvline(edge, color="#666666", linewidth=0.8, linestyle=":")
        axis.set(xlabel="hole-to-image ratio (dotted: edges of the six bins)", ylabel="masks")
        axis.set_axisbelow(True)
        figure.legend(loc="outside upper center", ncols=len(ratios))
    return figure


def mask_shapes(ours: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """Depth, contour and known parts of holes against their ratio, ours beside the paper's.

    Parameters
    ----------
    ours, paper : DataFrame
        As `mask_shapes.measure` and `mask_shapes.of_paper` return them.
    """
    labels = {
        "mean_depth": "mean depth in sides",
        "contour": "contour in sides",
        "known_parts": "known parts",
    }
    with page(3.4, 1, len(labels)) as (figure, axes):
        for axis, (name, label) in zip(axes, labels.items(), strict=True):
            axis.plot(paper["hole_ratio"], paper[name], "*", **PAPER, label="paper, a mask each")
            for (kind, border), rows in ours.groupby(["kind", "border"], sort=False):
                look = "-o" if border else "--s"
                place = "with border" if border else "no border"
                colour = COLOURS[KIND_COLOURS[kind]]
                style = {"color": colour, "markersize": 4, "label": f"{kind}, {place}"}
                axis.plot(rows["ratio"], rows[name], look, **style)
            axis.set(xlabel="hole-to-image ratio", ylabel=label, ylim=(0, None))
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3)
    return figure


def mask_widths(ours: pd.DataFrame, paper: pd.Series) -> Figure:
    """Share of the hole that is at most so wide, a panel an interval of hole ratios.

    Parameters
    ----------
    ours, paper
        As `mask_shapes.widths` and `mask_shapes.paper_widths` return them; the paper's are drawn in
        the last panel.
    """
    intervals = list(dict.fromkeys(ours["hole_ratio"]))
    with page(3.4, 1, len(intervals), sharey=True) as (figure, axes):
        for axis, interval in zip(axes, intervals, strict=True):
            for kind, rows in ours[ours["hole_ratio"] == interval].groupby("kind", sort=False):
                look = {"color": COLOURS[KIND_COLOURS[kind]], "markersize": 4, "label": kind}
                axis.plot(rows["width"], rows["at_most"], "-o", **look)
            axis.set_xscale("log", base=2)
            axis.set_xticks(ticks := [1, 2, 4, 8, 16, 32, 64], ticks)
            axis.set(xlabel="width in pixels", title=f"hole ratio {interval}")
        axes[-1].plot(paper.index, paper, "*", **PAPER, label="paper")
        axes[0].set_ylabel("share of the hole\nthat is at most so wide")
        handles, names = axes[-1].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


def style_effect(by_seed: pd.DataFrame, effect: pd.DataFrame) -> Figure:
    """What stage 2's style weight changes, a panel a measure: each random seed, and the interval.

    Parameters
    ----------
    by_seed : DataFrame
        Difference of style weight 120 and 1 by random_seed, a column a measure.
    effect : DataFrame
        As `style_effect.effect` returns it.
    """
    labels = {"psnr": "PSNR in dB", "ssim": "SSIM", "lite0": "Lite0 distance (lower is better)"}
    effect = effect.set_index("metric")
    with page(2.4, 1, len(labels)) as (figure, axes):
        for axis, (name, label) in zip(axes, labels.items(), strict=True):
            row = effect.loc[name]
            reach = [[row["difference"] - row["low"]], [row["high"] - row["difference"]]]
            axis.axvline(0, color="black", linewidth=1, linestyle=":")
            axis.errorbar(
                row["difference"], 0, xerr=reach, fmt="D", color=COLOURS["pconv"], capsize=4
            )
            axis.plot(by_seed[name], [1] * len(by_seed), "o", mfc="none", color=COLOURS["unet"])
            axis.set(xlabel=f"{label},\n120 less 1", ylim=(-0.6, 1.6))
            axis.set_yticks([0, 1], ["mean", "each\nrandom\nseed"])
            axis.grid(axis="y", visible=False)
    return figure


def loss_curves(
    logs: dict[str, pd.DataFrame], colours: Sequence[str], curves: pd.DataFrame
) -> Figure:
    """P-Conv's three-panel figure: total loss against step, a panel a network.

    Parameters
    ----------
    logs : dict of title -> loss record
        As `Study.log` returns it.
    colours : sequence of str
        Keys of COLOURS, one a panel.
    curves : DataFrame
        As `tables.pconv_curves` returns it; its bands are drawn behind ours.
    """
    with page(3.2, 1, len(logs), sharey=True) as (figure, axes):
        for axis, (title, log), colour in zip(axes, logs.items(), colours, strict=True):
            axis.plot(log["step"], log["total"], ".", markersize=4, color=COLOURS[colour])
            axis.set(title=title, xlabel="step", yscale="log")
            plain_log_axis(axis)
            _mark_stages(axis, log)
            for band in curves[curves["look"] == colour].itertuples():
                steps = log.loc[log["stage"] == band.stage, "step"]
                span = [steps.min(), steps.max()]
                axis.fill_between(span, band.low, band.high, color="#BBBBBB", alpha=0.5, lw=0)
        bands = Patch(color="#BBBBBB", alpha=0.5, lw=0, label="P-Conv's curve stays in here")
        figure.legend(handles=[bands], loc="outside lower center")
        low, high = axes[0].get_ylim()
        axes[0].set_ylim(low, high * 1.8)  # room for the stages' names
        axes[0].set_ylabel("total loss (eq. 7, as trained)")
    return figure


def loss_terms(logs: dict[str, pd.DataFrame], colours: Sequence[str]) -> Figure:
    """The six unweighted terms of eq. 7 against step, a panel a term, a colour a network."""
    with page(4.8, 2, 3, sharex=True) as (figure, axes):
        for axis, (term, label) in zip(axes.flat, TERM_LABELS.items(), strict=True):
            for (title, log), colour in zip(logs.items(), colours, strict=True):
                axis.plot(
                    log["step"],
                    log[term],
                    MARKERS[colour],
                    markersize=2.5,
                    color=COLOURS[colour],
                    label=title,
                )
            axis.set(title=label, yscale="log")
            plain_log_axis(axis)
            _mark_stages(axis, next(iter(logs.values())), labels=False)
        for axis in axes[-1]:
            axis.set_xlabel("step")
        for axis in axes[:, 0]:
            axis.set_ylabel("term, unweighted")
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(logs), markerscale=2)
    return figure


def psnr_by_bin(table: pd.DataFrame, styles: dict[str, str], reference: pd.DataFrame) -> Figure:
    """PSNR and Lite0 distance of I_comp against hole ratio, without and with border.

    Parameters
    ----------
    table : DataFrame
        As `evaluation.by_bin` returns it.
    reference : DataFrame
        Published rows (hole_ratio, psnr_db) of the paper, with border.
    """
    bins = list(dict.fromkeys(table["hole_ratio"]))
    rows = len(MEASURE_LABELS)
    with page(6.4, rows, 2, sharex=True, sharey="row") as (figure, axes):
        for line, name in zip(axes, MEASURE_LABELS, strict=True):
            for axis, border in zip(line, (False, True), strict=True):
                for order, (model, key) in enumerate(styles.items()):
                    part = table[(table["model"] == model) & (table["border"] == border)]
                    at = [bins.index(b) for b in part["hole_ratio"]]
                    # The first of two that nearly coincide is on top.
                    axis.plot(at, part[name], **_line(model, key), zorder=3 - order / 100)
                axis.set_xticks(range(len(bins)), bins)
            line[0].set_ylabel(MEASURE_LABELS[name])
        at = [bins.index(b) for b in reference["hole_ratio"]]
        label = "paper, Places2, 512 px"
        axes[0, 1].plot(at, reference["psnr_db"], "*", **PAPER, label=label, zorder=4)
        for axis, kind in zip(axes[0], ("stay clear of", "may touch"), strict=True):
            axis.set_title(f"holes {kind} the border")
        for axis in axes[-1]:
            axis.set_xlabel("hole-to-image ratio")
        handles, labels = axes[0, 1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def psnr_differences(
    gaps: pd.DataFrame, of: str, styles: dict[str, str], lite0: pd.DataFrame | None = None
) -> Figure:
    """PSNR and Lite0 distance of one method less those of others, with 95 % intervals.

    Parameters
    ----------
    gaps, lite0 : DataFrame
        As `evaluation.differences` returns them, of PSNR and of the Lite0 distance; without the
        latter the figure has one panel.
    of : str
        The method that the others are taken from.
    """
    panels = {"psnr": gaps} if lite0 is None else {"psnr": gaps, "lite0": lite0}
    labels = {"psnr": "PSNR in dB", "lite0": "Lite0 distance (lower is better)"}
    with page(3.8, 1, len(panels), squeeze=False) as (figure, (axes,)):
        for axis, (name, table) in zip(axes, panels.items(), strict=True):
            _intervals(axis, table, name, of, styles)
            axis.set_ylabel(f"{labels[name]},\n{of} less the others")
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3)
    return figure


def _intervals(axis, gaps: pd.DataFrame, name: str, of: str, styles: dict[str, str]) -> None:
    """Draw the differences of a measure against hole ratio, a line a method."""
    gaps = gaps[gaps["hole_ratio"] != UP_TO_HALF]
    bins = list(dict.fromkeys(gaps["hole_ratio"]))
    axis.axhline(0, color="black", linewidth=1, linestyle=":")
    for number, (model, key) in enumerate(styles.items()):
        part = gaps[gaps["difference"] == f"{of} - {model}"].set_index("hole_ratio").loc[bins]
        aside = 0.05 * (number - (len(styles) - 1) / 2)  # or the intervals hide each other
        axis.errorbar(
            np.arange(len(bins)) + aside,
            part[name],
            yerr=[part[name] - part["low"], part["high"] - part[name]],
            capsize=3,
            **_line(model, key),
        )
    axis.set_xticks(range(len(bins)), bins)
    axis.set_xlabel("hole-to-image ratio")


def psnr_by_size(table: pd.DataFrame, styles: dict[str, str]) -> Figure:
    """PSNR and Lite0 distance of I_comp against the size of evaluation, a line a network."""
    with page(3.6, 1, len(MEASURE_LABELS)) as (figure, axes):
        for axis, (name, label) in zip(axes, MEASURE_LABELS.items(), strict=True):
            for model, key in styles.items():
                part = table[table["model"] == model].sort_values("evaluated_at")
                axis.plot(part["evaluated_at"], part[name], **_line(model, key))
            axis.set_xticks(sorted(table["evaluated_at"].unique()))
            axis.set(xlabel="side of the evaluated crop in pixels", ylabel=label)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def by_width(table: pd.DataFrame, styles: dict[str, str]) -> Figure:
    """PSNR in the hole and Lite0 distance on thin, medium and thick holes, a line a method.

    Parameters
    ----------
    table : DataFrame
        As `tables.by_width` returns it.
    """
    labels = {"psnr_hole": "PSNR in the hole in dB", "lite0": MEASURE_LABELS["lite0"]}
    names = list(dict.fromkeys(table["holes"]))
    with page(3.6, 1, len(labels)) as (figure, axes):
        for axis, (name, label) in zip(axes, labels.items(), strict=True):
            for model, key in styles.items():
                part = table[table["model"] == model].set_index("holes").loc[names]
                axis.plot(range(len(names)), part[name], **_line(model, key))
            axis.set_xticks(range(len(names)), names)
            axis.set(xlabel="holes", ylabel=label)
        handles, models = axes[0].get_legend_handles_labels()
        figure.legend(handles, models, loc="outside lower center", ncols=4)
    return figure


def psnr_by_distance(table: pd.DataFrame, styles: dict[str, str]) -> Figure:
    """PSNR against the distance from the known pixels, as `evaluation.by_distance` found them."""
    spans = list(dict.fromkeys(table["distance"]))
    with page(3.4) as (figure, axis):
        for model, key in styles.items():
            part = table[table["model"] == model].set_index("distance").loc[spans]
            axis.plot(range(len(spans)), part["psnr"], **_line(model, key))
        axis.set_xticks(range(len(spans)), spans)
        axis.set(xlabel="distance from the known pixels in pixels", ylabel="PSNR in dB")
        figure.legend(loc="outside lower center", ncols=3)
    return figure


def disc(table: pd.DataFrame, styles: dict[str, str], theirs: pd.Series) -> Figure:
    """PSNR of I_out, of I_comp and in the hole on P-Conv's kind of test case, a row a method.

    Parameters
    ----------
    table : DataFrame
        As `disc.table` makes it.
    styles : dict of model -> key of COLOURS
    theirs : Series
        P-Conv's figures of I_out in dB, by the names of its networks.
    """
    panels = {
        "disc_out": "$I_{out}$",
        "disc_comp": "$I_{comp}$, known pixels put back",
        "disc_hole": "in the hole alone",
    }
    rows = list(styles)[::-1]
    found = table.set_index("model").loc[rows]
    with page(0.7 + 0.3 * len(rows), 1, len(panels), sharey=True) as (figure, axes):
        for axis, (name, title) in zip(axes, panels.items(), strict=True):
            for line, model in enumerate(rows):
                look = _line(model, styles[model]) | {"linestyle": "", "marker": "o"}
                axis.plot(found.loc[model, name], line, **look)
            axis.set(title=title, xlabel="PSNR in dB")
        for name, value in theirs.items():
            axes[0].axvline(value, color="#666666", linewidth=0.8, linestyle=":")
            axes[0].text(
                value, len(rows) - 0.4, f"P-Conv's\n{name}", ha="center", va="bottom", fontsize=7
            )
        axes[0].set_title(axes[0].get_title(), pad=22)
        axes[0].set_yticks(range(len(rows)), rows)
        axes[0].set_ylim(-0.6, len(rows) - 0.4)
    return figure


def deviation_ranking(table: pd.DataFrame) -> Figure:
    """What each departure does to each measure, the least PSNR on top, with 95 % intervals.

    What had no finite loss has a row without a point above the others.
    """
    ranked = table.iloc[1:].sort_values("delta_psnr", ascending=False)
    rows = range(len(ranked))
    panels = {"psnr": "PSNR in dB", "ssim": "SSIM", "lite0": "Lite0 distance\n(lower is better)"}
    with page(4.6, 1, len(panels), sharey=True, width_ratios=[3, 2, 2]) as (figure, axes):
        for axis, (name, label) in zip(axes, panels.items(), strict=True):
            delta, reach = ranked[f"delta_{name}"], ranked[f"reach_{name}"]
            axis.errorbar(delta, rows, xerr=reach, fmt="o", color=COLOURS["pconv"], capsize=3)
            axis.axvline(0, color="#666666", linewidth=0.8, linestyle=":")
            axis.set(xlabel=label)
        figure.supxlabel("difference to the faithful run", fontsize=10)
        axes[0].set_yticks(rows, ranked["deviation"])
    return figure


def thin_effect(effect: pd.DataFrame, classical: pd.DataFrame) -> Figure:
    """PSNR of ways to train, and of classical methods, less that of the faithful way.

    Parameters
    ----------
    effect : DataFrame
        As `thin_effect.run` returns it: a row a way and measure, with 95 % intervals.
    classical : DataFrame
        A row a method: model, and its mean by measure.
    """
    shown = {"psnr": "picture,\nup to 0.5"}
    lines = [name for name in classical if name.startswith("line_")]
    shown |= {name: f"{name.removeprefix('line_')} px" for name in lines}
    colours = [COLOURS[key] for key in ("unet", "pconv_small", "pconv", "conv")]
    faithful = effect.drop_duplicates("metric").set_index("metric")["faithful"]
    with page(3.6) as (figure, axis):
        axis.axhline(0, color="black", linewidth=1, linestyle=":")
        ways = list(effect["model"].unique())
        for k, (way, colour) in enumerate(zip(ways, colours, strict=True)):
            rows = effect[effect["model"] == way].set_index("metric").loc[list(shown)]
            reach = [rows["difference"] - rows["low"], rows["high"] - rows["difference"]]
            places = np.arange(len(shown)) + (k - (len(ways) - 1) / 2) * 0.14
            look = {"fmt": "osv^D"[k], "color": colour, "capsize": 3}
            axis.errorbar(places, rows["difference"], yerr=reach, label=way, **look)
        for marker, row in zip("x+*", classical.set_index("model").iterrows(), strict=False):
            gaps = [row[1][name] - faithful[name] for name in shown]
            places = np.arange(len(shown)) + 0.4
            axis.plot(places, gaps, marker, color="black", markersize=8, label=row[0])
        axis.set_xticks(range(len(shown)), shown.values())
        axis.set(xlabel="in the hole of lines this wide", ylabel="PSNR less faithful, in dB")
        axis.grid(axis="x", visible=False)
        figure.legend(loc="outside upper left", ncols=2)
    return figure


def picture_grid(pictures: dict[str, np.ndarray], columns: int = 4) -> Figure:
    """Draw pictures (H, W, 3) line by line, each under its title."""
    lines = -(-len(pictures) // columns)
    side = WIDTH / columns
    with page((side + 0.2) * lines, lines, columns, squeeze=False) as (figure, axes):
        for axis in axes.flat:
            axis.set_axis_off()
        for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=False):
            axis.imshow(picture, vmin=0, vmax=1, interpolation="nearest")
            axis.set_title(title, fontsize=8)
    return figure


def _line(model: str, key: str) -> dict:
    """How a method's line looks: a network's solid, a classical method's dashed."""
    marker, style = (MARKERS[key], "-") if key in MARKERS else (".", "--")
    return {"marker": marker, "linestyle": style, "color": COLOURS[key], "label": model}


def _mark_stages(axis, log: pd.DataFrame, labels: bool = True) -> None:
    """Draw a line where a stage begins, and its name."""
    end = None
    for name, part in log.groupby("stage", sort=False):
        if end is not None:
            axis.axvline(end, color="#666666", linewidth=0.8, linestyle=":")
        end = part["step"].iloc[-1]
        if labels:
            axis.text(
                part["step"].mean(),
                1.0,
                STAGE_LABELS[name],
                transform=axis.get_xaxis_transform(),
                ha="center",
                va="top",
                fontsize=8,
                rotation=90,
            )
