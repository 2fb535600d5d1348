"""Where photographs come from, and the samples made of them: photograph, crop, mask.

A sample is a pure function of (seed, number): the order of loading, the number of worker
processes or an interruption cannot change what a network sees.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pconv_core.masks import BINS, random_mask
from pconv_core.seeding import generator

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}

# Colour photographs that installed packages carry, by (package, file name).
EMBEDDED_TRAIN = (
    ("skimage", "coffee.png"),
    ("skimage", "rocket.jpg"),
    ("skimage", "motorcycle_left.png"),
    ("skimage", "motorcycle_right.png"),
    ("matplotlib", "grace_hopper.jpg"),
    ("sklearn", "china.jpg"),
    ("sklearn", "flower.jpg"),
)
# Never trained on.
EMBEDDED_TEST = (("skimage", "astronaut.png"), ("skimage", "chelsea.png"))

# Folders of the official archives, by split.
PLACES365_FOLDERS = {
    "train": ("train", "data_256_standard", "data_large_standard", "data_256", "data_large"),
    "val": ("val", "val_256", "val_large"),
}
COCO2014_FOLDERS = {"train": "train2014", "val": "val2014"}


def read_photo(path: Path) -> np.ndarray:
    """Decode a photograph, turned upright by its EXIF orientation.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8, RGB

    Raises
    ------
    ValueError
        If the file is missing or no picture that Pillow can read.
    """
    try:
        with Image.open(path) as picture:
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except FileNotFoundError:
        raise ValueError(f"no photograph at {path}") from None
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"cannot read {path} as a picture ({error}); it should be one of "
            f"{', '.join(sorted(SUFFIXES))}"
        ) from None


class Photos(Sequence):
    """Photographs on disk, decoded when asked for.

    Parameters
    ----------
    paths : sequence of Path
    name : str
        What messages and tables call this source.
    keep : bool
        Whether decoded photographs stay in memory (for the few embedded ones).

    Raises
    ------
    ValueError
        If there are none.
    """

    def __init__(self, paths: Sequence[Path], name: str, keep: bool = False):
        if not paths:
            raise ValueError(
                f"{name} holds no photograph; files should end in {', '.join(sorted(SUFFIXES))}"
            )
        self.paths, self.name = list(paths), name
        self._read = lru_cache(maxsize=None)(read_photo) if keep else read_photo

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return photograph `index` as (H, W, 3) uint8 RGB."""
        return self._read(self.paths[index])


def embedded(split: str) -> Photos:
    """Photographs that installed packages carry: seven to train, astronaut and chelsea to test.

    Parameters
    ----------
    split : {"train", "test"}
    """
    entries = {"train": EMBEDDED_TRAIN, "test": EMBEDDED_TEST}[split]
    return Photos([_package_file(*e) for e in entries], f"embedded {split} photographs", keep=True)


def folder(root: str | Path) -> Photos:
    """All photographs below a folder, in the order of their paths.

    Raises
    ------
    ValueError
        If the folder does not exist or holds no photograph.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"no folder at {root}; it should be a folder of photographs")
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return Photos(paths, f"folder {root}")


def places365(root: str | Path, split: str = "train") -> Photos:
    """Places365-Standard, as unpacked from the official archives.

    Either layout will do: `train/` and `val/` with a folder a class (easy-format archive), or
    `data_256_standard/` or `data_large_standard/` and `val_256/` or `val_large/`.

    Parameters
    ----------
    root : path
        The folder that holds those.
    split : {"train", "val"}
    """
    return _first_folder(Path(root), "Places365-Standard", PLACES365_FOLDERS[split])


def coco2014(root: str | Path, split: str = "train") -> Photos:
    """COCO 2014, as unpacked from the official archives: `train2014/` and `val2014/`.

    Parameters
    ----------
    root : path
        The folder that holds those.
    split : {"train", "val"}
    """
    return _first_folder(Path(root), "COCO 2014", (COCO2014_FOLDERS[split],))


def open_photos(source: str, split: str) -> Photos:
    """Open a source by the name a profile gives it.

    Parameters
    ----------
    source : str
        "embedded", "places365:DIR", "coco2014:DIR", or the path of a folder.
    split : {"train", "test"}
        "test" means the validation images of the two data sets.
    """
    if source == "embedded":
        return embedded(split)
    kind, _, root = source.partition(":")
    if root and kind in ("places365", "coco2014"):
        opener = places365 if kind == "places365" else coco2014
        return opener(root, "train" if split == "train" else "val")
    return folder(source)


class Samples(Dataset):
    """Endless training samples: number -> (image, mask).

    Each pass over the photographs takes them in a new order.  A square of `span` of the short
    side is cut out, perhaps mirrored, resized to `size`; the mask has a hole ratio in `ratio` and
    touches the border or not.

    Parameters
    ----------
    photos : Photos
    size : int
        Side of the sample in pixels.
    seed : int
    ratio : (lo, hi)
        Interval of the hole ratio.
    border : bool or None
        Whether holes may touch the border; None takes turns.
    span : (smallest, largest)
        Side of the square in short sides of the photograph, at most 1.
    """

    def __init__(
        self,
        photos: Photos,
        size: int,
        seed: int,
        ratio: tuple[float, float] = (0.01, 0.6),
        border: bool | None = None,
        span: tuple[float, float] = (0.125, 0.5),
    ):
        self.photos, self.size, self.seed = photos, size, seed
        self.ratio, self.border, self.span = ratio, border, span

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Return sample `number`: image (3, size, size) in [0, 1], mask (1, size, size)."""
        epoch, place = divmod(number, len(self.photos))
        photo = self.photos[int(_order(self.seed, epoch, len(self.photos))[place])]
        image = crop(photo, self.size, generator(self.seed, number, "crop"), self.span)
        border = number % 2 == 0 if self.border is None else self.border
        mask = random_mask(self.size, self.ratio, border, self.seed, number)
        return to_tensor(image), torch.from_numpy(mask)[None]


