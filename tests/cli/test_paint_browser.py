"""Chapter 9's canvas and the report's slider in headless Chromium, moved by the mouse."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pytest
from PIL import Image
from test_paint import distance

from pconv_core import data
from pconv_study import report

ROOT = Path(__file__).parents[2]
CHAPTER = ROOT / "notebooks" / "09_inpaint_a_photo.ipynb"
# Name or path of a Chromium or Chrome; `make stress` sets it.  A test run does without.
BROWSER = os.environ.get("PCONV_BROWSER", "")
NEEDED = ("ipycanvas", "ipywidgets", "playwright")
# A folder for screenshots, to be looked at.
SCREENSHOTS = os.environ.get("PCONV_SCREENSHOTS")
WAIT = 60_000  # milliseconds, on a machine with other work

pytestmark = pytest.mark.skipif(
    not shutil.which(BROWSER) or not all(map(importlib.util.find_spec, NEEDED)),
    reason="PCONV_BROWSER names no browser (make stress), or an extra of paint, browser is missing",
)
CANVAS = ".jupyter-widgets canvas"
PATH = [(0.3, 0.6), (0.6, 0.5), (0.7, 0.8)]  # of the mouse, in parts of the canvas

# What the chapter has made when it comes to the canvas.
RGB = 'rgb = data.embedded("test")[1] / 255'


@contextmanager
def server(folder):
    """JupyterLab on a folder, with settings of its own; its address."""
    own = {
        name: str(folder / ".jupyter" / name)
        for name in (
            "JUPYTER_CONFIG_DIR",
            "JUPYTER_RUNTIME_DIR",
            "JUPYTERLAB_SETTINGS_DIR",
            "JUPYTERLAB_WORKSPACES_DIR",
            "IPYTHONDIR",
        )
    }
    environment = {**os.environ, **own, "PYTHONPATH": str(ROOT)}
    environment.pop("PCONV_OUTPUT", None)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0"]
    with open(folder / "server.txt", "w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        runtime = Path(own["JUPYTER_RUNTIME_DIR"])
        while not (found := list(runtime.glob("jpserver-*.json"))):
            assert process.poll() is None, (folder / "server.txt").read_text()
            time.sleep(0.2)
        about = json.loads(found[0].read_text())
        yield f"{about['url']}lab/tree/{{}}?token={about['token']}"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def opened(address):
    """A page in a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which(BROWSER), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1500})
        page.set_default_timeout(WAIT)
        page.goto(address)
        yield page
        browser.close()


@pytest.fixture
def page(tmp_path):
    """A notebook that ends with the chapter's cell, open in a browser."""
    code = [c.source for c in nbformat.read(CHAPTER, 4).cells if c.cell_type == "code"]
    shows = [source for source in code if "paint.show(" in source]
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in (code[0], RGB, *shows)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(book, tmp_path / "paint.ipynb")
    with server(tmp_path) as address, opened(address.format("paint.ipynb")) as page:
        try:
            yield page
        finally:
            look(page, "last")


def look(page, name):
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")


def run_all(page):
    page.locator(".jp-Notebook").get_by_text("paint.show").wait_for()
    page.get_by_text("| Idle").wait_for()  # before it has a kernel it runs nothing
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Run All( Cells)?$")).click()


def drag(page, points):
    """Paint from place to place with the left button down; points in parts of the canvas."""
    box = page.locator(CANVAS).last.bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=10)
    page.mouse.up()


def press(page, title, answer):
    """Press a button and wait for what the status says."""
    page.get_by_role("button", name=title, exact=True).click()
    page.get_by_text(answer).wait_for()


def seen(locator):
    """An element as it is seen: RGB, (H, W, 3) float."""
    shot = np.frombuffer(locator.screenshot(), np.uint8)
    return cv2.imdecode(shot, cv2.IMREAD_COLOR)[..., ::-1].astype(float)


def at(picture, points):
    """Colours at places given in parts of the picture, (N, 3)."""
    return np.array([picture[int(y * len(picture)), int(x * picture.shape[1])] for x, y in points])


def test_painted_by_the_mouse_and_repaired(page, tmp_path):
    run_all(page)
    page.get_by_text("paint what is to be repaired").wait_for()
    press(page, "Repair", "nothing is painted")
    drag(page, [(0.1, 0.2), (0.5, 0.3)])
    page.get_by_text("pixels painted").wait_for()
    press(page, "Clear", "paint what is to be repaired")
    drag(page, PATH)
    page.get_by_text("pixels painted").wait_for()
    red, green, _ = at(seen(page.locator(CANVAS).last), PATH).T
    assert (red > green + 80).all()
    look(page, "painted")
    press(page, "Repair", "pixels repaired")
    look(page, "repaired")
    press(page, "Save", "saved: ")
    press(page, "Save", "is there already")

    original, saved = data.embedded("test")[1], np.array(Image.open(tmp_path / "repaired.png"))
    assert saved.shape == original.shape
    painted, path = (saved != original).any(2), np.array(PATH) * original.shape[1::-1]
    away = distance(path, original.shape[:2])
    assert away[painted].max() < 9 / 2 + 3  # the brush's usual width, and rounding in the browser
    assert all(distance([end], original.shape[:2])[painted].min() < 2 for end in path)


def test_the_reports_slider_uncovers_the_picture_with_its_hole(tmp_path):
    (tmp_path / "figures").mkdir()
    for name, grey in (("hole", 0), ("repair", 255)):
        Image.new("L", (300, 200), grey).save(tmp_path / "figures" / f"09_{name}.jpg")
    report.write_report([CHAPTER], tmp_path / "report.html", "Study")
    with opened((tmp_path / "report.html").as_uri()) as page:
        picture, handle = page.locator(".slider img").first, page.locator(".slider input")
        box, places = handle.bounding_box(), [(0.1, 0.5), (0.4, 0.5), (0.6, 0.5), (0.9, 0.5)]
        assert (at(seen(picture), places)[:, 0] > 128).tolist() == [False, False, True, True]
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2, steps=5)
        page.mouse.up()
        look(page, "slider")
        assert (at(seen(picture), places)[:, 0] > 128).tolist() == [False, False, False, True]
