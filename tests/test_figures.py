"""Figures show what the tables hold."""

import numpy as np
import pandas as pd
import pytest

from pconv_core.evaluation import UP_TO_HALF
from pconv_core.study import figures


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