def crop(
    photo: np.ndarray, size: int, rng: np.random.Generator, span: tuple[float, float] = (0.125, 0.5)
) -> np.ndarray:
    """Cut a random square, `span` of the short side, mirror it or not, resize it.

    The random numbers are relative, so one generator cuts the same square at every `size`.

    Returns
    -------
    ndarray of shape (size, size, 3), uint8
    """
    height, width = photo.shape[:2]
    share, down, right, mirror = rng.random(4)
    side = max(1, round(min(height, width) * (span[0] + (span[1] - span[0]) * share)))
    top, left = round(down * (height - side)), round(right * (width - side))
    square = photo[top : top + side, left : left + side]
    if mirror < 0.5:
        square = square[:, ::-1]
    method = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(square), (size, size), interpolation=method)


def to_tensor(image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 to (3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float() / 255


def batches(samples: Samples, batch_size: int, first: int, last: int, workers: int = 0) -> Iterator:
    """Yield the batches of steps first..last-1; step s holds samples s*batch_size onwards.

    Raises
    ------
    ValueError
        If a photograph cannot be read, naming it.
    """
    numbers = range(first * batch_size, last * batch_size)
    try:
        yield from DataLoader(samples, batch_size, sampler=numbers, num_workers=workers)
    except ValueError as error:
        # A loader process wraps the message in its traceback; its last line is the message.
        last_line = str(error).strip().splitlines()[-1]
        raise ValueError(last_line.removeprefix("ValueError: ")) from None


def evaluation_set(
    photos: Photos, size: int, per_cell: int, seed: int, span: tuple[float, float] = (0.125, 0.5)
) -> Iterator[tuple]:
    """Yield the evaluation set, cell by cell: (bin, border, images, masks).

    Every bin of `masks.BINS`, with and without border, has `per_cell` samples.  The squares cut
    from the photographs are the same at every size.
    """
    for i, ratio in enumerate(BINS):
        for border in (True, False):
            samples = Samples(photos, size, seed, ratio, border, span)
            first = (2 * i + border) * per_cell
            pairs = [samples[first + k] for k in range(per_cell)]
            images, masks = (torch.stack(column) for column in zip(*pairs, strict=True))
            yield ratio, border, images, masks


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return generator(seed, epoch, "order").permutation(count)


def _first_folder(root: Path, name: str, folders: Sequence[str]) -> Photos:
    for candidate in folders:
        if (root / candidate).is_dir():
            return folder(root / candidate)
    raise ValueError(f"{root} is not {name}: it should hold the folder {' or '.join(folders)}")


def _package_file(package: str, file: str) -> Path:
    # Imported here: they are needed for the embedded photographs only, and the first is slow.
    if package == "matplotlib":
        from matplotlib import get_data_path

        return Path(get_data_path()) / "sample_data" / file
    if package == "skimage":
        import skimage

        return Path(skimage.__file__).parent / "data" / file
    import sklearn

    return Path(sklearn.__file__).parent / "datasets" / "images" / file
