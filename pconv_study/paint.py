"""A photograph to paint on in JupyterLab: what the brush covers becomes hole, and is repaired."""

import os
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pconv_core.inpainting import inpaint
from pconv_core.models import InpaintingNet
from pconv_study.notebook import OUTPUT_VARIABLE

HOW = (
    "To paint a hole on the photograph, run this chapter in JupyterLab (make lab), with\n"
    ".venv/bin/python -m pip install -c constraints.txt -e '.[paint]'"
)
# JupyterLab's server sets it for kernels of an open notebook; papermill and nbconvert do not.
_OPEN_NOTEBOOK = "JPY_SESSION_NAME"
_SHOWN = (480, 800)  # pixels that the canvas has at most: height, width
_SHIFT = 4  # bits after the point in what OpenCV is told
_RED = "rgba(255, 0, 0, 0.6)"


def show(photo: np.ndarray, net: InpaintingNet, name: str = "repaired.png") -> "Painter | None":
    """Show a photograph (H, W, 3), uint8, to paint on; or say how to get that, where nobody is."""
    reader = _OPEN_NOTEBOOK in os.environ and OUTPUT_VARIABLE not in os.environ
    if not reader or not (find_spec("ipywidgets") and find_spec("ipycanvas")):
        print(HOW)
        return None
    from IPython.display import display

    painter = Painter(photo, net, name)
    display(painter.box)
    return painter


def stroke(hole: np.ndarray, points: np.ndarray, width: int) -> None:
    """Draw a line with round ends into a hole (H, W), uint8; one point makes a dot.

    Parameters
    ----------
    points : array of shape (N, 2)
        x and y in pixels from the upper left corner: the first pixel's centre is (0.5, 0.5).
    width : int
        In pixels, at least 1.  OpenCV's thick lines reach up to 1.2 pixels farther.
    """
    places = np.rint((np.asarray(points) - 0.5) * 2**_SHIFT).astype(np.int32)
    places = np.concatenate([places, places[-1:]])  # of one point alone it draws nothing
    cv2.polylines(hole, [places], False, 1, width, cv2.LINE_8, _SHIFT)


class Painter:
    """The canvas with its brush and its buttons; needs the extra `paint`.

    Attributes
    ----------
    hole : ndarray of shape (H, W), uint8
        What is painted, 1, at the photograph's own size.
    repaired : ndarray of shape (H, W, 3), uint8, or None
        What the last Repair made; outside the hole the photograph, bit for bit.
    box : ipywidgets.VBox
        To be displayed.
    """

    def __init__(self, photo: np.ndarray, net: InpaintingNet, name: str):
        import ipywidgets
        from ipycanvas import MultiCanvas

        self.photo, self.net, self.repaired = photo, net.folded(), None
        self.hole, self._points = np.zeros(photo.shape[:2], np.uint8), []
        height, width = photo.shape[:2]
        self.scale = min(_SHOWN[0] / height, _SHOWN[1] / width)
        size = [max(1, round(side * self.scale)) for side in (width, height)]
        self.canvas = MultiCanvas(2, width=size[0], height=size[1])
        shown = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
        # A page that is loaded again has an empty canvas.
        self.canvas.on_client_ready(lambda: self.canvas[0].put_image_data(shown))
        self.canvas[0].put_image_data(shown)
        self.canvas[1].line_cap, self.canvas[1].stroke_style = "round", _RED
        self.canvas.on_mouse_down(self._begin)
        self.canvas.on_mouse_move(self._move)
        self.canvas.on_mouse_up(self._end)
        self.canvas.on_mouse_out(self._end)
        usual = max(1, round(max(height, width) / 50))
        self.brush = ipywidgets.IntSlider(usual, 1, 8 * usual, description="brush")
        self.name = ipywidgets.Text(name, description="save as")
        self.status = ipywidgets.Label("paint what is to be repaired")
        self.after = ipywidgets.Image()
        actions = {"Clear": self._clear, "Repair": self._repair, "Save": self._save}
        buttons = [ipywidgets.Button(description=title) for title in actions]
        for button, action in zip(buttons, actions.values(), strict=True):
            button.on_click(action)
        bar = ipywidgets.HBox([self.brush, *buttons, self.name])
        self.box = ipywidgets.VBox([bar, self.canvas, self.status, self.after])

    def _begin(self, x: float, y: float) -> None:
        self._points = [(x, y)]
        self._move(x, y)

    def _move(self, x: float, y: float) -> None:
        if self._points:
            self.canvas[1].line_width = max(1, self.brush.value * self.scale)
            self.canvas[1].stroke_line(*self._points[-1], x, y)
            self._points.append((x, y))

    def _end(self, *_) -> None:
        if self._points:
            stroke(self.hole, np.array(self._points) / self.scale, self.brush.value)
            self._points = []
            self.status.value = f"{self.hole.sum()} pixels painted"

    def _clear(self, _button) -> None:
        self.hole[:] = 0
        self.canvas[1].clear()
        self.status.value = "nothing painted"

    def _repair(self, _button) -> None:
        hole = self.hole > 0
        if hole.all() or not hole.any():
            self.status.value = f"{'everything' if hole.any() else 'nothing'} is painted"
            return
        self.status.value = "repairing ..."
        filled = inpaint(self.net, self.photo.astype(np.float32) / 255, hole)
        self.repaired = np.where(hole[..., None], np.rint(filled * 255), self.photo).astype("uint8")
        self.after.value = cv2.imencode(".png", self.repaired[..., ::-1])[1].tobytes()
        self.status.value = f"{hole.sum()} pixels repaired"

    def _save(self, _button) -> None:
        path = Path(self.name.value).with_suffix(".png")  # without loss
        if self.repaired is None or path.exists():
            self.status.value = f"{path} is there already" if path.exists() else "repair it first"
            return
        Image.fromarray(self.repaired).save(path)
        self.status.value = f"saved: {path.resolve()}"
