import multiprocessing

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from pconv_core import data
from pconv_core.data import Samples, batches, embedded, folder, open_photos
from pconv_core.masks import BINS, margin_pixels
from pconv_core.photos import read_photo
from pconv_core.seeding import generator


def write(path, colour=(10, 20, 30), size=(40, 30), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)
    return path


def test_embedded_photographs():
    train, test = embedded("train"), embedded("test")
    assert not set(train.paths) & set(test.paths)
    assert {p.stem for p in test.paths} == {"astronaut", "chelsea"}
    for photos in (train, test):
        for photo in photos:
            assert (photo.dtype, photo.shape[2:]) == (np.uint8, (3,))
            assert min(photo.shape[:2]) >= 300


def paths(photos):
    return [photos.path(k) for k in range(len(photos))]


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_picture_in_training_is_one_line(tmp_path, workers):
    (tmp_path / "bad.jpg").write_bytes(b"hello")
    loader = batches(Samples(folder(tmp_path), 32, seed=0), 2, 0, 2, workers)
    with pytest.raises(ValueError, match=r"\Acannot read .*bad\.jpg as a picture.*\Z"):
        list(loader)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("kind", "train", "val"),
    [
        ("places365", "train/airfield/1.jpg", "val/airfield/2.jpg"),
        ("places365", "data_256_standard/a/airfield/1.jpg", "val_256/2.jpg"),
        ("places365", "data_large_standard/a/airfield/1.jpg", "val_large/2.jpg"),
        ("coco2014", "train2014/1.jpg", "val2014/2.jpg"),
    ],
)
def test_official_layouts(tmp_path, kind, train, val):
    with pytest.raises(ValueError, match=rf"not {kind}: it should hold the folder train"):
        open_photos(f"{kind}:{tmp_path}", "train")
    for name, split in ((train, "train"), (val, "test")):
        write(tmp_path / name)
        assert paths(open_photos(f"{kind}:{tmp_path}", split)) == [tmp_path / name]


def test_missing_photographs_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"no folder at .*nowhere"):
        open_photos(str(tmp_path / "nowhere"), "train")
    with pytest.raises(ValueError, match=r"holds no picture; files should end in .*\.jpg"):
        folder(tmp_path)


def test_sample_is_a_pure_function_of_seed_and_number():
    photos = embedded("train")
    first = [Samples(photos, 32, seed=4)[k] for k in (0, 7, 123456789)]
    again = [Samples(photos, 32, seed=4)[k] for k in (123456789, 7, 0)][::-1]
    for (image, mask), (image2, mask2) in zip(first, again, strict=True):
        assert torch.equal(image, image2)
        assert torch.equal(mask, mask2)
    assert not torch.equal(first[0][0], Samples(photos, 32, seed=5)[0][0])


def test_one_pass_takes_each_photograph_once(tmp_path):
    for k in range(6):
        write(tmp_path / f"{k}.png", (40 * k, 0, 0))
    samples = Samples(folder(tmp_path), 16, seed=2)
    for epoch in range(3):
        reds = {round(samples[6 * epoch + k][0][0].mean().item() * 255) for k in range(6)}
        assert reds == {0, 40, 80, 120, 160, 200}


def test_crop_is_the_same_square_at_every_size():
    photo = np.zeros((300, 400, 3), np.uint8)
    photo[..., 0] = np.linspace(0, 255, 400)[None]
    photo[..., 1] = np.linspace(0, 255, 300)[:, None]
    for number in range(10):
        crops = [
            data.crop(photo, s, data.random_cut(generator(0, number, "crop"))) for s in (32, 64, 96)
        ]
        means = np.array([c.reshape(-1, 3).mean(0) for c in crops])
        assert np.ptp(means, axis=0).max() < 1.5


def test_evaluation_set_has_every_cell():
    cells = list(data.evaluation_set(embedded("test"), 40, per_cell=2, seed=9))
    assert [(r, b) for r, b, *_ in cells] == [(r, b) for r in BINS for b in (True, False)]
    margin = margin_pixels((40, 40))
    for (lo, hi), border, images, masks in cells:
        assert images.shape == (2, 3, 40, 40)
        for mask in masks:
            assert lo < 1 - mask.double().mean() <= hi
            if not border:
                assert mask[:, :margin].min() == 1
                assert mask[:, :, -margin:].min() == 1


@pytest.mark.parametrize("size", [(640, 480), (500, 777), (2000, 1501)])
def test_a_large_jpeg_is_read_smaller_but_never_too_small(tmp_path, size):
    photo = cv2.resize(embedded("train")[0], size, interpolation=cv2.INTER_AREA)
    Image.fromarray(photo).save(tmp_path / "large.jpg", quality=95)
    whole = read_photo(tmp_path / "large.jpg").astype(float)
    for least in (60, 200.5, 400, 5000):
        small = read_photo(tmp_path / "large.jpg", least)
        scale = round(whole.shape[0] / small.shape[0])
        assert scale in (1, 2, 4, 8)
        assert min(small.shape[:2]) >= min(least, min(whole.shape[:2]))
        assert scale == 8 or min(small.shape[:2]) / 2 < least
        # A last row or column may stand for less than `scale` of the whole photograph's.
        missing = [(0, scale * a - b) for a, b in zip(small.shape, whole.shape, strict=True)]
        padded = np.pad(whole, [*missing[:2], (0, 0)], mode="edge")
        shrunk = cv2.resize(padded, small.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(shrunk - small).mean() < 3


def test_an_unreadable_photograph_is_listed_and_replaced_by_the_next(tmp_path):
    for k in range(200):
        path = write(tmp_path / f"photos/{k:03d}.png", (k, k, k))
        if k in (7, 8):
            path.write_text("no picture")
    listed = tmp_path / "logs" / "unreadable.txt"
    samples = Samples(folder(tmp_path / "photos"), 16, seed=0, unreadable=listed)
    values = [round(samples[k][0].mean().item() * 255) for k in range(200)]
    assert sorted(values) == sorted([*range(7), *range(9, 200), 9, 9])
    assert values == [round(samples[k][0].mean().item() * 255) for k in range(200)]
    lines = listed.read_text().splitlines()
    assert sorted(line.partition("\t")[0][-7:] for line in lines) == ["007.png", "008.png"]
    assert all("cannot read" in line for line in lines)
    (tmp_path / "photos/009.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"more than 1% of the photographs .* listed in"):
        list(batches(samples, 10, 0, 200))


def test_masks_from_a_folder(tmp_path):
    known = np.full((40, 60), 255, np.uint8)
    known[5:20, 10:30] = 0
    Image.fromarray(known).save(tmp_path / "a.png")
    samples = Samples(embedded("train"), 32, seed=0, masks=data.MaskFolder(tmp_path))
    masks = [samples[k][1] for k in range(24)]
    assert all(set(m.unique().tolist()) == {0, 1} for m in masks)
    assert all(abs((1 - m).mean() - 300 / 2400) < 0.03 for m in masks)
    assert len({m.numpy().tobytes() for m in masks}) == 8  # turned by quarters, mirrored
    assert torch.equal(samples[3][1], masks[3])
