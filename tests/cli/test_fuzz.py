"""Malformed and odd files through `inpaint` and `evaluate`."""

import io
import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from nets import save_net
from PIL import Image

from pconv_cli.__main__ import main
from pconv_cli.files import Masks
from pconv_cli.pictures import implied_hole
from pconv_core import checkpoints
from pconv_core import photos as pictures
from pconv_core.models import build_model

# How many for each command; `make stress` sets more.
FUZZ = int(os.environ.get("PCONV_FUZZ", "150"))
SEED = int(os.environ.get("PCONV_FUZZ_SEED", "0"))
ENDINGS = [".png", ".jpg", ".tif", ".gif", ".webp", ".avif"]
SETTINGS = {"model": "pconv", "size": 32, "base_channels": 2}
# Of what Pillow makes of malformed tags.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def sound(rng, mode, shape):
    """A picture of a mode with a black and, if it can, a transparent part."""
    pixels = rng.integers(1, 256, (*shape, 3), dtype=np.uint8)
    top, left = (rng.integers(side) for side in shape)
    pixels[top : top + 20, left : left + 20] = 0
    if mode == "I;16":
        deep = rng.integers(1, 2**16, shape, dtype=np.uint16)
        return Image.fromarray(np.where(pixels.max(2) == 0, 0, deep).astype(np.uint16))
    picture = Image.fromarray(pixels)
    if mode in ("RGBA", "LA"):
        picture = picture.convert(mode)
        alpha = np.full(shape, 255, np.uint8)
        alpha[top : top + 9, left : left + 9] = rng.integers(0, 255)
        picture.putalpha(Image.fromarray(alpha))
        return picture
    if mode == "drawn":
        return Image.fromarray(np.where(pixels.max(2) == 0, 0, 255).astype(np.uint8))
    return picture.convert(mode)


def saved(rng, kind):
    """The bytes of a picture or mask of any kind that people have."""
    file, shape = io.BytesIO(), tuple(rng.integers(1, 60, 2).tolist())
    if kind == "mask" and rng.random() < 0.7:
        shape = (40, 50)  # that of the picture it is for
    modes = ["L", "RGB", "RGBA", "P", "1", "CMYK", "I;16", "LA", "deep"]
    mode = str(rng.choice([*modes, *["drawn"] * 4] if kind == "mask" else modes))
    if mode == "deep":  # 16-bit colour, which Pillow writes not
        deep = rng.integers(0, 2**16, (*shape, int(rng.integers(3, 5))), dtype=np.uint16)
        return cv2.imencode(str(rng.choice([".png", ".tif"])), deep)[1].tobytes()
    can = {"CMYK": ["JPEG", "TIFF"], "I;16": ["PNG", "TIFF"], "LA": ["PNG"]}
    formats = can.get(mode, ["PNG", "TIFF", "GIF", "WEBP", "AVIF"])
    format = str(rng.choice(formats))
    more = {}
    if format != "GIF" and rng.random() < 0.3:
        more["exif"] = Image.Exif()
        more["exif"][0x0112] = int(rng.integers(0, 10))
    elif format in ("GIF", "WEBP", "AVIF", "TIFF") and rng.random() < 0.3:
        # Not with EXIF: Pillow's writer of AVIF crashes at both.
        more = {"save_all": True, "append_images": [sound(rng, mode, shape)]}
    sound(rng, mode, shape).save(file, format=format, **more)
    return file.getvalue()


def damaged(rng, kind):
    """A picture, mask or checkpoint that was cut, overwritten or mixed up at random."""
    if kind == "checkpoint":
        file = io.BytesIO()
        state = build_model("pconv", 32, 2, seed=0).state_dict()
        torch.save({"format": checkpoints.FORMAT, "settings": SETTINGS, "model": state}, file)
        data = bytearray(file.getvalue())
    else:
        data = bytearray(saved(rng, kind))
    for _ in range(int(rng.integers(0, 4))):
        what, at = rng.integers(4), int(rng.integers(len(data) or 1))
        if what == 0:
            del data[at:]
        elif what == 1 and data:
            data[at] = rng.integers(256)
        elif what == 2:
            data[at:at] = rng.bytes(int(rng.integers(1, 30)))
        else:
            data[at : at + 8] = rng.bytes(8)
    return bytes(data)


