"""Files written whole or not at all, and files of tensors read without running what they hold."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path; what was written there takes the place of `path` at the end.

    If anything fails, `path` is as it was.  Its folder is made if need be.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_tensors(path: Path) -> dict:
    """Read a dictionary that torch has saved, on the CPU and without its pickled code.

    Raises
    ------
    ValueError
        If torch cannot read the file, or it holds something else; the message says why only.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load has no common base for what a bad file can raise
        raise ValueError(str(error).partition("\n")[0] or type(error).__name__) from None
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__}, not a dictionary")
    return found
