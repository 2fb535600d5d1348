"""Which pictures a folder holds; a large one is listed once, and the list kept."""

import json
import os
from hashlib import sha256
from pathlib import Path

from pconv_core.files.pictures import ENDINGS, SUFFIXES

__all__ = ["CACHE_VARIABLE", "photographs", "pictures"]

# A small folder is read again each time; that costs less than wondering about a cache.
_KEEP_FROM = 20_000
CACHE_VARIABLE = "PCONV_CACHE"


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
    """List the photographs below a folder, in the order of their paths.

    The list of a large folder is kept in the user's cache folder and used again while no folder
    in it has changed.

    Returns
    -------
    list of str
        Paths relative to `root`, with forward slashes.
    """
    kept = _cache_file(root)
    found = _from_cache(root, kept)
    if found is not None:
        return found
    folders, paths = _scan(root)
    if len(paths) >= _KEEP_FROM:
        _to_cache(kept, folders, paths)
    return paths


def _scan(root: Path) -> tuple[dict[str, int], list[str]]:
    """All folders with the time of their last change, and all photographs, relative."""
    folders, paths, waiting = {}, [], [""]
    while waiting:
        folder = waiting.pop()
        # Before the entries are read: what is added meanwhile changes the time once more.
        folders[folder] = os.stat(root / folder).st_mtime_ns
        with os.scandir(root / folder) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                elif os.path.splitext(entry.name)[1].lower() in SUFFIXES and entry.is_file():
                    paths.append(path)
    return folders, sorted(paths)


def _cache_file(root: Path) -> Path:
    home = os.environ.get(CACHE_VARIABLE) or Path(
        os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "pconv_core"
    )
    return Path(home) / f"{sha256(str(root.resolve()).encode()).hexdigest()[:16]}.json"


def _from_cache(root: Path, kept: Path) -> list[str] | None:
    """Return the list that was kept, if every folder is as it was."""
    try:
        cached = json.loads(kept.read_text(encoding="utf-8"))
        for folder, changed in cached["folders"].items():
            if os.stat(root / folder).st_mtime_ns != changed:
                return None
        return cached["paths"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _to_cache(kept: Path, folders: dict[str, int], paths: list[str]) -> None:
    unfinished = kept.with_suffix(f".{os.getpid()}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"folders": folders, "paths": paths}, ensure_ascii=False)
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, kept)
    except (OSError, UnicodeError):
        # A cache that cannot be written only costs time.
        unfinished.unlink(missing_ok=True)
