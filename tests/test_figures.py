"""Figures show what the tables hold."""

import numpy as np
import pandas as pd
import pytest

from pconv_core.evaluation import UP_TO_HALF
from pconv_core.masks import KINDS
from pconv_core.study import figures
from pconv_core.study.tables import pconv_curves


def test_differences_are_drawn_with_their_intervals():
    columns = ["difference", "hole_ratio", "psnr", "low", "high"]
    rows = [
        ("a - b", UP_TO_HALF, 9.0, 8.0, 10.0),
        ("a - b", "0.01-0.1", 1.0, 0.5, 2.0),
        ("a - b", "0.1-0.2", -1.0, -3.0, -0.5),
        ("a - c", "0.01-0.1", 5.0, 4.0, 6.0),
        ("a - c", "0.1-0.2", 5.0, 4.0, 6.0),
    ]
    figure = figures.psnr_differences(pd.DataFrame(rows, columns=columns), "a", {"b": "unet"})
    (axis,) = figure.axes
    (container,) = axis.containers
    line, _, (bars,) = container.lines
    assert line.get_ydata().tolist() == [1.0, -1.0]
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    assert ends == pytest.approx(np.array([[0.5, 2.0], [-3.0, -0.5]]))
    assert [t.get_text() for t in axis.get_xticklabels()] == ["0.01-0.1", "0.1-0.2"]


def by_bin():
    rows = [
        (model, ratio, border, 30.0 - k - 5 * far, 0.1 + 0.1 * k + 0.05 * far)
        for far, model in enumerate("ab")
        for border in (True, False)
        for k, ratio in enumerate(("0.01-0.1", "0.1-0.2"))
    ]
    return pd.DataFrame(rows, columns=["model", "hole_ratio", "border", "psnr", "lite0"])


def test_psnr_and_lite0_distance_stand_above_each_other():
    table = by_bin()
    paper = pd.DataFrame({"hole_ratio": ["0.1-0.2"], "psnr_db": [28.0]})
    figure = figures.psnr_by_bin(table, {"a": "pconv", "b": "Telea"}, paper)
    for axis, name in zip(figure.axes, ("psnr", "psnr", "lite0", "lite0"), strict=True):
        for line, model in zip(axis.lines, "ab", strict=False):
            part = table[(table["model"] == model) & table["border"]]
            assert line.get_ydata().tolist() == part[name].tolist()
    assert "Lite0 distance" in figure.axes[2].get_ylabel()
    assert "lower is better" in figure.axes[2].get_ylabel()
    assert [len(axis.lines) for axis in figure.axes] == [2, 3, 2, 2]


def test_both_differences_are_drawn():
    rows = [("a - b", "0.01-0.1", 1.0, 0.5, 2.0)]
    psnr = pd.DataFrame(rows, columns=["difference", "hole_ratio", "psnr", "low", "high"])
    lite0 = psnr.rename(columns={"psnr": "lite0"}).assign(lite0=-0.2, low=-0.3, high=0.1)
    figure = figures.psnr_differences(psnr, "a", {"b": "unet"}, lite0)
    first, second = figure.axes
    assert second.containers[0].lines[0].get_ydata().tolist() == [-0.2]
    assert "PSNR" in first.get_ylabel()
    assert "Lite0 distance (lower is better)" in second.get_ylabel()


def test_sizes_are_drawn_by_both_measures():
    table = pd.DataFrame({"model": "a", "evaluated_at": [96, 64]})
    table = table.assign(psnr=[25.0, 26.0], lite0=[0.3, 0.2])
    figure = figures.psnr_by_size(table, {"a": "pconv"})
    assert [axis.lines[0].get_ydata().tolist() for axis in figure.axes] == [[26, 25], [0.2, 0.3]]


def test_a_departure_has_a_panel_for_each_measure():
    table = pd.DataFrame({"deviation": ["faithful", "x", "y", "none"]})
    for name in ("psnr", "ssim", "lite0"):
        changes = [0, -1.0, -2.0, np.nan]
        table = table.assign(**{f"delta_{name}": changes, f"reach_{name}": 0.1})
    figure = figures.deviation_ranking(table)
    assert len(figure.axes) == 3
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert labels == ["x", "y", "none"]  # from below


