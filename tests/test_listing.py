import os

import pytest

from pconv_core.files import listing
from pconv_core.files.pictures import SUFFIXES

FILES = int(os.environ.get("PCONV_FILES", "21000"))


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "photos"
    for k in range(20):
        (root / f"class {k:02d}" / "deeper").mkdir(parents=True)
    return root


def fill(root, count):
    for k in range(count):
        folder = root / f"class {k % 20:02d}" / ("deeper" if k % 3 else "")
        (folder / f"{k:06d}.{'JPG' if k % 2 else 'png'}").touch()


def expected(root):
    """Another way to list: pathlib's."""
    found = (p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES)
    return sorted(p.relative_to(root).as_posix() for p in found)


@pytest.mark.parametrize("count", [0, 200, FILES])
def test_all_photographs_and_nothing_else(tree, count):
    fill(tree, count)
    (tree / "notes.txt").touch()
    (tree / "folder.jpg").mkdir()
    assert listing.photographs(tree) == [p for p in expected(tree) if p != "folder.jpg"]


def test_a_change_is_noticed(tree):
    fill(tree, 100)
    before = listing.photographs(tree)
    (tree / "class 99").mkdir()
    (tree / "class 99" / "a.png").touch()
    assert listing.photographs(tree) == [*before, "class 99/a.png"]
