"""Pictures written as people have them, without loss, and read back before they are handed over."""

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image

from pconv_core import photos
from pconv_core.photos import ORIENTATION, Picture, turned
from pconv_core.writing import whole

# Formats that give back what they were given; JPEG would change known pixels.
LOSSLESS = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP", ".webp": "WEBP"}
_MOST_WEBP = 16383  # pixels a side
_ODD_GAMMA = re.compile(rb"gAMA(?!\0\0\xb1[\x8e-\x90])")  # in a PNG, other than 1/2.2


def implied_hole(
    picture: Picture, colour: tuple[int, int, int] | None = None
) -> tuple[np.ndarray, str]:
    """The hole that a picture itself shows: (H, W) bool, and in words what it consists of.

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
        hole = (picture.colours == np.array(colour) * (picture.full // 255)).all(2)
        what, partly = f"pixels of the colour {', '.join(map(str, colour))}", 0
    elif picture.alpha is None:
        hole, what, partly = np.zeros(picture.size, bool), "transparent pixels", 0
    else:
        hole, what = picture.alpha < picture.full, "transparent pixels"
        partly = int((hole & (picture.alpha > 0)).sum())
    if not hole.any():
        raise ValueError(f"{picture.path} has no {what}")
    words = f"{hole.sum()} {what}"
    return hole, f"{words} ({partly} of them half-transparent)" if partly else words


def filled(picture: Picture, rgb: np.ndarray, hole: np.ndarray) -> Picture:
    """A copy of a picture with the colours of `rgb` (H, W, 3), in [0, 1], in its hole alone."""
    values = np.rint(rgb[hole].clip(0, 1).astype(np.float64) * picture.full)
    copy = replace(picture, pixels=picture.pixels.copy())
    if picture.inks:
        copy.pixels[hole] = _inks(values)
    elif copy.pixels.ndim == 3 and copy.pixels.shape[2] > 2:
        copy.pixels[hole, :3] = values
    else:
        # Luma of ITU-R BT.601, as Pillow converts to grey.
        colours = copy.pixels if copy.pixels.ndim == 2 else copy.pixels[..., 0]
        colours[hole] = np.rint(values @ [0.299, 0.587, 0.114])
    if copy.alpha is not None:
        copy.alpha[hole] = picture.full
    return copy


def storable(picture: Picture, path: Path) -> Picture:
    """A picture as the format of a file holds it; before any work, what it cannot hold is known.

    Raises
    ------
    ValueError
        If the format would change known pixels.
    """
    form = LOSSLESS.get(path.suffix.lower())
    deep, (height, width) = picture.full > 255, picture.size
    if form is None:
        raise ValueError(
            f"{path} would not keep the known pixels as they are; "
            f"write one of {', '.join(sorted(LOSSLESS))}"
        )
    if deep and form not in ("PNG", "TIFF"):
        raise ValueError(f"{form} holds 8 bits only; write 16-bit pictures as .png or .tif")
    if picture.alpha is not None and form == "BMP":
        raise ValueError("BMP holds no transparency; write .png, .tif or .webp")
    if form == "WEBP" and max(height, width) > _MOST_WEBP:
        raise ValueError(
            f"WebP holds {_MOST_WEBP} pixels a side, {picture.path} has {height}x{width}; "
            "write .png or .tif"
        )
    grey = picture.pixels.ndim == 2 or picture.pixels.shape[2] == 2
    deep_grey_alpha = deep and grey and picture.alpha is not None
    if form == "BMP":  # it holds no orientation either
        picture = replace(picture, exif=None, profile=None, orientation=1)
    as_rgb = {"BMP": picture.inks, "WEBP": picture.inks or grey, "TIFF": False}
    if not as_rgb.get(form, picture.inks or deep_grey_alpha):
        return picture
    channels = [picture.colours] if picture.alpha is None else [picture.colours, picture.alpha]
    # Its profile described inks or greys.
    return replace(picture, pixels=np.dstack(channels), inks=False, profile=None)


def unkept(picture: Picture, path: Path) -> list[str]:
    """What a file will not tell of its picture any more, in words; errors as `storable`."""
    stored, parts = storable(picture, path), {"exif": "EXIF", "profile": "colour profile"}
    found = [parts[p] for p in parts if getattr(picture, p) and not getattr(stored, p)]
    chunks = picture.path.read_bytes().partition(b"IDAT")[0]
    if chunks.startswith(b"\x89PNG"):
        found += ["cICP"] if b"cICP" in chunks else []
        is_told = b"sRGB" in chunks or b"iCCP" in chunks  # which count before the gamma
        found += ["gamma"] if not is_told and _ODD_GAMMA.search(chunks) else []
    return found


def write(picture: Picture, path: Path) -> None:
    """Write a picture without loss, turned back as its file was, whole or not at all.

    It takes its name when it has been read again and every pixel is as it should be.

    Raises
    ------
    ValueError
        If the format would change known pixels.
    OSError
        If it cannot be written, or holds something else when it is read.
    """
    picture = storable(picture, path)
    form = LOSSLESS[path.suffix.lower()]
    stored = replace(picture, pixels=turned(picture.pixels, picture.orientation, upright=False))
    with whole(path) as unfinished:
        if picture.full == 255 or picture.pixels.ndim < 3:
            _write_by_pillow(stored, unfinished, form)
        elif form == "PNG":
            _write_deep_png(stored, unfinished)
        else:
            _write_deep_tiff(stored, unfinished)
        _check(picture, unfinished, path)


def _check(wanted: Picture, written: Path, path: Path) -> None:
    """Raise OSError unless a file holds a picture, pixel by pixel."""
    try:
        found = photos.read(written)
    except ValueError as error:
        raise OSError(f"cannot write {path}: what was written is unreadable ({error})") from None
    if not _alike(found, wanted):
        raise OSError(f"cannot write {path}: what was written has other pixels")


def _alike(a: Picture, b: Picture) -> bool:
    """Whether two pictures are the same; an alpha that is full all over may be left out."""
    if a.size != b.size or a.full != b.full or a.inks != b.inks:
        return False
    if a.inks:
        return np.array_equal(a.pixels, b.pixels)
    opacity = [a.full if picture.alpha is None else picture.alpha for picture in (a, b)]
    return np.array_equal(a.colours, b.colours) and bool(np.all(opacity[0] == opacity[1]))


def _inks(rgb: np.ndarray) -> np.ndarray:
    """CMYK of RGB, (N, 3) of 0 to 255, with as much black as there can be; as Pillow goes back."""
    light = rgb.max(1, keepdims=True)
    inks = 255 * (1 - rgb / np.maximum(light, 1))
    return np.rint(np.hstack([np.where(light > 0, inks, 0), 255 - light]))


def _exif(data: bytes) -> Image.Exif:
    """EXIF tags, texts as bytes: Pillow reads Latin-1, and would write ASCII."""
    exif = Image.Exif()
    exif.load(data)
    exif.update({k: v.encode("latin-1") for k, v in exif.items() if isinstance(v, str)})
    return exif


def _dpi(exif: Image.Exif) -> list[float] | None:
    """Pixels an inch, across and down."""
    scale = [float(exif.get(tag, 0)) * (2.54 if exif.get(296) == 3 else 1) for tag in (282, 283)]
    return scale if min(scale) > 0 and exif.get(296) != 1 else None  # not 0/0, nor without a unit


def _write_by_pillow(picture: Picture, path: Path, form: str) -> None:
    exif = _exif(picture.exif or b"")
    options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    described = {"exif": exif, "icc_profile": picture.profile, "dpi": form == "PNG" and _dpi(exif)}
    options |= {name: data for name, data in described.items() if data}
    image = Image.fromarray(picture.pixels, "CMYK" if picture.inks else None)
    image.save(path, format=form, **options)


def _write_deep_tiff(picture: Picture, path: Path) -> None:
    """16-bit colour, which Pillow cannot write."""
    exif = _exif(picture.exif or b"")
    tags = [(tag, "s", 0, text, True) for tag, text in exif.items() if isinstance(text, bytes)]
    scale = {"resolution": dpi, "resolutionunit": 2} if (dpi := _dpi(exif)) else {}
    tifffile.imwrite(
        path,
        picture.pixels,
        photometric="minisblack" if picture.pixels.shape[2] == 2 else "rgb",
        planarconfig="contig",
        extrasamples=None if picture.alpha is None else ["unassalpha"],
        iccprofile=picture.profile,
        extratags=[(ORIENTATION, "H", 1, picture.orientation, True), *tags],
        metadata=None,
        software=False,
        **scale,
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
