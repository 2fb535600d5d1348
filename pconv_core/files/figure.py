"""The one look of all figures (Okabe-Ito colours, one font size), and a figure as a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

WIDTH = 9.0  # inches; a README shows it at about 900 pixels

# Okabe and Ito (2008): distinguishable with every kind of colour vision.
COLOURS = {
    "pconv": "#0072B2",
    "unet": "#D55E00",
    "pconv_small": "#56B4E9",
    "conv": "#009E73",
    "mean fill": "#999999",
    "Navier-Stokes": "#CC79A7",
    "Telea": "#000000",
    "biharmonic": "#E69F00",
    "PatchMatch": "#882255",
    "continuation": "#7F5F00",  # darker than any of theirs
    "shipped weights": "#6A2C91",
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
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
