"""Which pictures a folder holds, and which mask belongs to which."""

import glob
import os
from pathlib import Path

from pconv_core.files.formats import ENDINGS, SUFFIXES


def pictures(folder: Path, pattern: str = "**/*") -> list[Path]:
    """List the pictures in a folder of moderate size, in the order of their paths.

    Raises
    ------
    ValueError
        If there is no folder, or no picture in it.
    """
    if folder.is_file():
        raise ValueError(f"{folder} is a file; it should be a folder of pictures")
    if not folder.is_dir():
        raise ValueError(f"no folder at {folder}")
    found = sorted(p for p in folder.glob(pattern) if _is_picture(p))
    if not found:
        raise ValueError(f"{folder} holds no picture; files should end in {ENDINGS}")
    return found


def others(folder: Path) -> list[Path]:
    """List what is directly in a folder and no picture, by its ending."""
    return sorted(p for p in folder.iterdir() if not _is_picture(p))


def mask_of(image: Path, masks: Path) -> Path:
    """Find the mask in a folder that bears the name of a picture, whatever its ending.

    Raises
    ------
    ValueError
        If there is none, or more than one.
    """
    named_so = masks.glob(f"{glob.escape(image.stem)}.*")
    found = sorted(p for p in named_so if p.stem == image.stem and _is_picture(p))
    if not found:
        raise ValueError(f"no mask for {image.name} in {masks}")
    if len(found) > 1:
        names = " and ".join(p.name for p in found)
        raise ValueError(f"{masks} holds {names}; there should be one mask for {image.name}")
    return found[0]


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def photographs(root: Path) -> list[str]:
    """List the photographs below a folder, millions if need be, in the order of their paths.

    Returns
    -------
    list of str
        Paths relative to `root`, with forward slashes.
    """
    paths, waiting = [], [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                elif os.path.splitext(entry.name)[1].lower() in SUFFIXES and entry.is_file():
                    paths.append(path)
    return sorted(paths)
