"""Where photographs come from, and the samples made of them: photograph, crop, mask.

A sample is a pure function of (seed, number): the order of loading, the number of worker
processes or an interruption cannot change what a network sees.
"""

import os
import signal
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pconv_core.masks import BINS, KINDS, LAMA, MOST_HOLE, lama_mask, random_mask
from pconv_core.photos import ENDINGS, photographs, read_hole, read_photo, resized_hole
from pconv_core.seeding import generator

# Colour photographs that installed packages carry.
_EMBEDDED = {
    "train": (
        "skimage/data/coffee.png",
        "skimage/data/rocket.jpg",
        "skimage/data/motorcycle_left.png",
        "skimage/data/motorcycle_right.png",
        "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
        "sklearn/datasets/images/china.jpg",
        "sklearn/datasets/images/flower.jpg",
    ),
    # Never trained on.
    "test": ("skimage/data/astronaut.png", "skimage/data/chelsea.png"),
}
# Data sets with their folders in the official archives, of training and of validation.
OFFICIAL = {
    "places365": (
        ("train", "data_256_standard", "data_large_standard", "data_256", "data_large"),
        ("val", "val_256", "val_large"),
    ),
    "coco2014": (("train2014",), ("val2014",)),
}
MOST_UNREADABLE = 0.01  # of the photographs; more of them mean that something else is wrong
LAMA_CELLS = 3  # of the evaluation set, for a kind of mask that knows no bins


class Cut(NamedTuple):
    """A square to be cut from a photograph of any size."""

    share: float  # side in short sides of the photograph
    down: float  # place between the upper end (0) and the lower end (1)
    right: float  # ... the left end and the right end
    mirrored: bool


class Photos(Sequence):
    """Photographs on disk, decoded when asked for.

    Parameters
    ----------
    paths : sequence of Path or str
        Within `root`; at least one, or a ValueError is raised.
    name : str
        What messages call this source.
    keep : bool
        Whether decoded photographs stay in memory (for the few embedded ones).
    names : sequence of str, optional
        What tables call the photographs; without them, by their paths.
    """

    def __init__(
        self,
        paths: Sequence,
        name: str,
        keep: bool = False,
        root: Path = Path(),
        names: Sequence[str] | None = None,
    ):
        if not paths:
            raise ValueError(f"{name} holds no picture; files should end in {ENDINGS}")
        self.paths, self.name, self.root = list(paths), name, root
        self._read = lru_cache(maxsize=None)(read_photo) if keep else read_photo
        self._shrinks, self._names = not keep, names

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return photograph `index` as (H, W, 3) uint8 RGB."""
        return self.read(index)

    def read(self, index: int, least: float | None = None) -> np.ndarray:
        """As `self[index]`, perhaps smaller, but with `least` pixels on the short side."""
        return self._read(self.path(index), least if self._shrinks else None)

    def subset(self, kept: Sequence[int], name: str) -> "Photos":
        """Some of the photographs, in their order; ValueError if none."""
        names = self._names and [self._names[k] for k in kept]
        return Photos([self.paths[k] for k in kept], name, not self._shrinks, self.root, names)

    def path(self, index: int) -> Path:
        """Path of photograph `index`."""
        return self.root / self.paths[index]

    def label(self, index: int) -> str:
        """Name of photograph `index` within its source, the same on every machine."""
        return self._names[index] if self._names else Path(self.paths[index]).as_posix()


def embedded(split: str) -> Photos:
    """Photographs that installed packages carry: seven to "train", two others to "test"."""
    entries = _EMBEDDED[split]
    # The packages, slow perhaps, are not imported.
    folders = [Path(find_spec(entry.partition("/")[0]).origin).parents[1] for entry in entries]
    paths = [folder / entry for folder, entry in zip(folders, entries, strict=True)]
    return Photos(paths, f"embedded {split} photographs", keep=True, names=entries)


def folder(root: str | Path, what: str = "photographs") -> Photos:
    """All pictures below a folder, in the order of their paths; ValueError without any."""
    root = Path(root)
    if not root.is_dir():
        found = f"{root} is a file" if root.is_file() else f"no folder at {root}"
        raise ValueError(f"{found}; it should be a folder of {what}")
    return Photos(photographs(root), f"folder {root}", root=root)


def open_photos(source: str, split: str) -> Photos:
    """Open "embedded", "places365:DIR", "coco2014:DIR", or a folder by its path.

    The split is "train", or "test", which means the validation images of the two data sets.
    """
    if source == "embedded":
        return embedded(split)
    kind, _, root = source.partition(":")
    if not root or kind not in OFFICIAL:
        return folder(source)
    names = OFFICIAL[kind][split != "train"]
    for name in names:
        if (Path(root) / name).is_dir():
            return folder(Path(root) / name)
    raise ValueError(f"{root} is not {kind}: it should hold the folder {' or '.join(names)}")


class MaskFolder:
    """Masks on disk from which training draws: any of them, turned and mirrored."""

    def __init__(self, root: str | Path, hole: str = "black"):
        self.masks, self.hole = folder(root, "masks"), hole

    def draw(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Draw a mask of shape (size, size), float32: 1 = known, 0 = hole."""
        index, turns, mirrored = rng.integers(0, [len(self.masks), 4, 2])
        hole = read_hole(self.masks.path(index), None, self.hole, may_be_empty=True)
        hole = np.rot90(hole, turns)[:, :: 1 - 2 * int(mirrored)]
        return (~resized_hole(np.ascontiguousarray(hole), (size, size))).astype(np.float32)


