"""Pictures and masks as people have them, read: every format, mode, depth and orientation.

A picture is worked on as it is seen: RGB in [0, 1], turned upright.  What the file holds is kept
beside it, so that a repaired picture can be written with every known pixel as it was.
"""

import logging
import math
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif"}
ENDINGS = ", ".join(sorted(SUFFIXES))  # for messages
if find_spec("pillow_heif"):  # an optional extra; imported when such a file is opened
    SUFFIXES |= {".heic", ".heif"}
    ENDINGS += ", .heic, .heif"
else:
    ENDINGS += " (or .heic, with the package pillow-heif)"
# What those endings stand for; Pillow would open much else, as a FITS or a PSD named .png.
_FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "MPO", "PNG", "TIFF", "WEBP")
# The box that begins a HEIC: its length, "ftyp", brands such as heic and hevc.
_HEIC = re.compile(rb"....ftyp.*he[iv]", re.DOTALL)
# In an AVIF or HEIC, that its channels have more than 8 bits, to which Pillow cuts them.
_DEEP = re.compile(rb"pixi.{5}[\x09-\x10]", re.DOTALL)
_MOST_PIXELS = 100_000_000
ORIENTATION = 0x0112  # EXIF tag
# What may go on to a repaired picture: description, make, model, orientation, resolution, software,
# date, artist, copyright; and the two directories of camera and place.  Other tags tell how the
# file is built, and would spoil another one.
_DESCRIBING = (270, 271, 272, ORIENTATION, 282, 283, 296, 305, 306, 315, 33432)
_DIRECTORIES = (0x8769, 0x8825)
_TIFF_BEGINS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Photometric interpretations of TIFF by number, and how many channels their colours have.
_WHITE_IS_0, _BLACK_IS_0, _RGB, _PALETTE, _INKS, _YCBCR = 0, 1, 2, 3, 5, 6
_COLOURS = {_WHITE_IS_0: 1, _BLACK_IS_0: 1, _RGB: 3, _PALETTE: 1, _INKS: 4, _YCBCR: 3}
_JPEG_IN_TIFF = 7

_COLOURFUL = 1 / 4  # of white, between two channels of a pixel; JPEG makes less of grey
_EXTREME = 1 / 20  # of white: how near to black or to white counts as that
_LEVELS = 64  # of grey that are told apart
_DARK = 1 / 3  # of white: what is drawn on a transparent layer counts as black below
_EDGE = 1 / 10  # of the lightest: how near masks of two levels are to either of them
# Of 500 photographs turned grey 6 in 7 have fewer pixels that are black or white, or of two
# levels; masks have more, also if JPEG or smoothing by some pixels spoils their edges.
_LEAST_EXTREME, _LEAST_OF_TWO = 0.15, 0.5


class _NotKept(ValueError):
    """A picture whose numbers would not be kept as they are."""


@dataclass
class Picture:
    """A picture as it was read.

    `pixels` are upright, of shape (H, W), (H, W, 2), (H, W, 3) or (H, W, 4): grey, grey and alpha,
    RGB, RGBA or CMYK; uint8 or uint16.
    """

    path: Path
    pixels: np.ndarray
    exif: bytes | None = None  # of the file, what describes the picture
    profile: bytes | None = None
    orientation: int = 1  # EXIF's, of the file; 1 = upright
    inks: bool = False  # whether four channels are CMYK, of 8 bits
    several: bool = False  # whether the file holds more pictures, of which this is the first

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
        has_alpha = self.pixels.ndim == 3 and self.pixels.shape[2] in (2, 4) and not self.inks
        return self.pixels[..., -1] if has_alpha else None

    @property
    def colours(self) -> np.ndarray:
        """RGB as whole numbers up to `full`, shape (H, W, 3); what hides behind alpha 0 too."""
        if self.inks:
            return np.asarray(Image.fromarray(self.pixels, "CMYK").convert("RGB"))
        grey = self.pixels.ndim == 2 or self.pixels.shape[2] == 2
        colours = self.pixels.reshape(*self.size, -1)[..., : 1 if grey else 3]
        return np.broadcast_to(colours, (*self.size, 3))

    def rgb(self) -> np.ndarray:
        """RGB in [0, 1], shape (H, W, 3), float32."""
        return self.colours.astype(np.float32) / np.float32(self.full)


