"""Pictures and masks as people have them: every mode, depth and orientation, in and out.

A picture is worked on as it is seen: RGB in [0, 1], turned upright.  What the file holds is kept
beside it, so that the repaired picture is written with every known pixel as it was.
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageOps

from pconv_core.files.writing import whole

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
ENDINGS = ", ".join(sorted(SUFFIXES))  # for messages
# Formats that give back what they were given; JPEG would change known pixels.
LOSSLESS = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP", ".webp": "WEBP"}
MAX_PIXELS = 100_000_000
_ORIENTATION = 0x0112  # EXIF tag
_TURNED = range(2, 9)  # its values but 1, upright
# Pillow's decoders leak what a malformed file makes of them.
_DECODERS_RAISE = (ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError)
_DECODERS_RAISE += (SyntaxError, TypeError, ValueError)


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

    def rgb(self) -> np.ndarray:
        """RGB in [0, 1], shape (H, W, 3), float32."""
        colours = self.pixels[..., None] if self.pixels.ndim == 2 else self.pixels[..., :3]
        colours = np.broadcast_to(colours, (*self.size, 3))
        return colours.astype(np.float32) / np.float32(self.full)

    def implied_hole(self) -> tuple[np.ndarray, str]:
        """The hole that the picture itself shows: (H, W) bool, and what it was taken from.

        Transparent pixels, if there are any; else those of pure black.
        """
        if self.pixels.ndim == 3 and self.pixels.shape[2] == 4:
            transparent = self.pixels[..., 3] == 0
            if transparent.any():
                return transparent, "transparent"
        colours = self.pixels if self.pixels.ndim == 2 else self.pixels[..., :3].max(2)
        return colours == 0, "pure black"

    def filled(self, rgb: np.ndarray, hole: np.ndarray) -> "Picture":
        """A copy with the colours of `rgb` (H, W, 3), in [0, 1], in the hole and only there."""
        values = np.rint(rgb.clip(0, 1)[hole].astype(np.float64) * self.full)
        pixels = self.pixels.copy()
        if pixels.ndim == 2:
            # Luma of ITU-R BT.601, as Pillow converts to grey.
            pixels[hole] = np.rint(values @ [0.299, 0.587, 0.114])
        else:
            pixels[hole, :3] = values
            if pixels.shape[2] == 4:
                pixels[hole, 3] = self.full
        return Picture(self.path, pixels, self.exif, self.profile, self.orientation)


def read(path: Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture of any common kind; of an animated one, the first frame.

    Palettes become RGB or RGBA, CMYK and other colour spaces RGB; 16 bits stay 16 bits.

    Raises
    ------
    ValueError
        If there is none, it cannot be decoded, or it has more than `max_pixels`.
    """
    with _opened(path) as picture:
        width, height = picture.size
        if width * height > max_pixels:
            raise Image.DecompressionBombError(
                f"{width}x{height} pixels are {width * height / 1e6:.0f} million; "
                f"at most {max_pixels / 1e6:.0f} million can be worked on"
            )
        return _decode(path, picture)


def read_photo(path: Path, least: float | None = None) -> np.ndarray:
    """Decode a photograph to train with or to measure on, turned upright.

    Parameters
    ----------
    path : Path
    least : float, optional
        Pixels that the short side must keep.  A larger JPEG is then decoded at 1/2, 1/4 or 1/8 of
        its size, which leaves out most of the work of decoding and of resizing it later.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8, RGB

    Raises
    ------
    ValueError
        If there is none, or it cannot be decoded.
    """
    with _opened(path) as picture:
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
    with whole(path) as unfinished:
        if picture.pixels.dtype == np.uint16 and picture.pixels.ndim == 3:
            _write_deep_colour(picture, unfinished, suffix)
        else:
            _write(picture, unfinished, suffix)


