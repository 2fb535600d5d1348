"""Pictures and masks as people have them: every mode, depth and orientation, in and out.

A picture is worked on as it is seen: RGB in [0, 1], turned upright.  What the file holds is kept
beside it, so that the repaired picture is written with every known pixel as it was.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageOps

from pconv_core.files import drawn
from pconv_core.files.formats import LOSSLESS, opened
from pconv_core.files.writing import whole

_DEEP = (".png", ".tif", ".tiff")  # those that hold 16 bits
_MAX_MILLIONS = 100  # of pixels
_ORIENTATION = 0x0112  # EXIF tag


@dataclass
class Picture:
    """A picture as it was read.

    Attributes
    ----------
    pixels : ndarray of shape (H, W), (H, W, 3) or (H, W, 4)
        Upright; uint8 or uint16; grey, RGB or RGBA.
    exif, profile : bytes or None
        As in the file.
    orientation : int
        EXIF orientation of the file, 1 = upright.
    """

    path: Path
    pixels: np.ndarray
    exif: bytes | None
    profile: bytes | None
    orientation: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.pixels.shape[:2]

    @property
    def full(self) -> int:
        """The value of white."""
        return int(np.iinfo(self.pixels.dtype).max)

    @property
    def alpha(self) -> np.ndarray | None:
        """Opacity of each pixel, shape (H, W); None if the picture has none."""
        has_alpha = self.pixels.ndim == 3 and self.pixels.shape[2] == 4
        return self.pixels[..., 3] if has_alpha else None

    def rgb(self) -> np.ndarray:
        """RGB in [0, 1], shape (H, W, 3), float32."""
        colours = self.pixels[..., None] if self.pixels.ndim == 2 else self.pixels[..., :3]
        colours = np.broadcast_to(colours, (*self.size, 3))
        return colours.astype(np.float32) / np.float32(self.full)

    def implied_hole(self, colour: tuple[int, int, int] | None = None) -> tuple[np.ndarray, str]:
        """The hole that the picture itself shows: (H, W) bool, and in words what it consists of.

        Parameters
        ----------
        colour : (red, green, blue), optional
            Of 0 to 255: the pixels of exactly this colour.  Without it, those that are
            transparent, wholly or in part.

        Raises
        ------
        ValueError
            If there is no such pixel.
        """
        if colour is not None:
            grey = self.pixels.ndim == 2
            colours = self.pixels[..., None] if grey else self.pixels[..., :3]
            hole = (colours == np.array(colour) * (self.full // 255)).all(2)
            what, partly = f"pixels of the colour {', '.join(map(str, colour))}", 0
        elif self.alpha is None:
            hole, what, partly = np.zeros(self.size, bool), "transparent pixels", 0
        else:
            hole, what = self.alpha < self.full, "transparent pixels"
            partly = int((hole & (self.alpha > 0)).sum())
        if not hole.any():
            raise ValueError(f"{self.path} has no {what}")
        words = f"{hole.sum()} {what}"
        return hole, f"{words} ({partly} of them half-transparent)" if partly else words

    def filled(self, rgb: np.ndarray, hole: np.ndarray) -> "Picture":
        """A copy with the colours of `rgb` (H, W, 3), in [0, 1], in the hole and only there."""
        values = np.rint(rgb.clip(0, 1)[hole].astype(np.float64) * self.full)
        copy = replace(self, pixels=self.pixels.copy())
        if copy.pixels.ndim == 2:
            # Luma of ITU-R BT.601, as Pillow converts to grey.
            copy.pixels[hole] = np.rint(values @ [0.299, 0.587, 0.114])
        else:
            copy.pixels[hole, :3] = values
        if copy.alpha is not None:
            copy.alpha[hole] = self.full
        return copy


def read(path: Path) -> Picture:
    """Read a picture of any common kind; of an animated one, the first frame.

    Palettes become RGB or RGBA, CMYK and other colour spaces RGB; 16 bits stay 16 bits.

    Raises
    ------
    ValueError
        If there is none, it cannot be decoded, or it has more than 100 million pixels.
    """
    with opened(path) as picture:
        width, height = picture.size
        millions = width * height / 1e6
        if millions > _MAX_MILLIONS:
            raise Image.DecompressionBombError(
                f"{width}x{height} pixels are {millions:.0f} million; "
                f"at most {_MAX_MILLIONS} million can be worked on"
            )
        return _decode(path, picture)


def read_photo(path: Path, least: float | None = None) -> np.ndarray:
    """Decode a photograph to train with or to measure on: upright RGB, (H, W, 3) uint8.

    If the short side needs to keep `least` pixels only, a larger JPEG is decoded at 1/2, 1/4 or
    1/8 of its size, which leaves out most of the work of decoding and of resizing it later.

    Raises
    ------
    ValueError
        If there is none, or it cannot be decoded.
    """
    with opened(path) as picture:
        if least is not None:
            picture.draft(None, (math.ceil(least),) * 2)
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))


def write(picture: Picture, path: Path) -> None:
    """Write a picture without loss, turned back as its file was, whole or not at all.

    Raises
    ------
    ValueError
        If the format would change known pixels.
    OSError
        If it cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in LOSSLESS:
        raise ValueError(
            f"{path} would not keep the known pixels as they are; "
            f"write one of {', '.join(sorted(LOSSLESS))}"
        )
    deep = picture.pixels.dtype == np.uint16
    if deep and suffix not in _DEEP:
        raise ValueError(f"{suffix} holds 8 bits only; write 16-bit pictures as .png or .tif")
    if picture.alpha is not None and suffix == ".bmp":
        raise ValueError(".bmp holds no transparency; write .png, .tif or .webp")
    stored = replace(picture, pixels=_turned(picture.pixels, picture.orientation, upright=False))
    with whole(path) as unfinished:
        if not deep or stored.pixels.ndim == 2:
            _write_by_pillow(stored, unfinished, suffix)
        elif suffix == ".png":
            _write_deep_png(stored, unfinished)
        else:
            _write_deep_tiff(stored, unfinished)


