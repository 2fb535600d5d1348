"""Files written whole or not at all."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path; what was written there takes the place of `path` at the end.

    If anything fails, `path` is as it was.  Its folder is made if need be.  A link stays, and what
    it names is replaced.
    """
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    # No longer than the name itself, which may be as long as names can be.
    name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    unfinished = path.with_name(f".{name}.unfinished")
    try:
        yield unfinished
        if path.exists():  # whoever may read it still may, and nobody else
            shutil.copymode(path, unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
