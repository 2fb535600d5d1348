"""Painting on a photograph: strokes, the hole they make, and what is said without a canvas."""

import importlib.util
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pconv_core.files import pictures
from pconv_core.models import build_model
from pconv_core.study import paint

HAS_EXTRA = all(importlib.util.find_spec(name) for name in ("ipycanvas", "ipywidgets"))
STROKE = [(12.0, 8.0), (30.5, 20.0), (31.0, 25.0)]


@pytest.fixture(scope="module")
def net():
    return build_model("pconv", 32, 2, seed=0).eval()


def picture(height=40, width=50, channels=3, dtype=np.uint8):
    full = np.iinfo(dtype).max
    shape = (height, width, channels)[: 2 if channels == 1 else 3]
    pixels = np.random.default_rng(0).integers(1, full, shape, dtype=dtype)
    return pictures.Picture(Path("some.png"), pixels, None, None, 1)


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
    painting = paint.Painting(picture(40, 60))
    painting.stroke(points, width)
    away = distance(points, (40, 60))
    assert painting.hole[away < width / 2 - 0.75].all()
    assert not painting.hole[away > width / 2 + 1.25].any()


@pytest.mark.parametrize(("x", "y"), [(5.5, 7.5), (5.1, 7.2), (5.9, 7.9)])
def test_the_finest_brush_takes_the_pixel_under_it(x, y):
    painting = paint.Painting(picture())
    painting.stroke([(x, y)], 1)
    assert np.argwhere(painting.hole).tolist() == [[7, 5]]


def test_strokes_add_up_and_are_cleared():
    painting = paint.Painting(picture())
    painting.stroke([(10, 10)], 5)
    first = painting.hole
    painting.stroke([(30, 20), (40, 20)], 3)
    assert painting.hole[first].all()
    assert painting.hole.sum() > first.sum()
    painting.clear()
    assert not painting.hole.any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_is_painted_is_repaired_and_nothing_else(net, channels, dtype):
    painting = paint.Painting(picture(channels=channels, dtype=dtype))
    before = painting.picture.pixels.copy()
    painting.stroke(STROKE, 4)
    after = painting.repaired(net).pixels
    assert after.dtype == dtype
    assert np.array_equal(after[~painting.hole], before[~painting.hole])
    assert not np.array_equal(after[painting.hole], before[painting.hole])
    assert np.array_equal(painting.picture.pixels, before)


def test_what_is_painted_over_is_not_looked_at(net):
    results = []
    for value in (0, 255):
        painting = paint.Painting(picture())
        painting.stroke(STROKE, 4)
        painting.picture.pixels[painting.hole] = value
        results.append(painting.repaired(net).pixels)
    assert np.array_equal(*results)


@pytest.mark.parametrize(("width", "message"), [(0, "nothing is painted"), (200, "everything is")])
def test_no_hole_and_nothing_but_hole_are_refused(net, width, message):
    painting = paint.Painting(picture())
    if width:
        painting.stroke([(20, 20)], width)
    with pytest.raises(ValueError, match=message):
        painting.repaired(net)


def test_it_is_saved_without_loss_and_never_over_a_file(tmp_path):
    some, path = picture(), tmp_path / "new.png"
    paint.save(some, path)
    assert np.array_equal(np.array(Image.open(path)), some.pixels)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"new\.png is there already; the name should"):
        paint.save(picture(8, 8), path)
    with pytest.raises(ValueError, match="would not keep the known pixels"):
        paint.save(some, tmp_path / "new.jpg")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["new.png"]


@pytest.mark.parametrize("missing", [True, False])
@pytest.mark.parametrize("reader", [True, False])
def test_without_a_reader_or_the_extra_it_says_how(net, monkeypatch, capsys, missing, reader):
    """The same lines with the extra and without, as the notebook's stored output must be."""
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.delenv("PCONV_OUTPUT", raising=False)
    monkeypatch.setattr(paint, "find_spec", lambda name: None if missing else object())
    monkeypatch.setattr(paint, "Painter", lambda *_: (_ for _ in ()).throw(AssertionError))
    if reader:
        monkeypatch.setenv("JPY_SESSION_NAME", "09_inpaint_a_photo.ipynb")
        if not missing:  # `make` from a notebook's cell: what it runs has no reader
            monkeypatch.setenv("PCONV_OUTPUT", "somewhere")
    assert paint.show(picture(), net) is None
    assert capsys.readouterr().out == paint.HOW + "\n"


@pytest.mark.skipif(not HAS_EXTRA, reason="needs the extra: pip install -e '.[paint]'")
@pytest.mark.parametrize("size", [(30, 40), (600, 1000), (3, 900)])
def test_the_canvas_paints_at_the_pictures_own_size(net, monkeypatch, size):
    monkeypatch.setenv("JPY_SESSION_NAME", "09_inpaint_a_photo.ipynb")
    monkeypatch.delenv("PCONV_OUTPUT", raising=False)
    monkeypatch.setattr("IPython.display.display", lambda *_: None)
    painter = paint.show(picture(*size), net)
    assert painter.canvas.width <= 800
    assert painter.canvas.height <= 480
    painter.brush.value = 1
    height, width = size
    y = (height // 2 + 0.5) / height * painter.canvas.height  # the middle of a row
    painter._begin(0.26 * painter.canvas.width, y)
    painter._move(0.74 * painter.canvas.width, y)
    painter._end(0, 0)
    painter._move(0, 0)  # the button is up
    rows, columns = np.nonzero(painter.painting.hole)
    assert set(rows) == {height // 2}
    assert abs(columns.min() - 0.26 * width) <= 1
    assert abs(columns.max() - 0.74 * width) <= 1
    assert len(columns) == columns.max() - columns.min() + 1
    painter._repair(painter.brush)
    assert painter.status.value == f"{len(columns)} pixels repaired"
    assert [box.children[0].value for box in painter.before_and_after.children] == [
        "before",
        "after",
    ]