def read(path: Path) -> Picture:
    """Read a picture of any common kind; of several in one file, the first.

    Palettes become RGB or RGBA; grey, grey with alpha, RGB and RGBA of 8 and 16 bits and CMYK of 8
    stay as they are.

    ValueError if there is none, it cannot be decoded, its numbers cannot be kept as they are, or it
    has more than 100 million pixels.
    """
    with _named(path), open(path, "rb") as file:
        if file.peek(4)[:4] in _TIFF_BEGINS:
            return _read_tiff(path, file)
        with _opened(file) as picture:
            _check_size(*picture.size)
            return _decode(path, picture)


def read_photo(path: Path, least: float | None = None) -> np.ndarray:
    """Decode a photograph to train with or to measure on: upright RGB, (H, W, 3) uint8.

    If the short side needs to keep `least` pixels only, a larger JPEG is decoded at 1/2, 1/4 or
    1/8 of its size, which leaves out most of the work of decoding and of resizing it later.
    ValueError as `read`.
    """
    with _named(path), open(path, "rb") as file:
        if file.read(3) == b"\xff\xd8\xff":
            file.seek(0)
            with _opened(file) as picture:
                if least is not None:
                    picture.draft(None, (math.ceil(least),) * 2)
                return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    picture = read(path)
    if picture.full == 255:
        return np.ascontiguousarray(picture.colours)
    return ((picture.colours.astype(np.uint32) + 128) // 257).astype(np.uint8)


def read_hole(
    path: Path, size: tuple[int, int] | None, hole: str = "black", may_be_empty: bool = False
) -> np.ndarray:
    """Read a mask picture whose hole is "black" or "white": (H, W) bool, True in the hole.

    Grey is split at the middle, which undoes the edges that JPEG or smoothing leave; a mask may
    hold 0 and 1, or 0 and 100, as well.  On a transparent layer, strokes of the hole's colour are
    the hole; if all that is opaque is of the other colour, the transparent part is; if both are
    there, what is transparent is known.

    ValueError if it cannot be read, has colours, looks like a photograph, marks no hole (unless it
    `may_be_empty`), or is not of `size`, (height, width); None if any will do.
    """
    mask = read(path)
    if size is not None and mask.size != size:
        raise ValueError(
            f"mask {path} is {mask.size[0]}x{mask.size[1]}, the picture is {size[0]}x{size[1]} "
            "(height x width); they should be of one size"
        )
    other = "black" if hole == "white" else "white"
    try:
        white = _whites(mask, hole)
    except ValueError as error:
        raise ValueError(
            f"mask {path} {error}; it should be {hole} in the hole and {other} elsewhere"
        ) from None
    marked = white if hole == "white" else ~white
    if not marked.any() and not may_be_empty:
        colours = mask.colours
        raise ValueError(
            f"mask {path} marks no hole: its values are {colours.min()} to {colours.max()}; "
            f"it should be {hole} in the hole"
        )
    return marked


def resized_hole(hole: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize a hole (H, W), bool, to (height, width): whatever holds hole stays hole.

    So lines of a pixel do not vanish, as they would if every so many pixels were taken.
    """
    if hole.shape == shape:
        return hole
    share = hole.astype(np.float32)
    for axis, side in enumerate(shape):
        smaller = side < share.shape[axis]
        size = (share.shape[1], side) if axis == 0 else (side, share.shape[0])
        method = cv2.INTER_AREA if smaller else cv2.INTER_NEAREST
        share = cv2.resize(share, size, interpolation=method)
    return share > 1e-5


def _decode(path: Path, picture: Image.Image) -> Picture:
    """What Pillow opened, but no TIFF."""
    raw = picture.tile[0].args if picture.format == "PNG" else ""  # as "RGB;16B"
    exif, orientation = _described(picture.getexif(), picture.info.get("dpi"))
    # A telephone's second picture is the first again, for other uses.
    several = picture.format != "MPO" and getattr(picture, "is_animated", False)
    if "transparency" in picture.info and raw.endswith((";16B", "L;2", "L;4")):
        raise _NotKept(f"{raw} with one colour as transparent is not kept; save it with alpha")
    data = np.fromfile(path, np.uint8)
    if picture.format in ("AVIF", "HEIF") and _DEEP.search(data.tobytes()):
        raise _NotKept("it has more than 8 bits a channel")
    if picture.format == "PNG" and cv2.imdecode(data, cv2.IMREAD_UNCHANGED) is None:
        raise _NotKept("its pixels cannot all be decoded")  # Pillow makes what lacks black
    inks, profile = picture.mode == "CMYK", picture.info.get("icc_profile")
    if raw.endswith(";16B") and picture.mode in ("RGB", "RGBA"):  # which Pillow cuts to 8 bits
        pixels = turned(_by_opencv(path), picture.getexif().get(ORIENTATION), upright=True)
    else:
        pixels = np.array(_in_a_mode_we_keep(ImageOps.exif_transpose(picture)))
    return Picture(path, pixels, exif, profile, orientation, inks, several)


def _in_a_mode_we_keep(picture: Image.Image) -> Image.Image:
    mode = {"1": "L", "P": "RGB", "PA": "RGBA", "YCbCr": "RGB"}.get(picture.mode, picture.mode)
    if mode in ("L", "RGB") and picture.has_transparency_data:
        mode += "A"
    if mode not in ("L", "LA", "RGB", "RGBA", "RGBa", "CMYK", "I;16", "I;16B"):
        raise _NotKept(f"its pixels are of the kind {mode}, which is not kept")
    return picture if picture.mode == mode else picture.convert(mode)


def _by_opencv(path: Path) -> np.ndarray:
    """16-bit colour: RGB or RGBA, as OpenCV turns it: a TIFF upright, a PNG not."""
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise _NotKept("16-bit colour that cannot be decoded")
    code = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(pixels, code)


def _read_tiff(path: Path, file: BinaryIO) -> Picture:
    """A TIFF or BigTIFF whose tags say that its numbers can be kept; ValueError if not."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong, an error says
    with tifffile.TiffFile(file) as tiff:
        page, several = tiff.pages[0], True
        with suppress(Exception):  # of a malformed description
            # ImageJ, for one, may write a stack behind a single page.
            several = len(tiff.pages) > 1 or tiff.series[0].size > page.size
        _check_size(page.imagewidth, page.imagelength)
        if page.is_reduced or 0 in page.databytecounts:  # of which readers make black
            raise _NotKept("its first picture is a small copy, or lacks a part")
        photometric, channels, bits = _kind_of_tiff(page)
        exif, orientation, turn = None, 1, page.tags.valueof(ORIENTATION)
        # Some that tifffile reads Pillow does not open.
        with suppress(Exception), Image.open(path, formats=["TIFF"]) as opened:
            turn = opened.getexif().get(ORIENTATION)  # which may stand in XMP alone
            exif, orientation = _described(opened.getexif())
        pixels = None
        if bits in (8, 16) and photometric in (_BLACK_IS_0, _RGB, _INKS):
            pixels = _by_tifffile(page, turn)
    if pixels is None:
        pixels = _tiff_by_others(path, bits, channels)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    inks = photometric == _INKS
    picture = Picture(path, pixels, exif, page.iccprofile, orientation, inks, several)
    opacity = picture.alpha if 1 in page.extrasamples else None
    if opacity is not None and ((opacity > 0) & (opacity < picture.full)).any():
        raise _NotKept("its colours are multiplied by alpha; save it with alpha that is not")
    return picture


def _kind_of_tiff(page: tifffile.TiffPage) -> tuple[int, int, int]:
    """Photometric interpretation, channels and bits of a TIFF; ValueError if not one we keep."""
    photometric, channels = int(page.photometric), page.samplesperpixel
    bits, kinds = (
        np.unique(value).tolist() for value in (page.bitspersample, page.tags.valueof(339, 1))
    )
    plain = photometric in (_BLACK_IS_0, _RGB)
    meanings = [int(meaning) for meaning in page.extrasamples]
    extra = channels - _COLOURS.get(photometric, channels)
    is_kept = (
        photometric in _COLOURS
        and kinds == [1]  # whole numbers without a sign
        and (bits in ([1], [2], [4], [8]) or (plain and bits == [16]))
        and (extra == 0 or (extra == 1 and plain and meanings in ([], [1], [2])))
        and (photometric != _YCBCR or page.compression == _JPEG_IN_TIFF)
        and page.imagedepth == 1
        and (photometric != _INKS or page.tags.valueof(332, 1) == 1)  # cyan, magenta and so on
        # Of a palette's 16 bits eight are kept: those of 8, repeated or followed by zeros.
        and (photometric != _PALETTE or not (page.colormap % 257 * (page.colormap % 256)).any())
    )
    if not is_kept:
        raise _NotKept(
            f"its numbers are of a kind that is not kept: {channels} channels of {bits} bits, "
            f"sample format {kinds}, photometric interpretation {photometric}, further channels "
            f"{meanings}; save it in grey, RGB or CMYK of whole numbers, alpha not multiplied"
        )
    return photometric, channels, bits[0]


def _by_tifffile(page: tifffile.TiffPage, orientation: int | None) -> np.ndarray | None:
    """Pixels of a TIFF, upright; None if tifffile cannot decompress them."""
    try:
        pixels = page.asarray()
    except (ValueError, ImportError) as error:
        if "requires" in str(error) or isinstance(error, ImportError):
            return None
        raise
    if page.planarconfig != 1 and page.samplesperpixel > 1:
        pixels = np.moveaxis(pixels, 0, -1)
    shape = (page.imagelength, page.imagewidth, page.samplesperpixel)
    pixels = pixels.reshape(shape[:2] if shape[2] == 1 else shape)
    return turned(pixels, orientation, upright=True)


def _tiff_by_others(path: Path, bits: int, channels: int) -> np.ndarray:
    """Pixels of a TIFF, upright, by Pillow, and by OpenCV where Pillow cuts them to 8 bits."""
    with open(path, "rb") as file, Image.open(file, formats=["TIFF"]) as picture:
        picture.load()  # and turns it upright
        if bits < 16 or picture.mode.startswith("I;16"):
            return np.array(_in_a_mode_we_keep(picture))
        deep = _by_opencv(path)
        if deep.shape[2] != channels or not np.array_equal(deep >> 8, np.array(picture)):
            raise _NotKept("two readers disagree on its 16-bit colours")
        return deep


def _described(exif: Image.Exif, dpi: tuple | None = None) -> tuple[bytes | None, int]:
    """Of EXIF tags, and pixels an inch beside them, what describes the picture; its orientation."""
    kept = Image.Exif()
    kept.update({282: dpi[0], 283: dpi[1], 296: 2} if dpi else {})
    try:
        for tag in (*_DESCRIBING, *_DIRECTORIES):
            if value := exif.get_ifd(tag) if tag in _DIRECTORIES else exif.get(tag):
                # Pillow reads text as Latin-1 and writes it as ASCII.
                kept[tag] = value.encode("latin-1") if isinstance(value, str) else value
        if not all(0 < kept.get(tag, 1) < 1e7 for tag in (282, 283)):  # 0/0, or more than PNG holds
            for tag in (282, 283, 296):
                kept.pop(tag, None)
        found = kept.tobytes() if kept else None
    except Exception:  # what Pillow makes of malformed tags; the picture does not hang on them
        return None, 1
    orientation = kept.get(ORIENTATION)
    return found, orientation if orientation in range(1, 9) else 1


def _check_size(width: int, height: int) -> None:
    if width * height > _MOST_PIXELS:
        raise Image.DecompressionBombError(
            f"of {width}x{height} pixels at most {_MOST_PIXELS // 10**6} million can be worked on"
        )


def turned(pixels: np.ndarray, orientation: int, upright: bool) -> np.ndarray:
    """Turn an array upright, or back as the file has it."""
    if not upright:
        orientation = {6: 8, 8: 6}.get(orientation, orientation)  # the others undo themselves
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::rows, ::columns])


