"""A photograph to paint on in JupyterLab: what the brush covers becomes hole, and is repaired."""

import os
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from pconv_core.files import pictures
from pconv_core.inpainting import inpaint
from pconv_core.models import InpaintingNet
from pconv_core.study.run import OUTPUT_VARIABLE

__all__ = ["HOW", "Painter", "Painting", "show"]

HOW = (
    "To paint a hole on the photograph, run this chapter in JupyterLab (make lab), with\n"
    ".venv/bin/python -m pip install -c constraints.txt -e '.[paint]'"
)
_NEEDED = ("ipywidgets", "ipycanvas")
# JupyterLab's server sets it for kernels that belong to an open notebook; papermill, nbconvert and
# nbval start theirs without.
_OPEN_NOTEBOOK = "JPY_SESSION_NAME"
_SHOWN = (480, 800)  # pixels that the canvas has at most: height, width
_SHIFT = 4  # bits after the point in what OpenCV is told
_RED = (255, 0, 0)
_OPACITY = 150  # of 255


class Painting:
    """A photograph and the hole that a brush makes in it.

    Parameters
    ----------
    picture : Picture
        Of any kind; it stays as it is.
    """

    def __init__(self, picture: pictures.Picture):
        self.picture = picture
        self._painted = np.zeros(picture.size, dtype=np.uint8)

    @property
    def hole(self) -> np.ndarray:
        """What is painted: (H, W) bool, at the picture's own size."""
        return self._painted > 0

    def stroke(self, points: np.ndarray, width: int) -> None:
        """Paint a line with round ends; one point makes a dot.

        Parameters
        ----------
        points : array of shape (N, 2)
            x and y in pixels of the picture from its upper left corner, so that the first pixel's
            centre is (0.5, 0.5); outside the picture nothing is painted.
        width : int
            In pixels, at least 1.  OpenCV's thick lines reach up to 1.2 pixels farther.
        """
        # OpenCV's first pixel has its centre at (0, 0).
        places = np.rint((np.asarray(points) - 0.5) * 2**_SHIFT).astype(np.int32)
        places = np.concatenate([places, places[-1:]])  # of one point alone it draws nothing
        cv2.polylines(self._painted, [places], False, 1, width, cv2.LINE_8, _SHIFT)

    def clear(self) -> None:
        """Take all paint away."""
        self._painted[:] = 0

    def repaired(self, net: InpaintingNet) -> pictures.Picture:
        """The picture with its hole filled; every other pixel as it was, bit for bit.

        Raises
        ------
        ValueError
            If nothing is painted, or everything.
        """
        if not self.hole.any():
            raise ValueError("nothing is painted; what the brush covers will be repaired")
        if self.hole.all():
            raise ValueError("everything is painted; some of the picture should be known")
        return self.picture.filled(inpaint(net, self.picture.rgb(), self.hole), self.hole)


def save(picture: pictures.Picture, path: Path) -> None:
    """Write a picture without loss, never over a file.

    Raises
    ------
    ValueError
        If there is a file of that name, or its format would change known pixels.
    OSError
        If it cannot be written.
    """
    if path.exists():
        raise ValueError(f"{path} is there already; the name should be a new one")
    pictures.write(picture, path)


def show(
    picture: pictures.Picture, net: InpaintingNet, interactive: bool | None = None
) -> "Painter | None":
    """Show a photograph to paint on, or say how to get that.

    Parameters
    ----------
    picture : Picture
    net : InpaintingNet
        In evaluation mode.
    interactive : bool, optional
        Whether somebody is there to paint.  By default only in a notebook that is open in
        JupyterLab, outside `make`: a run without a reader always prints the same lines.

    Returns
    -------
    Painter or None
        None if `HOW` was printed instead: nobody is there, or the extra `paint` is missing.
    """
    if interactive is None:
        interactive = _OPEN_NOTEBOOK in os.environ and OUTPUT_VARIABLE not in os.environ
    if not interactive or not all(find_spec(name) for name in _NEEDED):
        print(HOW)
        return None
    from IPython.display import display

    painter = Painter(picture, net)
    display(painter.box)
    return painter


