"""A photograph to paint on in JupyterLab: what the brush covers becomes hole, and is repaired."""

import os
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pconv_core.inpainting import inpaint
from pconv_core.models import InpaintingNet

HOW = (
    "To paint a hole on the photograph, run this chapter in JupyterLab (make lab), with\n"
    ".venv/bin/python -m pip install -c constraints.txt -e '.[paint]'"
)
PIPELINE = "PCONV_OUTPUT"  # set where a chapter runs with nobody before it
_SHOWN = (480, 800)  # pixels that the canvas has at most: height, width


def show(photo: np.ndarray, net: InpaintingNet, name: str = "repaired.png") -> "Painter | None":
    """Show a photograph (H, W, 3), uint8, to paint on; or say how to get that, where nobody is."""
    # JupyterLab's server sets it for kernels of an open notebook; papermill and nbconvert do not.
    reader = "JPY_SESSION_NAME" in os.environ and PIPELINE not in os.environ
    if not reader or not (find_spec("ipywidgets") and find_spec("ipycanvas")):
        print(HOW)
        return None
    from IPython.display import display

    painter = Painter(photo, net, name)
    display(painter.box)
    return painter


def stroke(hole: np.ndarray, points: np.ndarray, width: int) -> None:
    """Draw a line through points (N, 2), x and y in pixels, into a hole (H, W), uint8, as 1."""
    places = np.floor(points).astype(np.int32)  # the first pixel's centre is (0.5, 0.5)
    cv2.polylines(hole, [np.concatenate([places, places[-1:]])], False, 1, width)


class Painter:
    """The canvas with its brush and its buttons, `box`; needs the extra `paint`.

    `hole` is what is painted, 1, (H, W) as the photograph; `repaired` what the last Repair made,
    (H, W, 3), uint8: outside the hole the photograph, bit for bit.
    """

    def __init__(self, photo: np.ndarray, net: InpaintingNet, name: str):
        import ipywidgets
        from ipycanvas import Canvas

        self.photo, self.net, self.repaired = photo, net.folded(), None
        self.hole, self._points = np.zeros(photo.shape[:2], np.uint8), []
        self.scale = min(_SHOWN[0] / photo.shape[0], _SHOWN[1] / photo.shape[1])
        width, height = (max(1, round(side * self.scale)) for side in photo.shape[1::-1])
        self._shown = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
        self.canvas = Canvas(width=width, height=height)
        self.canvas.line_cap, self.canvas.stroke_style = "round", "rgba(255, 0, 0, 0.6)"
        usual = max(1, round(max(photo.shape) / 50))
        self.brush = ipywidgets.IntSlider(usual, 1, 8 * usual, description="brush")
        self.name = ipywidgets.Text(name, description="save as")
        self.status = ipywidgets.Label()
        self.after = ipywidgets.Image()
        self.canvas.on_mouse_down(self._begin)
        self.canvas.on_mouse_move(self._move)
        self.canvas.on_mouse_up(self._end)
        self.canvas.on_mouse_out(self._end)
        self.canvas.on_client_ready(self._clear)  # a page that is loaded again is empty
        bar = [self.brush, self.name]
        for place, action in enumerate((self._clear, self._repair, self._save), 1):
            button = ipywidgets.Button(description=action.__name__[1:].capitalize())
            button.on_click(action)
            bar.insert(place, button)
        self.box = ipywidgets.VBox([ipywidgets.HBox(bar), self.canvas, self.status, self.after])
        self._clear()

    def _begin(self, x: float, y: float) -> None:
        self._points = [(x, y)]
        self._move(x, y)

    def _move(self, x: float, y: float) -> None:
        if self._points:
            self.canvas.line_width = max(1, self.brush.value * self.scale)
            self.canvas.stroke_line(*self._points[-1], x, y)
            self._points.append((x, y))

    def _end(self, *_) -> None:
        if self._points:
            stroke(self.hole, np.array(self._points) / self.scale, self.brush.value)
            self._points = []
            self.status.value = f"{self.hole.sum()} pixels painted"

    def _clear(self, *_) -> None:
        self.hole[:] = 0
        self.canvas.put_image_data(self._shown)
        self.status.value = "paint what is to be repaired"

    def _repair(self, *_) -> None:
        hole = self.hole > 0
        if hole.all() or not hole.any():
            self.status.value = f"{'everything' if hole.any() else 'nothing'} is painted"
            return
        filled = inpaint(self.net, self.photo.astype(np.float32) / 255, hole)
        self.repaired = np.where(hole[..., None], np.rint(filled * 255), self.photo).astype("uint8")
        self.after.value = cv2.imencode(".png", self.repaired[..., ::-1])[1].tobytes()
        self.status.value = f"{hole.sum()} pixels repaired"

    def _save(self, *_) -> None:
        path = Path(self.name.value).with_suffix(".png")  # without loss
        if self.repaired is None or path.exists():
            self.status.value = f"{path} is there already" if path.exists() else "repair it first"
            return
        Image.fromarray(self.repaired).save(path)
        self.status.value = f"saved: {path.resolve()}"
