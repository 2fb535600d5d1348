"""Which pictures a folder holds, and which mask belongs to which."""

import os
from unicodedata import normalize

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pconv_cli.__main__ import main
from pconv_cli.files import Masks, others, parted, pictures
from pconv_core import photos
from pconv_core.photos import photographs


def touched(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def save_pair(image, mask, seed=0):
    pixels = np.random.default_rng(seed).integers(1, 255, (40, 50, 3), dtype=np.uint8)
    known = np.full((40, 50), 255, np.uint8)
    known[10:20, 15:30] = 0
    for path, array in ((image, pixels), (mask, known)):
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(array).save(path)


def inpaint(checkpoint, *more):
    return main(["inpaint", "--checkpoint", str(checkpoint), *(str(m) for m in more)])


def changed(before, after):
    with Image.open(before) as a, Image.open(after) as b:
        return int((np.array(a) != np.array(b)).any(2).sum())


def test_the_mask_of_a_picture_bears_its_name(tmp_path):
    images, folder = tmp_path / "x", tmp_path / "masks"
    names = ("a.PNG", "a.txt", "a.b.png", "a1.png", "[c].jpg", "d.png", "d.gif", "e_mask.png")
    touched(
        folder, *names, "f-mask001.webp", "g.jpg.png", "h.jpg_mask2.png", "._i.png", "k_masks.png"
    )
    (folder / "j.png").mkdir()
    masks = Masks(folder)
    wanted = {"a.jpg": "a.PNG", "a.b.jpg": "a.b.png", "[c].png": "[c].jpg", "e.png": "e_mask.png"}
    wanted |= {"f.tif": "f-mask001.webp", "g.jpg": "g.jpg.png", "h.jpg": "h.jpg_mask2.png"}
    assert {k: masks.of(images / k, images).name for k in wanted} == wanted
    for none in ("b.jpg", "c.jpg", "i.jpg", "j.jpg", "k.jpg"):
        with pytest.raises(ValueError, match=rf"^no mask for {none} in {folder}$"):
            masks.of(images / none, images)
    with pytest.raises(ValueError, match=r"d\.gif and d\.png; there should be one mask for d"):
        masks.of(images / "d.jpg", images)


def test_one_mask_for_all_and_masks_in_folders(tmp_path):
    touched(tmp_path / "m", "one.png")
    assert Masks(tmp_path / "m/one.png").of(tmp_path / "any.jpg", tmp_path).name == "one.png"
    touched(tmp_path / "m" / "deep", "b.png")
    masks = Masks(tmp_path / "m")
    assert masks.of(tmp_path / "deep/b.jpg", tmp_path) == tmp_path / "m/deep/b.png"
    with pytest.raises(ValueError, match=r"no mask for b.jpg"):
        masks.of(tmp_path / "b.jpg", tmp_path)


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_are_as_they_look(tmp_path, forms):
    image, mask = (normalize(form, "café") for form in forms)
    touched(tmp_path, f"{mask}_mask.png")
    assert (
        Masks(tmp_path).of(tmp_path / "in" / f"{image}.jpg", tmp_path / "in").stem.endswith("mask")
    )


def test_photographs_and_masks_in_one_folder(tmp_path):
    names = "a.png a_mask.png b.jpg b.jpg.png c.png c_mask001.png venetian_mask.png"
    touched(tmp_path, *names.split())
    images, masks = parted(pictures(tmp_path))
    assert [p.name for p in images] == ["a.png", "b.jpg", "c.png", "venetian_mask.png"]
    assert [p.name for p in masks] == ["a_mask.png", "b.jpg.png", "c_mask001.png"]
    found = [Masks(tmp_path).of(image, tmp_path) for image in images[:3]]
    assert found == masks
    with pytest.raises(ValueError, match="no mask for venetian_mask"):
        Masks(tmp_path).of(images[3], tmp_path)


def test_pictures_of_a_folder(tmp_path):
    touched(tmp_path, "b.AVIF", "a.jpg", "notes.txt", "._a.jpg", "10.png", "9.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "lost.png").symlink_to("nowhere.png")
    names = ["9.png", "10.png", "a.jpg", "b.AVIF", "lost.png"]
    assert [p.name for p in pictures(tmp_path)] == names
    assert [p.name for p in pictures(tmp_path, deep=False)] == names
    assert [p.name for p in others(tmp_path)] == ["folder.png", "notes.txt"]
    with pytest.raises(ValueError, match=r"a\.jpg is a file; it should be a folder of pictures"):
        pictures(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="no folder at"):
        pictures(tmp_path / "none")
    with pytest.raises(ValueError, match="holds no picture"):
        pictures(tmp_path / "folder.png")


def test_links_are_followed_but_not_for_ever(tmp_path):
    root, aside = tmp_path / "root", tmp_path / "aside"
    touched(aside, "far.png")
    touched(root, "own.png")
    (root / "linked.png").symlink_to(aside / "far.png")
    (root / "class").symlink_to(aside)
    (aside / "back").symlink_to(root)
    (root / "itself").symlink_to(root)
    assert photographs(root) == ["class/far.png", "linked.png", "own.png"]


def test_a_folder_by_every_way_to_name_masks(checkpoint, tmp_path, capsys):
    folder = tmp_path / "both"
    save_pair(folder / "a.png", folder / "a_mask.png", 1)
    save_pair(folder / "b.jpg", folder / "b_mask001.png", 2)
    touched(folder, "._a.png")
    assert inpaint(checkpoint, "--image", folder, "--mask", folder, "--out", tmp_path / "out") == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]
    assert (
        "skipped 2 that are masks by their names: a_mask.png, b_mask001.png"
        in capsys.readouterr().err
    )
    for name in ("a_mask.png", "b_mask001.png"):
        one = ("--mask", folder / name)
        assert inpaint(checkpoint, "--image", folder, *one, "--out", tmp_path / name) == 0
        for result, source in (("a.png", "a.png"), ("b.png", "b.jpg")):
            assert changed(folder / source, tmp_path / name / result) == 150
    single = ("--image", folder / "a.png", "--mask", folder, "--out", tmp_path / "single.png")
    assert inpaint(checkpoint, *single) == 0
    assert changed(folder / "a.png", tmp_path / "single.png") == 150


def test_evaluate_pairs_as_people_count_and_takes_one_mask(checkpoint, tmp_path):
    for k in (1, 2, 10):
        save_pair(tmp_path / "in" / f"{k}.png", tmp_path / "m" / f"m{k:03d}.png", k)
    table = tmp_path / "out.csv"
    call = ["evaluate", "--checkpoint", str(checkpoint), "--images", str(tmp_path / "in")]
    call += ["--out", str(table), "--overwrite"]
    assert main([*call, "--masks", str(tmp_path / "m"), "--pair", "order"]) == 0
    found = pd.read_csv(table, dtype=str)[["picture", "mask"]].to_numpy().tolist()
    assert found == [["1.png", "m001.png"], ["2.png", "m002.png"], ["10.png", "m010.png"]]
    assert main([*call, "--masks", str(tmp_path / "m" / "m002.png")]) == 0
    assert set(pd.read_csv(table)["mask"]) == {"m002.png"}


@pytest.mark.parametrize(
    "error", [OverflowError("too big"), MemoryError(), RuntimeError("two\nlines"), cv2.error("no")]
)
def test_one_that_fails_in_any_way_is_named(checkpoint, tmp_path, capsys, monkeypatch, error):
    for k in range(3):
        save_pair(tmp_path / "in" / f"{k}.png", tmp_path / "m" / f"{k}.png", k)
    bad, read = tmp_path / "in" / "1.png", photos.read

    def fails(path):
        if path == bad:
            raise error
        return read(path)

    monkeypatch.setattr(photos, "read", fails)
    both, out = ["--masks", str(tmp_path / "m"), "--out", str(tmp_path / "t.csv")], tmp_path / "out"
    call = ("--image", tmp_path / "in", "--mask", tmp_path / "m", "--out", out)
    told = f"left out: {bad}: {' '.join(str(error).split()) or 'MemoryError'}"
    assert inpaint(checkpoint, *call) == 2
    assert told in capsys.readouterr().err.splitlines()
    assert sorted(p.name for p in out.iterdir()) == ["0.png", "2.png"]
    assert main(["evaluate", "--images", str(tmp_path / "in"), *both]) == 2
    assert told in capsys.readouterr().err.splitlines()
    assert pd.read_csv(tmp_path / "t.csv")["picture"].tolist() == ["0.png", "2.png"]
    monkeypatch.setattr(photos, "read", lambda _: {}["a fault of ours"])
    with pytest.raises(KeyError):
        inpaint(checkpoint, *call, "--overwrite")


def test_names_that_are_not_utf_8(checkpoint, tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    try:
        save_pair(tmp_path / "in" / name, tmp_path / "m" / name)
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    folders = ["--images", tmp_path / "in", "--masks", tmp_path / "m"]
    out = tmp_path / "out.csv"
    call = ["evaluate", "--checkpoint", checkpoint, *folders, "--out", out]
    assert main([str(a) for a in call]) == 0
    assert b"caf\xe9.png" in out.read_bytes()
    call = ("--image", tmp_path / "in", "--mask", tmp_path / "m", "--out", tmp_path / "out")
    assert inpaint(checkpoint, *call) == 0
    assert [p.name for p in (tmp_path / "out").iterdir()] == [name]


def test_overwriting_a_link_keeps_it(checkpoint, tmp_path):
    save_pair(tmp_path / "in.png", tmp_path / "m.png")
    (tmp_path / "real").mkdir()
    (tmp_path / "out.png").symlink_to("real/out.png")
    call = ("--image", tmp_path / "in.png", "--mask", tmp_path / "m.png")
    assert inpaint(checkpoint, *call, "--out", tmp_path / "out.png") == 2
    assert inpaint(checkpoint, *call, "--out", tmp_path / "out.png", "--overwrite") == 0
    assert (tmp_path / "out.png").is_symlink()
    assert changed(tmp_path / "in.png", tmp_path / "real/out.png") == 150
    assert sorted(p.name for p in (tmp_path / "real").iterdir()) == ["out.png"]


def test_names_as_long_as_they_can_be(checkpoint, tmp_path, capsys):
    save_pair(tmp_path / "in.png", tmp_path / "m.png")
    call = ("--image", tmp_path / "in.png", "--mask", tmp_path / "m.png", "--out")
    assert inpaint(checkpoint, *call, tmp_path / f"{'n' * 251}.png") == 0
    for folder in (tmp_path, tmp_path / "new"):
        assert inpaint("none.pt", *call, folder / f"{'n' * 252}.png") == 2
        assert "name too long" in capsys.readouterr().err.lower()
    assert not (tmp_path / "new").exists()
