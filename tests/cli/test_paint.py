"""Painting on a photograph: strokes, the hole they make, and what is said without a canvas."""

import importlib.util
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pconv_cli import paint
from pconv_core.models import build_model

HAS_EXTRA = all(importlib.util.find_spec(name) for name in ("ipycanvas", "ipywidgets"))


@pytest.fixture(scope="module")
def net():
    return build_model("pconv", 32, 2, seed=0).eval()


def photo(height=40, width=50):
    return np.random.default_rng(0).integers(1, 255, (height, width, 3), dtype=np.uint8)


def distance(points, size):
    """Of each pixel's centre from a line through points, in pixels, (H, W)."""
    points = np.array([*points, points[-1]], dtype=float)
    centres = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in size[::-1])), -1)
    nearest = np.full(size, np.inf)
    for start, end in pairwise(points):
        along = ((centres - start) @ (end - start)) / max((end - start) @ (end - start), 1e-12)
        place = start + along.clip(0, 1)[..., None] * (end - start)
        nearest = np.minimum(nearest, np.linalg.norm(centres - place, axis=-1))
    return nearest


PLACES = st.tuples(st.floats(-10, 70), st.floats(-10, 70))


@settings(deadline=None)
@given(st.lists(PLACES, min_size=1, max_size=5), st.integers(1, 40))
def test_a_stroke_covers_what_is_nearer_than_half_its_width(points, width):
    hole = np.zeros((40, 60), np.uint8)
    paint.stroke(hole, points, width)
    away = distance(points, (40, 60))
    assert hole[away < width / 2 - 1.5].all()
    # OpenCV moves each end to a pixel and rounds the band again: 2.3 pixels at most in 20,000 lines
    assert not hole[away > width / 2 + 3].any()


@pytest.mark.parametrize(("x", "y"), [(5.5, 7.5), (5.1, 7.2), (5.9, 7.9)])
def test_the_finest_brush_takes_the_pixel_under_it(x, y):
    hole = np.zeros((40, 60), np.uint8)
    paint.stroke(hole, [(x, y)], 1)
    assert np.argwhere(hole).tolist() == [[7, 5]]


@pytest.mark.parametrize("missing", [True, False])
@pytest.mark.parametrize("reader", [True, False])
def test_without_a_reader_or_the_extra_it_says_how(net, monkeypatch, capsys, missing, reader):
    """The same lines with the extra and without, as the notebook's stored output must be."""
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.delenv(paint.PIPELINE, raising=False)
    monkeypatch.setattr(paint, "find_spec", lambda name: None if missing else object())
    monkeypatch.setattr(paint, "Painter", lambda *_: (_ for _ in ()).throw(AssertionError))
    if reader:
        monkeypatch.setenv("JPY_SESSION_NAME", "09_inpaint_a_photo.ipynb")
        if not missing:  # `make` from a notebook's cell: what it runs has no reader
            monkeypatch.setenv(paint.PIPELINE, "somewhere")
    assert paint.show(photo(), net) is None
    assert capsys.readouterr().out == paint.HOW + "\n"


@pytest.mark.skipif(not HAS_EXTRA, reason="needs the extra: pip install -e '.[paint]'")
@pytest.mark.parametrize("size", [(30, 40), (600, 1000)])
def test_the_canvas_paints_at_the_pictures_own_size_and_saves(net, monkeypatch, tmp_path, size):
    monkeypatch.setenv("JPY_SESSION_NAME", "09_inpaint_a_photo.ipynb")
    monkeypatch.delenv(paint.PIPELINE, raising=False)
    monkeypatch.setattr("IPython.display.display", lambda *_: None)
    before = photo(*size)
    painter = paint.show(before.copy(), net, str(tmp_path / "new.png"))
    painter._repair(None)
    assert painter.status.value == "nothing is painted"
    painter.brush.value = 1
    height, width = size
    y = (height // 2 + 0.5) / height * painter.canvas.height  # the middle of a row
    painter._begin(0.26 * painter.canvas.width, y)
    painter._move(0.74 * painter.canvas.width, y)
    painter._end(0, 0)
    painter._move(0, 0)  # the button is up
    rows, columns = np.nonzero(painter.hole)
    assert set(rows) == {height // 2}
    assert abs(columns.min() - 0.26 * width) <= 1
    assert abs(columns.max() - 0.74 * width) <= 1
    assert len(columns) == columns.max() - columns.min() + 1
    painter._save(None)
    assert painter.status.value == "repair it first"
    painter._repair(None)
    assert painter.status.value == f"{len(columns)} pixels repaired"
    painter._save(None)
    saved = np.array(Image.open(tmp_path / "new.png"))
    hole = painter.hole > 0
    assert np.array_equal(saved[~hole], before[~hole])
    assert not np.array_equal(saved[hole], before[hole])
    painter._save(None)
    assert "is there already" in painter.status.value
    painter._clear(None)
    assert not painter.hole.any()
