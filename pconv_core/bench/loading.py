"""How fast masks are drawn and photographs are loaded."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import torch
from PIL import Image
from torchvision import transforms

from pconv_core import data
from pconv_core.bench.timing import alternate, repeated
from pconv_core.masks import random_mask, sets

LOADED_SIZE = 256  # pixels that a loaded photograph is resized to
_MIDDLE = data.Cut(1, 0, 0, False)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    yield
    cv2.setNumThreads(threads[0])
    torch.set_num_threads(threads[1])


def masks_per_second(kind: str, size: int, repeats: int) -> dict:
    """Time masks of ratios 0.01 to 0.6, taking turns with and without border, on one core."""
    count = 1000 if kind == "strokes" else 30

    def draw():
        for number in range(count):
            random_mask(size, (0.01, 0.6), number % 2 == 0, 0, number, kind)

    with _one_thread():
        return _per_item(repeated(draw, repeats, torch.device("cpu")), count)


def mask_test_set() -> dict:
    """Time the paper's test set of masks, written to disk, once."""
    entries = sets.paper_test_set(seed=0)
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        sets.write(entries, Path(folder) / "set")
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "pairs": 1, "images_per_second": len(entries) / seconds}


def loading(size: int, pairs: int) -> dict:
    """Time Pillow's and torchvision's usual chain against ours, JPEG files to tensors, one core."""
    resize = transforms.Resize((LOADED_SIZE, LOADED_SIZE))
    chain = transforms.Compose([resize, transforms.ToTensor()])
    with TemporaryDirectory() as folder, _one_thread():
        photos = data.embedded("train")
        paths = [Path(folder) / f"{k}.jpg" for k in range(len(photos))]
        for path, photo in zip(paths, photos, strict=True):
            Image.fromarray(data.crop(photo, size, _MIDDLE)).save(path, quality=90)

        def usual():
            for path in paths:
                with Image.open(path) as picture:
                    chain(picture.convert("RGB"))

        def ours():
            for path in paths:
                photo = data.read_photo(path, LOADED_SIZE)
                data.to_tensor(data.crop(photo, LOADED_SIZE, _MIDDLE))

        row = alternate(usual, ours, pairs, torch.device("cpu"), memory=False)
    return _per_item(row, len(paths), "reference_seconds")


def _per_item(row: dict, count: int, of: str = "seconds") -> dict:
    """Divide the times of a row by the number of items; speed is that of the column `of`."""
    row = {k: v / count if "seconds" in k else v for k, v in row.items()}
    return {**row, "images_per_second": 1 / row[of]}
