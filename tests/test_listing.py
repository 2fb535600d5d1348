import os

import pytest

from pconv_core.files import listing
from pconv_core.files.pictures import SUFFIXES

FILES = int(os.environ.get("PCONV_FILES", "21000"))


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.setenv(listing.CACHE_VARIABLE, str(tmp_path / "cache"))
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


def test_small_folder(tree, tmp_path):
    fill(tree, 200)
    (tree / "notes.txt").touch()
    assert listing.photographs(tree) == expected(tree)
    assert not (tmp_path / "cache").exists()


def test_large_folder_is_listed_once(tree, tmp_path, monkeypatch):
    fill(tree, FILES)
    first = listing.photographs(tree)
    assert first == expected(tree)
    monkeypatch.setattr(listing, "_scan", lambda root: pytest.fail("scanned again"))
    assert listing.photographs(tree) == first


@pytest.mark.parametrize("change", ["added", "removed", "renamed", "new folder"])
def test_a_change_is_noticed(tree, monkeypatch, change):
    monkeypatch.setattr(listing, "_KEEP_FROM", 10)
    fill(tree, 100)
    listing.photographs(tree)
    folder = tree / "class 01" / "deeper"
    photo = next(folder.iterdir())
    if change == "added":
        (folder / "new.jpg").touch()
    elif change == "removed":
        photo.unlink()
    elif change == "renamed":
        photo.rename(folder / "other.jpg")
    else:
        (tree / "class 99").mkdir()
        (tree / "class 99" / "a.png").touch()
    assert listing.photographs(tree) == expected(tree)


def test_a_damaged_cache_is_not_used(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "_KEEP_FROM", 10)
    fill(tree, 30)
    listing.photographs(tree)
    (kept,) = (tmp_path / "cache").iterdir()
    for text in ("", "{}", "[]", '{"folders": {"": 1}, "paths": []}', kept.read_text()[:100]):
        kept.write_text(text)
        assert listing.photographs(tree) == expected(tree)
