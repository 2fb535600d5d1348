"""Which pictures a folder holds, and which mask belongs to which."""

import re
from collections import defaultdict
from pathlib import Path
from unicodedata import normalize

from pconv_core.photos import ENDINGS, is_picture, photographs

# Of a mask beside the name of its picture: x_mask.png, x_mask001.png.
_MASK = re.compile(r"(.+)[_-]mask[0-9]*")


def pictures(folder: Path, deep: bool = True) -> list[Path]:
    """List the pictures of a folder, or directly in it: as people count, 2 before 10.

    Raises
    ------
    ValueError
        If there is no folder, or no picture in it.
    """
    if folder.is_file():
        raise ValueError(f"{folder} is a file; it should be a folder of pictures")
    if not folder.is_dir():
        raise ValueError(f"no folder at {folder}")
    found = photographs(folder) if deep else [p.name for p in folder.iterdir() if is_picture(p)]
    if not found:
        raise ValueError(f"{folder} holds no picture; files should end in {ENDINGS}")
    return [folder / path for path in sorted(found, key=_as_people_count)]


def others(folder: Path) -> list[Path]:
    """List what is directly in a folder and no picture, by its name; no Mac's `._` files."""
    return sorted(p for p in folder.iterdir() if not is_picture(p) and not p.name.startswith("._"))


def parted(images: list[Path]) -> tuple[list[Path], list[Path]]:
    """Part photographs from what is, by its name, the mask of one of them."""
    names = {key for image in images for key in _keys(image)}
    ended = {(image.parent, _nfc(image.name)) for image in images}

    def is_mask(path: Path) -> bool:
        base = _MASK.fullmatch(_nfc(path.stem))
        beside = base is not None and (path.parent, base[1]) in names
        return beside or (path.parent, _nfc(path.stem)) in ended

    return [p for p in images if not is_mask(p)], [p for p in images if is_mask(p)]


class Masks:
    """Masks on disk: one file for all pictures, or a folder of which each bears a picture's name.

    The mask of a.jpg is a.png, whatever the ending, a.jpg.png, a_mask.png or a_mask001.png; names
    are compared as they look, composed or not.

    Parameters
    ----------
    path : Path
        A file or a folder; in a folder, masks may lie in subfolders as their pictures do.

    Raises
    ------
    ValueError
        If there is neither, or no picture in the folder.
    """

    def __init__(self, path: Path):
        self.path, self.named = path, defaultdict(list)
        if not path.exists():
            raise ValueError(f"no mask or folder of masks at {path}")
        if path.is_file():
            return
        for mask in pictures(path):
            for base in _bases(mask):
                self.named[_nfc(mask.relative_to(path).parent.as_posix()), base].append(mask)

    def of(self, image: Path, root: Path) -> Path:
        """Find the mask of a picture in the folder `root`; ValueError if not exactly one."""
        if self.path.is_file():
            return self.path
        parent = image.relative_to(root).parent
        names = {base for _, base in _keys(image)}
        place = _nfc(parent.as_posix())
        found = sorted({m for name in names for m in self.named[place, name]} - {image})
        if not found:
            raise ValueError(f"no mask for {image.name} in {self.path / parent}")
        if len(found) > 1:
            several = " and ".join(p.name for p in found)
            where = self.path / parent
            raise ValueError(f"{where} holds {several}; there should be one mask for {image.name}")
        return found[0]


def _keys(image: Path) -> set[tuple[Path, str]]:
    """What the name of a mask may be made of: the name of a picture with its ending or without."""
    return {(image.parent, _nfc(image.stem)), (image.parent, _nfc(image.name))}


def _bases(mask: Path) -> set[str]:
    """Names of pictures that a mask may be for."""
    found = _MASK.fullmatch(_nfc(mask.stem))
    return {_nfc(mask.stem), found[1]} if found else {_nfc(mask.stem)}


def _nfc(name: str) -> str:
    """A name composed: é as one sign, not e and an accent, as a Mac writes it."""
    return normalize("NFC", name)


def _as_people_count(path: str) -> tuple:
    parts = re.split(r"([0-9]+)", path)
    return [int(part) if k % 2 else part for k, part in enumerate(parts)], path
