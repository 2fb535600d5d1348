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


def test_measures_are_drawn_by_the_hole_ratio_the_papers_beside_them():
    rows = [(m, r, 30.0 - k, 0.1 * k) for m in "ab" for k, r in enumerate(("0.01-0.1", "0.1-0.2"))]
    table = pd.DataFrame(rows, columns=["model", "hole_ratio", "psnr", "lite0"])
    paper = pd.DataFrame({"hole_ratio": ["0.1-0.2"], "psnr_db": [28.0]})
    psnr, lite0 = figures.by_ratio(table, ["psnr", "lite0"], paper).axes
    assert [line.get_ydata().tolist() for line in psnr.lines] == [[30, 29], [30, 29], [28]]
    assert psnr.lines[-1].get_xdata().tolist() == [1]
    assert len(lite0.lines) == 2
    assert "← better" in lite0.get_ylabel()


def test_losses_are_drawn_over_what_was_read_of_p_conv():
    steps = np.arange(10, 110, 10)
    stage = np.where(steps <= 50, "stage1", "stage2")
    record = pd.DataFrame({"stage": stage, "step": steps, "total": np.where(steps <= 50, 0.8, 9)})
    rows = [("ours", "stage1", 2.4, 0.5, 1.3), ("ours", "stage2", np.nan, 7, 26)]
    theirs = pd.DataFrame(rows, columns=["model", "stage", "first", "low", "high"])
    figure = figures.loss_curves({"ours": [record, record], "other": [record]}, theirs)
    banded, without = figure.axes
    boxes = [c.get_paths()[0].get_extents() for c in banded.collections]
    found = [(box.x0, box.x1, box.y0, box.y1) for box in boxes]
    assert found == [(10, 50, 0.5, 1.3), (60, 100, 7, 26)]
    assert not without.collections
    assert len(without.lines) == 1