def read_hole(path: Path, size: tuple[int, int] | None, hole: str = "black") -> np.ndarray:
    """Read a mask picture.

    Grey is split at the middle, which undoes the edges that JPEG or smoothing leave.  In a picture
    with transparency and no colour of its own, transparent means hole.

    Parameters
    ----------
    path : Path
    size : (height, width) or None
        Of the picture that it belongs to; None if any will do.
    hole : {"black", "white"}
        What marks the hole.

    Returns
    -------
    ndarray of shape (H, W), bool
        True in the hole.

    Raises
    ------
    ValueError
        If it cannot be read, or is of another size.
    """
    mask = read(path)
    if size is not None and mask.size != size:
        raise ValueError(
            f"mask {path} is {mask.size[0]}x{mask.size[1]}, the picture is {size[0]}x{size[1]} "
            "(height x width); they should be of one size"
        )
    pixels = mask.pixels
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        opaque = pixels[..., 3] > mask.full // 2
        colours = pixels[opaque]
        if not opaque.all() and (colours == colours[:1]).all():
            return ~opaque
    white = mask.rgb().mean(2) > 0.5
    return white if hole == "white" else ~white


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture; whatever is wrong with it becomes a ValueError that names it."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures; our own limit speaks for itself.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            # Not by its path: Pillow maps some TIFFs into memory then, and garbles turned ones.
            with open(path, "rb") as file, Image.open(file) as picture:
                yield picture
    except FileNotFoundError:
        raise ValueError(f"no picture at {path}") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} is too large: {error}") from None
    except _DECODERS_RAISE as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"cannot read {path} as a picture ({why}); it should be one of {ENDINGS}"
        ) from None


def _decode(path: Path, picture: Image.Image) -> Picture:
    exif = picture.getexif()
    # Before the pixels are read: Pillow turns a TIFF upright then, and forgets how it was.
    exif_bytes, orientation = exif.tobytes() if exif else None, exif.get(_ORIENTATION, 1)
    orientation = orientation if orientation in _TURNED else 1
    profile = picture.info.get("icc_profile")
    deep = _read_deep_colour(path, picture)
    if deep is None:
        upright = ImageOps.exif_transpose(picture)
        pixels = np.array(_in_a_mode_we_keep(upright))
        if upright.mode == "CMYK":
            profile = None  # it describes inks
    else:
        pixels = deep
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
    if orientation not in _TURNED:
        return pixels
    turns = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1 if upright else 1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, 1 if upright else -1),
    }
    return np.ascontiguousarray(turns[orientation](pixels))


def _write(picture: Picture, path: Path, suffix: str) -> None:
    pixels = _turned(picture.pixels, picture.orientation, upright=False)
    options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    if picture.exif and suffix != ".bmp":
        options["exif"] = picture.exif
    if picture.profile and suffix != ".bmp":
        options["icc_profile"] = picture.profile
    if pixels.dtype == np.uint16 and suffix not in (".png", ".tif", ".tiff"):
        raise ValueError(f"{suffix} holds 8 bits only; write 16-bit pictures as .png or .tif")
    if pixels.ndim == 3 and pixels.shape[2] == 4 and suffix == ".bmp":
        raise ValueError(".bmp holds no transparency; write .png, .tif or .webp")
    Image.fromarray(pixels).save(path, format=LOSSLESS[suffix], **options)


def _write_deep_colour(picture: Picture, path: Path, suffix: str) -> None:
    """16-bit colour, which Pillow cannot write: by OpenCV as PNG, by tifffile as TIFF."""
    if suffix not in (".png", ".tif", ".tiff"):
        raise ValueError(f"{suffix} holds 8 bits only; write 16-bit pictures as .png or .tif")
    pixels = _turned(picture.pixels, picture.orientation, upright=False)
    alpha = pixels.shape[2] == 4
    if suffix != ".png":
        orientation = (_ORIENTATION, "H", 1, picture.orientation, True)
        tifffile.imwrite(
            path,
            pixels,
            photometric="rgb",
            extrasamples=["unassalpha"] if alpha else None,
            iccprofile=picture.profile,
            extratags=[orientation],
            metadata=None,
            software=False,
        )
        return
    described = {
        cv2.IMAGE_METADATA_EXIF: (picture.exif or b"").removeprefix(b"Exif\0\0"),
        cv2.IMAGE_METADATA_ICCP: picture.profile or b"",
    }
    kept = {kind: np.frombuffer(data, np.uint8) for kind, data in described.items() if data}
    colours = cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA if alpha else cv2.COLOR_RGB2BGR)
    done, data = cv2.imencodeWithMetadata(suffix, colours, list(kept), list(kept.values()))
    if not done:
        raise OSError(f"OpenCV cannot encode {path}")
    path.write_bytes(data.tobytes())
