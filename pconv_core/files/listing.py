"""Which pictures a folder holds."""

import os
from pathlib import Path

from pconv_core.files.pictures import ENDINGS, SUFFIXES


def pictures(folder: Path, pattern: str = "**/*") -> list[Path]:
    """List the pictures in a folder of moderate size, in the order of their paths.

    Raises
    ------
    ValueError
        If there is no folder, or no picture in it.
    """
    if not folder.is_dir():
        raise ValueError(f"no folder at {folder}")
    found = sorted(p for p in folder.glob(pattern) if p.suffix.lower() in SUFFIXES)
    if not found:
        raise ValueError(f"{folder} holds no picture; files should end in {ENDINGS}")
    return found


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
