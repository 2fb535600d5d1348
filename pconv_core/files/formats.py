"""Which kinds of picture are read and written, and how a file is opened."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from PIL import Image

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif"}
ENDINGS = ", ".join(sorted(SUFFIXES))  # for messages
if find_spec("pillow_heif"):  # an optional extra; imported when such a file is opened
    SUFFIXES |= {".heic", ".heif"}
    ENDINGS += ", .heic, .heif"
else:
    ENDINGS += " (or .heic, with the package pillow-heif)"
# Formats that give back what they were given; JPEG would change known pixels.
LOSSLESS = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP", ".webp": "WEBP"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture; whatever is wrong with it, then or within, is a ValueError that names it."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures; our own limit speaks for itself.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            # Not by its path: Pillow maps some TIFFs into memory then, and garbles turned ones.
            with open(path, "rb") as file:
                _know_heic(file)
                with Image.open(file) as picture:
                    yield picture
    except FileNotFoundError:
        raise ValueError(f"no picture at {path}") from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder; it should be a picture") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} is too large: {error}") from None
    except Exception as error:  # Pillow's decoders leak what a malformed file makes of them
        why = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"cannot read {path} as a picture ({why}); it should be one of {ENDINGS}"
        ) from None


def _know_heic(file: BinaryIO) -> None:
    """Tell Pillow of HEIC if the file is one, whatever its ending."""
    # The box that begins the file: its length, "ftyp", the major brand, a version, further brands.
    head = file.read(64)
    file.seek(0)
    box = head[: int.from_bytes(head[:4])]
    brands = {box[k : k + 4] for k in (8, *range(16, len(box), 4))}
    if head[4:8] != b"ftyp" or not brands & _HEIC_BRANDS:
        return
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise ValueError("HEIC needs the package pillow-heif: pip install pillow-heif") from None
    register_heif_opener()