class Painter:
    """The canvas with its brush and its buttons; needs the extra `paint`.

    Parameters
    ----------
    picture : Picture
    net : InpaintingNet
        In evaluation mode.

    Attributes
    ----------
    painting : Painting
    repaired : Picture or None
        What the last Repair made.
    box : ipywidgets.VBox
        To be displayed.
    """

    def __init__(self, picture: pictures.Picture, net: InpaintingNet):
        self.painting, self.net, self.repaired = Painting(picture), net.folded(), None
        self._rgb = _as_shown(picture)
        # Pixels of the canvas for one of the picture's, along x and y.
        self._scale = np.array(self._rgb.shape[1::-1]) / picture.size[::-1]
        self._points = []  # of the stroke that is being painted
        self._make_canvas()
        self._make_controls()

    def _make_canvas(self) -> None:
        from ipycanvas import MultiCanvas

        height, width = self._rgb.shape[:2]
        self.canvas = MultiCanvas(2, width=width, height=height)
        self.canvas.layout.max_width = "100%"
        brush = self.canvas[1]
        brush.line_cap = brush.line_join = "round"
        brush.stroke_style = "rgb({}, {}, {})".format(*_RED)
        self.canvas.on_mouse_down(self._begin)
        self.canvas.on_mouse_move(self._move)
        self.canvas.on_mouse_up(self._end)
        self.canvas.on_mouse_out(self._end)
        self.canvas.on_client_ready(self._draw)  # a page that is loaded again has an empty canvas
        self._draw()

    def _make_controls(self) -> None:
        import ipywidgets

        height, width = self.painting.picture.size
        usual = max(1, round(max(height, width) / 50))
        self.brush = ipywidgets.IntSlider(usual, 1, max(8, 8 * usual), description="brush")
        name = f"{self.painting.picture.path.stem}_repaired.png"
        self.name = ipywidgets.Text(name, description="save as")
        self.status = ipywidgets.Label(f"{width} x {height} pixels: paint what is to be repaired")
        self.before_and_after = ipywidgets.HBox()
        rows = [[self.brush], [self.canvas], [self.status], [self.before_and_after], [self.name]]
        places = {"Clear": (0, self._clear), "Repair": (0, self._repair), "Save": (4, self._save)}
        for title, (row, action) in places.items():
            button = ipywidgets.Button(description=title)
            button.on_click(action)
            rows[row].append(button)
        self.box = ipywidgets.VBox([ipywidgets.HBox(row) for row in rows])

    def _draw(self) -> None:
        from ipycanvas import hold_canvas

        red = np.zeros((*self._rgb.shape[:2], 4), dtype=np.uint8)
        red[_as_seen(self.painting.hole, red.shape[:2])] = (*_RED, _OPACITY)
        with hold_canvas():
            self.canvas.clear()
            self.canvas[0].put_image_data(self._rgb)
            self.canvas[1].put_image_data(red)

    def _begin(self, x: float, y: float) -> None:
        self._points = [(x, y)]
        self._move(x, y)

    def _move(self, x: float, y: float) -> None:
        """Draw the stroke as it grows, in full colour; the hole itself is drawn at its end."""
        if self._points:
            self.canvas[1].line_width = max(1, self.brush.value * self._scale.max())
            self.canvas[1].stroke_line(*self._points[-1], x, y)
            self._points.append((x, y))

    def _end(self, *_) -> None:
        if self._points:
            self.painting.stroke(self._points / self._scale, self.brush.value)
            self._points = []
            self._draw()
            self.status.value = f"{int(self.painting.hole.sum())} pixels painted"

    def _clear(self, _button) -> None:
        self.painting.clear()
        self._draw()
        self.status.value = "nothing painted"

    def _repair(self, button) -> None:
        button.disabled = True
        self.status.value = "repairing ..."
        try:
            self.repaired = self.painting.repaired(self.net)
        except (OSError, ValueError, RuntimeError) as error:
            self.status.value = str(error)
        else:
            self._show_both()
            self.status.value = f"{int(self.painting.hole.sum())} pixels repaired"
        finally:
            button.disabled = False

    def _show_both(self) -> None:
        import ipywidgets

        both = []
        for title, rgb in (("before", self._rgb), ("after", _as_shown(self.repaired))):
            image = ipywidgets.Image(value=cv2.imencode(".png", rgb[..., ::-1])[1].tobytes())
            both.append(ipywidgets.VBox([ipywidgets.Label(title), image]))
        self.before_and_after.children = both

    def _save(self, _button) -> None:
        path = Path(self.name.value)
        try:
            if self.repaired is None:
                raise ValueError("nothing is repaired yet")
            save(self.repaired, path)
        except (OSError, ValueError) as error:
            self.status.value = str(error)
        else:
            self.status.value = f"saved: {path.resolve()}"


def _as_shown(picture: pictures.Picture) -> np.ndarray:
    """The picture at the canvas's size, RGB, (h, w, 3) uint8; small ones are enlarged."""
    height, width = picture.size
    scale = min(_SHOWN[0] / height, _SHOWN[1] / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    rgb = cv2.resize(picture.rgb(), size, interpolation=_area_or(cv2.INTER_CUBIC, scale))
    return np.rint(rgb.clip(0, 1) * 255).astype(np.uint8)


def _as_seen(hole: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels of the canvas that hold some of the hole, (h, w) bool."""
    seen = cv2.resize(
        hole.astype(np.float32),
        size[::-1],
        interpolation=_area_or(cv2.INTER_NEAREST, size[0] / hole.shape[0]),
    )
    return seen > 0


def _area_or(other: int, scale: float) -> int:
    return cv2.INTER_AREA if scale < 1 else other