def test_widths_of_holes_are_drawn_beside_the_papers():
    rows = [
        (kind, ratio, width, width / 10)
        for ratio in ("0.01-0.1", "0.25-0.55")
        for kind in KINDS
        for width in (1, 4, 8)
    ]
    ours = pd.DataFrame(rows, columns=["kind", "hole_ratio", "width", "at_most"])
    paper = pd.Series([0.0, 0.2, 0.4], index=[1, 4, 8])
    left, right = figures.mask_widths(ours, paper).axes
    assert [line.get_label() for line in right.lines] == [*KINDS, "paper"]
    assert right.lines[-1].get_ydata().tolist() == [0.0, 0.2, 0.4]
    assert [line.get_ydata().tolist() for line in left.lines] == len(KINDS) * [[0.1, 0.4, 0.8]]
    assert len({line.get_color() for line in left.lines}) == len(KINDS)


def test_methods_are_drawn_by_the_width_of_holes():
    table = pd.DataFrame(
        {
            "holes": ["thin", "thin", "thick", "thick"],
            "model": ["a", "b", "a", "b"],
            "psnr_hole": [20.0, 22.0, 18.0, 19.0],
            "lite0": [1.0, 0.5, 2.0, 1.5],
        }
    )
    psnr, lite0 = figures.by_width(table, {"a": "pconv", "b": "Telea"}).axes
    assert [line.get_ydata().tolist() for line in psnr.lines] == [[20.0, 18.0], [22.0, 19.0]]
    assert [line.get_ydata().tolist() for line in lite0.lines] == [[1.0, 2.0], [0.5, 1.5]]
    assert [tick.get_text() for tick in psnr.get_xticklabels()] == ["thin", "thick"]


def test_psnr_by_distance_is_drawn_from_near_to_far():
    rows = [(m, d, 9, 20.0 - k - n) for n, m in enumerate("ab") for k, d in enumerate(("1", "2"))]
    table = pd.DataFrame(rows, columns=["model", "distance", "pixels", "psnr"])
    (axis,) = figures.psnr_by_distance(table, {"a": "pconv", "b": "Telea"}).axes
    assert [line.get_ydata().tolist() for line in axis.lines] == [[20.0, 19.0], [19.0, 18.0]]
    assert [t.get_text() for t in axis.get_xticklabels()] == ["1", "2"]


def test_losses_are_drawn_over_the_bands_of_p_conv():
    steps = np.arange(10, 110, 10)
    total = np.where(steps <= 50, 0.8, 9.0)
    stage = np.where(steps <= 50, "stage1", "stage2")
    log = pd.DataFrame({"stage": stage, "step": steps, "total": total})
    figure = figures.loss_curves({"ours": log, "other": log}, ["pconv", "conv"], pconv_curves())
    banded, without = figure.axes
    boxes = [c.get_paths()[0].get_extents() for c in banded.collections]
    found = [(box.x0, box.x1, box.y0, box.y1) for box in boxes]
    assert found == [(10, 50, 0.5, 1.3), (60, 100, 7, 26)]
    assert not without.collections


def test_discs_are_drawn_a_row_a_method():
    rows = {"disc_out": [20, 30], "disc_comp": [35, 30], "disc_hole": [15, 10]}
    table = pd.DataFrame({"model": ["net", "Telea"], **rows})
    theirs = pd.Series({"PConv": 22.65, "U-Net": 13.37})
    figure = figures.disc(table, {"net": "pconv", "Telea": "Telea"}, theirs)
    for axis, (name, values) in zip(figure.axes, rows.items(), strict=True):
        drawn = {
            int(x.get_ydata()[0]): x.get_xdata()[0] for x in axis.lines if x.get_marker() == "o"
        }
        assert drawn == {1: values[0], 0: values[1]}, name
    assert {t.get_text() for t in figure.axes[0].texts} == {"P-Conv's\nPConv", "P-Conv's\nU-Net"}
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["Telea", "net"]