@dataclass(eq=False)
class Samples(Dataset):
    """Endless training samples: number -> (image, mask).

    Each pass over the photographs takes them in a new order.  A square is cut out, perhaps
    mirrored, and resized.

    Of a photograph that cannot be read the next one takes the place, if there is a file to list
    it in; more than 1 % of them are an error, without the file the first one is.
    """

    definition = 1  # raised when photographs are cut, or masks drawn, otherwise

    photos: Photos
    size: int  # side of the sample in pixels
    seed: int
    ratio: tuple[float, float] = (0.01, 0.6)  # interval of the hole ratio, (lo, hi]
    border: bool | None = None  # whether holes may touch the border; None takes turns
    span: tuple[float, float] = (0.125, 0.5)  # of the square's side, in short sides, at most 1
    masks: MaskFolder | None = None  # to take them from; ratio, border and kind mean nothing then
    kind: str = KINDS[0]  # or of `masks.LAMA`, to which ratio and border mean nothing
    unreadable: Path | None = None  # file of what cannot be read

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Return sample `number`: image (3, size, size) in [0, 1], mask (1, size, size)."""
        index, cut = self.origin(number)
        image = crop(self._read(index, self.size / cut.share), self.size, cut)
        if self.masks is not None:
            mask = self.masks.draw(self.size, generator(self.seed, number, "mask"))
        elif self.kind in LAMA:
            mask = lama_mask(self.size, self.kind, self.seed, number)
        else:
            border = number % 2 == 0 if self.border is None else self.border
            mask = random_mask(self.size, self.ratio, border, self.seed, number, self.kind)
        return to_tensor(image), torch.from_numpy(mask)[None]

    def origin(self, number: int) -> tuple[int, Cut]:
        """Return which photograph sample `number` comes from, and the square cut from it."""
        epoch, place = divmod(number, len(self.photos))
        index = int(_order(self.seed, epoch, len(self.photos))[place])
        return index, random_cut(generator(self.seed, number, "crop"), self.span)

    def _read(self, index: int, least: float) -> np.ndarray:
        """Read a photograph, or the next one that can be read."""
        while True:
            try:
                return self.photos.read(index, least)
            except ValueError as error:
                if self.unreadable is None:
                    raise
                self._list_unreadable(f"{self.photos.path(index)}\t{error}\n")
                index = (index + 1) % len(self.photos)

    def _list_unreadable(self, line: str) -> None:
        self.unreadable.parent.mkdir(parents=True, exist_ok=True)
        with open(self.unreadable, "ab+") as file:
            file.seek(0)
            listed, line = set(file), os.fsencode(line)
            if line not in listed:
                file.write(line)
        if len(listed | {line}) > MOST_UNREADABLE * len(self.photos):
            raise ValueError(
                f"more than {MOST_UNREADABLE:.0%} of the photographs of {self.photos.name} cannot "
                f"be read; they are listed in {self.unreadable}"
            ) from None


def random_cut(rng: np.random.Generator, span: tuple[float, float] = (0.125, 0.5)) -> Cut:
    """Draw a square of `span` short sides, mirrored or not; the same at every resolution."""
    share, down, right, mirror = rng.random(4).tolist()
    return Cut(span[0] + (span[1] - span[0]) * share, down, right, mirror < 0.5)


def crop(photo: np.ndarray, size: int, cut: Cut) -> np.ndarray:
    """Cut a square from a photograph (H, W, 3) and resize it to (size, size, 3), uint8."""
    height, width = photo.shape[:2]
    side = max(1, round(min(height, width) * cut.share))
    top, left = round(cut.down * (height - side)), round(cut.right * (width - side))
    square = photo[top : top + side, left : left + side]
    method = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    if side != size:
        square = cv2.resize(square, (size, size), interpolation=method)
    return cv2.flip(square, 1) if cut.mirrored else square


def to_tensor(image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 to (3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float().div_(255)


def batches(
    samples: Samples,
    batch_size: int,
    first: int,
    last: int,
    workers: int = 0,
    part: tuple[int, int] = (0, 1),
) -> Iterator:
    """Yield the samples first..last-1 in batches.

    Of several processes, `part` = (rank, count), each takes `batch_size` samples of a step.  A
    photograph that cannot be read is a ValueError of one line.
    """
    rank, count = part
    starts = range(first + rank * batch_size, last, count * batch_size)
    numbers = [start + k for start in starts for k in range(batch_size)]
    # It draws a number that nothing here needs: not from torch's own generator.
    apart = {"worker_init_fn": _begin_loader, "generator": torch.Generator()}
    loader = DataLoader(samples, batch_size, sampler=numbers, num_workers=workers, **apart)
    with _held_back():
        loaded = iter(loader)
    try:
        yield from loaded
    except BaseException as error:
        # The processes end with the last reference to `loaded`.  A traceback would hold one until
        # the interpreter ends, which would then wait for ever: they never get its SIGTERM.
        traceback.clear_frames(error.__traceback__)
        if not isinstance(error, ValueError):
            raise
        # A loader process wraps the message in its traceback; its last line is the message.
        last_line = str(error).strip().splitlines()[-1]
        raise ValueError(last_line.removeprefix("ValueError: ")) from None
    finally:
        del loaded


def evaluation_set(*arguments, **named) -> Iterator[tuple]:
    """Yield the evaluation set of `evaluation_cells`: (bin, border, images, masks) of each cell."""
    for ratio, border, samples, numbers in evaluation_cells(*arguments, **named):
        pairs = [samples[number] for number in numbers]
        images, masks = (torch.stack(column) for column in zip(*pairs, strict=True))
        yield ratio, border, images, masks


def evaluation_cells(
    photos: Photos,
    size: int,
    per_cell: int,
    seed: int,
    span: tuple[float, float] = (0.125, 0.5),
    kind: str = KINDS[0],
) -> Iterator[tuple]:
    """Yield the cells of an evaluation set: (bin, border, Samples, their numbers).

    Every bin of `masks.BINS`, with and without border, has `per_cell` samples; for a kind of
    `masks.LAMA`, which knows no bins, there are `LAMA_CELLS` cells of the interval 0 to 0.5.  The
    squares cut from the photographs are the same at every size and for every kind of mask.
    """
    cells = [(2 * i + border, r, border) for i, r in enumerate(BINS) for border in (True, False)]
    if kind in LAMA:
        cells = [(k, (0, MOST_HOLE), True) for k in range(LAMA_CELLS)]
    for cell, ratio, border in cells:
        numbers = range(cell * per_cell, (cell + 1) * per_cell)
        samples = Samples(photos, size, seed, ratio, border, span, kind=kind)
        yield ratio, border, samples, numbers


@contextmanager
def _held_back() -> Iterator[None]:
    """Hold back SIGTERM and SIGINT; processes begun meanwhile never get them.

    They come to the whole group of processes; the training needs its loaders to end the step.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_loader(_: int) -> None:
    """Begin a loader process, of which there are several, beside the training's threads."""
    # Of OpenCV none: at 1 a forked process would wait for ever for those that its parent had.
    cv2.setNumThreads(0)


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return generator(seed, epoch, "order").permutation(count)
