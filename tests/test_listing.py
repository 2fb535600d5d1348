import os
from pathlib import Path

import pytest

from pconv_core.files import listing
from pconv_core.files.formats import SUFFIXES

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


def test_the_mask_of_a_picture_bears_its_name(tmp_path):
    for name in ("a.PNG", "a.txt", "a.b.png", "a1.png", "[c].jpg", "d.png", "d.gif"):
        (tmp_path / name).touch()
    (tmp_path / "e.png").mkdir()
    assert listing.mask_of(Path("x/a.jpg"), tmp_path).name == "a.PNG"
    assert listing.mask_of(Path("x/a.b.jpg"), tmp_path).name == "a.b.png"
    assert listing.mask_of(Path("[c].png"), tmp_path).name == "[c].jpg"
    for none in ("b.jpg", "c.jpg", "e.jpg"):
        with pytest.raises(ValueError, match=rf"^no mask for {none} in {tmp_path}$"):
            listing.mask_of(Path("x") / none, tmp_path)
    with pytest.raises(
        ValueError, match=r"holds d\.gif and d\.png; there should be one mask for d"
    ):
        listing.mask_of(Path("d.jpg"), tmp_path)


def test_pictures_of_a_folder(tmp_path):
    for name in ("b.AVIF", "a.jpg", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in listing.pictures(tmp_path)] == ["a.jpg", "b.AVIF"]
    with pytest.raises(ValueError, match=r"a\.jpg is a file; it should be a folder of pictures"):
        listing.pictures(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="no folder at"):
        listing.pictures(tmp_path / "none")
    with pytest.raises(ValueError, match="holds no picture"):
        listing.pictures(tmp_path / "folder.png")