@contextmanager
def _opened(file: BinaryIO) -> Iterator[Image.Image]:
    """Open what is no TIFF by Pillow."""
    with warnings.catch_warnings():
        # Pillow warns of large pictures; our own limit speaks for itself.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        # Not by its path: Pillow maps some files into memory then, and garbles turned ones.
        _know_heic(file)
        Image.init()
        with Image.open(file, formats=[f for f in _FORMATS if f in Image.OPEN]) as picture:
            yield picture


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Whatever is wrong with a picture is a ValueError of one line that names it."""
    try:
        yield
    except FileNotFoundError:
        raise ValueError(f"no picture at {path}") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} is too large: {error}") from None
    except _NotKept as error:
        raise ValueError(f"cannot read {path} exactly: {error}") from None
    except Exception as error:  # decoders leak what a malformed file makes of them
        why = str(error).partition("\n")[0] or type(error).__name__
        why = "of no kind known" if isinstance(error, UnidentifiedImageError) else why
        raise ValueError(
            f"cannot read {path} as a picture ({why}); it should be one of {ENDINGS}"
        ) from None


def _know_heic(file: BinaryIO) -> None:
    """Tell Pillow of HEIC if the file is one, whatever its ending."""
    is_heic = _HEIC.match(file.read(64))
    file.seek(0)
    if not is_heic:
        return
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise ValueError("HEIC needs the package pillow-heif: pip install pillow-heif") from None
    register_heif_opener()


def photographs(root: Path) -> list[str]:
    """List the photographs below a folder, millions if need be, in the order of their paths.

    Links are followed, but not to a folder that holds them.  A link to nothing is listed, so that
    reading it says so; a Mac's `._` files are not.  Paths are relative to `root`, with forward
    slashes.
    """
    paths, waiting = [], [("", ())]
    while waiting:
        folder, above = waiting.pop()
        found = os.stat(root / folder)
        if (place := (found.st_dev, found.st_ino)) in above:
            continue
        with os.scandir(root / folder) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir():
                    waiting.append((path, (*above, place)))
                elif is_picture(entry):
                    paths.append(path)
    return sorted(paths)


def is_picture(entry: os.DirEntry | Path) -> bool:
    """Whether a file is a picture by its name; a link to nothing is, too."""
    ending = os.path.splitext(entry.name)[1].lower()
    if ending not in SUFFIXES or entry.name.startswith("._"):
        return False
    return entry.is_file() or (entry.is_symlink() and not entry.is_dir())


def _whites(mask: Picture, hole: str) -> np.ndarray:
    """Tell which pixels of a drawn mask are white, (H, W): those above the middle.

    The middle undoes the edges that JPEG or smoothing leave.  Of a mask that is transparent in
    part, what is not drawn is known.  ValueError, which says what was found, if there are colours,
    greys as in a photograph, or on a transparent layer one grey alone, neither dark nor light.
    """
    colours = mask.colours
    if mask.alpha is not None and (mask.alpha < mask.full).any():
        drawn = mask.alpha > mask.full // 2  # a soft edge ends in its middle
        if not drawn.any():
            return np.full(mask.size, hole == "black")
        grey = _grey(colours[drawn][:, None])
        if (grey < _DARK).all():
            return ~drawn
        if (grey > 1 - _DARK).all():
            return drawn
        if np.ptp(grey) < _DARK:
            raise ValueError(
                f"is drawn in the grey {grey.mean():.0%} of white on a transparent layer"
            )
        paper = np.array(mask.full if hole == "black" else 0, colours.dtype)
        colours = np.where(drawn[..., None], colours, paper)
    grey = _grey(colours)
    _check_plain(grey)
    return grey > 0.5


def _grey(colours: np.ndarray) -> np.ndarray:
    """Grey of a drawn mask (H, W, 3): (H, W), 1 where white; ValueError if it has colours.

    White is the most that the type holds, or 255 if 16 bits hold 8, or the lightest value of a mask
    that is black and that.
    """
    largest = int(colours.max())
    dark, light = colours <= largest * _EDGE, colours >= largest * (1 - _EDGE)
    white = 255 if largest <= 255 else int(np.iinfo(colours.dtype).max)
    if largest <= 1 or (dark.any() and light.any() and (dark | light).mean() > 1 - _EDGE):
        white = max(largest, 1)
    strength = (colours.max(2) - colours.min(2)) / white
    if white > 1 and strength.max() > _COLOURFUL:
        row, column = np.unravel_index(strength.argmax(), strength.shape)
        red, green, blue = (int(v) for v in colours[row, column])
        raise ValueError(
            f"has colours: {(strength > _COLOURFUL).sum()} pixels, such as RGB {red}, {green}, "
            f"{blue} in row {row}, column {column}"
        )
    return colours.mean(2) / white


def _check_plain(grey: np.ndarray) -> None:
    """Raise ValueError if few pixels are black or white, or of any two other levels."""
    extreme = ((grey < _EXTREME) | (grey > 1 - _EXTREME)).mean()
    shares = np.histogram(grey, _LEVELS, (0, 1))[0] / grey.size
    near = np.convolve(shares, np.ones(3), "same")  # of a level and the two beside it
    most = near.argmax()
    two = near[most] + np.delete(near, slice(max(0, most - 2), most + 3)).max()
    if extreme < _LEAST_EXTREME and two < _LEAST_OF_TWO:
        odd = f"{1 - extreme:.0%} of its pixels are neither black nor white"
        raise ValueError(f"looks like a photograph: {odd}")
