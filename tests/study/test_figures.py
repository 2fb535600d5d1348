"""Figures show what the tables hold, and where it is better."""

import numpy as np
import pandas as pd
import pytest

from pconv_study import figures


def test_differences_are_drawn_with_their_intervals():
    columns = ["label", "measure", "mean", "low", "high"]
    rows = [
        ("less b", "psnr", 1.0, 0.5, 2.0),
        ("less c", "psnr", -1.0, -3.0, -0.5),
        ("less b", "lite0", -0.2, -0.3, 0.1),
        ("less c", "lite0", 0.2, 0.1, 0.3),
    ]
    psnr, lite0 = figures.forest(pd.DataFrame(rows, columns=columns), ["psnr", "lite0"]).axes
    line, _, (bars,) = psnr.containers[0].lines
    assert line.get_xdata().tolist() == [-1.0, 1.0]  # from below
    ends = np.array([segment[:, 0] for segment in bars.get_segments()])
    assert ends == pytest.approx(np.array([[-3.0, -0.5], [0.5, 2.0]]))
    assert [t.get_text() for t in psnr.get_yticklabels()] == ["less c", "less b"]
    assert "→ better" in psnr.get_xlabel()
    assert "← better" in lite0.get_xlabel()


def test_a_comparison_names_who_is_better_and_shades_the_margin():
    rows = [("partial", other, "psnr", 0.1, -0.3, 0.5) for other in ("masked", "plain")]
    columns = ["variant", "other", "measure", "mean", "low", "high"]
    table = pd.DataFrame(rows, columns=columns)
    (axis,) = figures.forest(table, ["psnr"], margin=0.2).axes
    names = [t.get_text() for t in axis.get_yticklabels()]
    assert names == ["partial less plain", "partial less masked"]  # from below
    assert "→ partial better" in axis.get_xlabel()
    (margin,) = axis.patches
    assert margin.get_extents().x0 == pytest.approx(axis.transData.transform((-0.2, 0))[0])
    (axis,) = figures.forest(table.assign(p_holm=[0.04, 0.06]), ["psnr"]).axes
    (hollow,) = [line for line in axis.lines if line.get_markerfacecolor() == "white"]
    assert np.isnan(hollow.get_xdata()).tolist() == [False, True]  # from below
    mixed = pd.concat([table, table.assign(variant="gated")])
    assert "→ first better" in figures.forest(mixed, ["psnr"]).axes[0].get_xlabel()


def test_a_learning_curve_has_bands_methods_and_names_that_are_apart():
    rows = [(v, n, 26 + k, 24, 28) for v in ("partial", "masked") for k, n in enumerate((6, 12))]
    columns = ["variant", "samples", "mean", "low", "high"]
    means = pd.DataFrame(rows, columns=columns).assign(measure="psnr")
    methods = pd.DataFrame([("Telea", "psnr", 26.1)], columns=["variant", "measure", "mean"])
    (axis,) = figures.learning_curve(means, methods, ["psnr"]).axes
    assert [line.get_label() for line in axis.lines] == ["partial", "masked", "Telea"]
    band = axis.collections[0].get_paths()[0].get_extents()
    assert (band.x0, band.y0, band.x1, band.y1) == pytest.approx((6, 24, 12, 28))
    ends = {text.get_text(): text for text in axis.texts if text.get_text() != "//"}
    assert set(ends) == {"partial", "masked", "Telea"}
    places = sorted(text.xyann[1] for text in ends.values())
    assert np.diff(places).min() > 0.06  # of the axis; the two networks end at one place
    assert [t.get_text() for t in axis.get_xticklabels()] == ["6", "12", "36 million,\nP-Conv →"]