@pytest.fixture
def good(tmp_path):
    """A picture, a mask and a checkpoint that are as they should be."""
    files = {"picture": "picture.png", "mask": "mask.png", "checkpoint": "net.pt"}
    files = {kind: tmp_path / "good" / kind / name for kind, name in files.items()}
    for path in files.values():
        path.parent.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(1, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(files["picture"])
    known = np.full((40, 50), 255, np.uint8)
    known[10:20, 15:30] = 0
    Image.fromarray(known).save(files["mask"])
    save_net(files["checkpoint"])
    return files


def cases(good, folder, seed, count):
    """Yield the files of a call, one of them damaged, and which that is."""
    rng = np.random.default_rng(seed)
    bad_folder = folder / "bad"
    bad_folder.mkdir()
    for _ in range(count):
        kind = str(rng.choice(["picture", "mask", "checkpoint"], p=[0.5, 0.35, 0.15]))
        bad = bad_folder / f"bad{rng.choice(ENDINGS)}"
        bad.write_bytes(damaged(rng, kind))
        yield {**good, kind: bad}, bad, kind
        bad.unlink()


def call(out, capfd, *arguments):
    """Run a command; return its exit code and the lines on standard error."""
    out.unlink(missing_ok=True)
    code = main([str(a) for a in arguments])
    error = capfd.readouterr().err.replace("\r", "\n").strip().splitlines()
    assert code in (0, 2)
    if code == 2:
        assert not out.exists()
        assert error[-1].startswith("error: ")
    return code, error


def check_repaired(source, result, hole):
    """A result of the right size, with the known pixels as they were."""
    before, after = pictures.read(source), pictures.read(result)
    assert (after.size, after.full) == (before.size, before.full)
    assert np.array_equal(after.colours[~hole], before.colours[~hole])
    if before.alpha is not None:
        assert np.array_equal(after.alpha[~hole], before.alpha[~hole])


def test_inpaint(good, tmp_path, capfd):
    """A result of the right size with the known pixels as they were, or one line."""
    out, refused, count = tmp_path / "out.png", 0, FUZZ - FUZZ // 2
    for number, (files, bad, kind) in enumerate(cases(good, tmp_path, SEED, count)):
        arguments = ["inpaint", "--checkpoint", files["checkpoint"], "--image", files["picture"]]
        colour = (0, 0, 0) if kind == "picture" and number % 2 else None
        if kind != "picture":
            arguments += ["--mask", files["mask"]]
        elif colour:
            arguments += ["--hole-colour", "black"]
        code, error = call(out, capfd, *arguments, "--out", out)
        if code == 2:
            refused += 1
            assert bad.name in error[-1]
            continue
        if kind == "picture":
            hole, _ = implied_hole(pictures.read(bad), colour)
        else:
            hole = pictures.read_hole(files["mask"], (40, 50))
        check_repaired(files["picture"], out, hole)
    assert count / 10 < refused < count


def test_inpaint_folders(good, tmp_path, capfd):
    """Each picture of a folder is repaired, or named in one line; or the folder is refused."""
    rng, left, written, count = np.random.default_rng(SEED + 2), FUZZ // 2, 0, FUZZ // 2
    while left > 0:
        images, masks, out = (tmp_path / f"{left}{name}" for name in ("in", "masks", "out"))
        colour = (0, 0, 0) if rng.random() < 0.5 else None
        chosen = ["--hole-colour", "black"] if colour else []
        if with_masks := bool(rng.random() < 0.4):
            chosen = ["--mask", masks]
        images.mkdir()
        masks.mkdir()
        names = [f"{rng.integers(40)}{rng.choice(ENDINGS)}" for _ in range(rng.integers(1, 9))]
        for name in [*names, "notes.txt"]:
            (images / name).write_bytes(damaged(rng, "picture"))
            if with_masks and rng.random() < 0.9:
                mask = saved(rng, "mask") if rng.random() < 0.7 else damaged(rng, "mask")
                (masks / f"{Path(name).stem}{rng.choice(ENDINGS)}").write_bytes(mask)
        names = sorted(set(names))
        left -= len(names) + len(list(masks.iterdir()))
        call = ["inpaint", "--checkpoint", good["checkpoint"], "--image", images, *chosen]
        code = main([str(a) for a in [*call, "--out", out]])
        error = capfd.readouterr().err.replace("\r", "\n").strip().splitlines()
        results = sorted(out.iterdir()) if out.exists() else []
        if len({Path(name).stem for name in names}) < len(names):
            assert (code, results) == (2, [])
            assert "would both be written" in error[-1]
            continue
        named = [line for line in error if line.startswith("left out: ")]
        assert len(results) + len(named) == len(names)
        assert code == (2 if named else 0)
        for result in results:
            (source,) = images.glob(f"{result.stem}.*")
            picture = pictures.read(source)
            if with_masks:
                hole = pictures.read_hole(Masks(masks).of(source, images), picture.size)
            else:
                hole, _ = implied_hole(picture, colour)
            check_repaired(source, result, hole)
        written += len(results)
    assert count / 40 < written < count


def test_evaluate(good, tmp_path, capfd):
    """A table of numbers, or one line."""
    out, refused = tmp_path / "out.csv", 0
    how = ("--pair", "order", "--enlarge", "--overwrite", "--size", 32)
    for files, bad, _ in cases(good, tmp_path, SEED + 1, FUZZ):
        folders = ["--images", files["picture"].parent, "--masks", files["mask"].parent]
        arguments = ["evaluate", "--checkpoint", files["checkpoint"], *folders, *how]
        code, error = call(out, capfd, *arguments, "--out", out)
        if code == 2:
            refused += 1
            assert bad.name in " ".join(error[-2:])  # the last one may count what is left out
        else:
            table = pd.read_csv(out)
            assert len(table) == 1
            assert np.isfinite(table[["ratio", "psnr", "ssim", "l1", "psnr_out"]]).all(axis=None)
    assert FUZZ / 10 < refused < FUZZ
