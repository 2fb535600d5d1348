"""Figures of the benchmark."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from pconv_core.files.figure import COLOURS, page, plain_log_axis

SHARE_COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#BBBBBB", "#D55E00")


def benchmark(table: pd.DataFrame) -> Figure:
    """What the mask costs, and how one photograph's inpainting grows with its size."""
    wide = table[table["base_channels"] == table["base_channels"].max()]
    pairs = wide[wide["subject"].notna() & wide["ratio"].notna()].iloc[::-1]
    one = table[(table["benchmark"] == "one photograph") & table["seconds"].notna()]
    with page(3.2, 1, 3, width_ratios=[2, 1, 1]) as (figure, axes):
        _ratios(axes[0], pairs)
        columns = (("seconds", "seconds"), ("memory_mib", "MiB at the peak"))
        for axis, (column, unit) in zip(axes[1:], columns, strict=True):
            axis.loglog(one["size"], one[column], "o-", color=COLOURS["pconv"])
            axis.set(xlabel="side in pixels", ylabel=unit, title="one photograph")
            axis.set_xticks(one["size"], [f"{size:.0f}" for size in one["size"]])
            axis.xaxis.set_minor_formatter(NullFormatter())
            plain_log_axis(axis)
        figure.suptitle(table["machine"].iloc[0], fontsize=10)
    return figure


def time_shares(table: pd.DataFrame) -> Figure:
    """Bars of where a training step's time goes: a network each, its operations side by side."""
    wide = table.pivot_table("milliseconds", "network", "operation", sort=False).iloc[::-1]
    with page(2.8) as (figure, axis):
        left = np.zeros(len(wide))
        for colour, (operation, milliseconds) in zip(SHARE_COLOURS, wide.items(), strict=True):
            seconds = milliseconds.to_numpy() / 1000
            axis.barh(wide.index, seconds, 0.6, left, color=colour, label=operation)
            left += seconds
        axis.set(xlabel="seconds of a training step")
        axis.grid(axis="y", visible=False)
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        first = table.iloc[0]
        figure.suptitle(
            f"{first['machine']}: {first['batch']} images of {first['size']} px, "
            f"{first['base_channels']} channels, eager, float32",
            fontsize=10,
        )
    return figure


def _ratios(axis, pairs: pd.DataFrame) -> None:
    """Time of one network over that of another, with quartiles: a line a comparison."""
    labels = []
    for row, pair in enumerate(pairs.itertuples()):
        key = "conv" if pair.reference == "ConvUNet" else "unet"
        reach = [[pair.ratio - pair.ratio_low], [pair.ratio_high - pair.ratio]]
        axis.errorbar(pair.ratio, row, xerr=reach, fmt="o", color=COLOURS[key], capsize=3)
        labels.append(
            f"{pair.benchmark}: {pair.phase},\n{pair.batch:.0f} x {pair.size:.0f} px, "
            f"{'compiled' if str(pair.compiled) == 'True' else 'eager'}, {pair.precision}"
        )
    axis.set_yticks(range(len(labels)), labels, fontsize=8)
    axis.axvline(1, color="#666666", linewidth=0.8, linestyle=":")
    axis.set(xlabel="ratio of times, with quartiles", title="what a mask costs")