def read_hole(
    path: Path, size: tuple[int, int] | None, hole: str = "black", may_be_empty: bool = False
) -> np.ndarray:
    """Read a mask picture whose hole is "black" or "white": (H, W) bool, True in the hole.

    Grey is split at the middle, which undoes the edges that JPEG or smoothing leave; a mask may
    hold 0 and 1 as well.  In a picture with transparency and no colour of its own, transparent
    means hole.

    Raises
    ------
    ValueError
        If it cannot be read, has colours, looks like a photograph, marks no hole (unless it
        `may_be_empty`), or is not of `size`, (height, width); None if any will do.
    """
    mask = read(path)
    if size is not None and mask.size != size:
        raise ValueError(
            f"mask {path} is {mask.size[0]}x{mask.size[1]}, the picture is {size[0]}x{size[1]} "
            "(height x width); they should be of one size"
        )
    if mask.alpha is not None:
        opaque = mask.alpha > mask.full // 2
        colours = mask.pixels[opaque]
        if not opaque.all() and (colours == colours[:1]).all():
            return ~opaque
    colours = mask.pixels if mask.pixels.ndim == 2 else mask.pixels[..., :3]
    other = "black" if hole == "white" else "white"
    try:
        white = drawn.whites(colours)
    except ValueError as error:
        raise ValueError(
            f"mask {path} {error}; it should be {hole} in the hole and {other} elsewhere"
        ) from None
    marked = white if hole == "white" else ~white
    if not marked.any() and not may_be_empty:
        raise ValueError(
            f"mask {path} marks no hole: its values are {colours.min()} to {colours.max()}; "
            f"it should be {hole} in the hole"
        )
    return marked


def _decode(path: Path, picture: Image.Image) -> Picture:
    exif = picture.getexif()
    # Before the pixels are read: Pillow turns a TIFF upright then, and forgets how it was.
    exif_bytes, orientation = exif.tobytes() if exif else None, exif.get(_ORIENTATION, 1)
    orientation = orientation if orientation in range(1, 9) else 1
    profile = picture.info.get("icc_profile")
    pixels = _read_deep_colour(path, picture)
    if pixels is None:
        upright = ImageOps.exif_transpose(picture)
        pixels = np.array(_in_a_mode_we_keep(upright))
        if upright.mode == "CMYK":
            profile = None  # it describes inks
    if pixels.dtype not in (np.uint8, np.uint16):
        pixels = np.rint(pixels.astype(np.float64).clip(0, 65535)).astype(np.uint16)
    return Picture(path, pixels, exif_bytes, profile, orientation)


def _in_a_mode_we_keep(picture: Image.Image) -> Image.Image:
    mode = picture.mode
    if mode == "F":
        raise ValueError("its pixels are floating-point numbers, whose white is unknown")
    if mode in ("L", "RGB", "RGBA") or mode.startswith("I"):
        return picture
    if mode in ("LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        return picture.convert("RGBA")
    return picture.convert("L" if mode == "1" else "RGB")


def _read_deep_colour(path: Path, picture: Image.Image) -> np.ndarray | None:
    """16-bit colour, which Pillow would cut to 8 bits: RGB or RGBA, upright; None if it is not."""
    if picture.format not in ("PNG", "TIFF") or picture.mode not in ("RGB", "RGBA"):
        return None
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        return None
    code = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
    pixels = cv2.cvtColor(pixels, code)
    if picture.format == "TIFF":
        return pixels  # OpenCV turns a TIFF upright, and no other file
    return _turned(pixels, picture.getexif().get(_ORIENTATION, 1), upright=True)


def _turned(pixels: np.ndarray, orientation: int, upright: bool) -> np.ndarray:
    """Turn an array upright, or back as the file has it."""
    if not upright:
        orientation = {6: 8, 8: 6}.get(orientation, orientation)  # the others undo themselves
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::rows, ::columns])


def _write_by_pillow(picture: Picture, path: Path, suffix: str) -> None:
    options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    if suffix != ".bmp":
        described = {"exif": picture.exif, "icc_profile": picture.profile}
        options |= {name: data for name, data in described.items() if data}
    Image.fromarray(picture.pixels).save(path, format=LOSSLESS[suffix], **options)


def _write_deep_tiff(picture: Picture, path: Path) -> None:
    """16-bit colour, which Pillow cannot write."""
    tifffile.imwrite(
        path,
        picture.pixels,
        photometric="rgb",
        extrasamples=None if picture.alpha is None else ["unassalpha"],
        iccprofile=picture.profile,
        extratags=[(_ORIENTATION, "H", 1, picture.orientation, True)],
        metadata=None,
        software=False,
    )


def _write_deep_png(picture: Picture, path: Path) -> None:
    """16-bit colour, which Pillow cannot write."""
    described = {
        cv2.IMAGE_METADATA_EXIF: (picture.exif or b"").removeprefix(b"Exif\0\0"),
        cv2.IMAGE_METADATA_ICCP: picture.profile or b"",
    }
    kept = {kind: np.frombuffer(data, np.uint8) for kind, data in described.items() if data}
    order = cv2.COLOR_RGB2BGR if picture.alpha is None else cv2.COLOR_RGBA2BGRA
    colours = cv2.cvtColor(picture.pixels, order)
    done, data = cv2.imencodeWithMetadata(".png", colours, list(kept), list(kept.values()))
    if not done:
        raise OSError(f"OpenCV cannot encode {path}")
    path.write_bytes(data.tobytes())
