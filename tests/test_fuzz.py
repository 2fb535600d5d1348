"""Malformed and odd files through `inpaint` and `evaluate`."""

import io
import os

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pconv_core.__main__ import main
from pconv_core.files import checkpoints, pictures
from pconv_core.models import build_model

# How many for each command; `make stress` sets more.
FUZZ = int(os.environ.get("PCONV_FUZZ", "150"))
SEED = int(os.environ.get("PCONV_FUZZ_SEED", "0"))
SETTINGS = {"model": "pconv", "size": 32, "base_channels": 2}
# Of what Pillow makes of malformed tags.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def damaged(rng, kind):
    """A picture, mask or checkpoint that was cut, overwritten or mixed up at random."""
    file = io.BytesIO()
    if kind == "checkpoint":
        state = build_model("pconv", 32, 2, seed=0).state_dict()
        torch.save({"format": checkpoints.FORMAT, "settings": SETTINGS, "model": state}, file)
    else:
        side = int(rng.integers(1, 60))
        mode = rng.choice(["L", "RGB", "RGBA", "P", "1", "CMYK", "I;16", "LA"])
        pixels = rng.integers(0, 256, (side, int(rng.integers(1, 60)), 3), dtype=np.uint8)
        picture = Image.fromarray(pixels)
        picture = picture.convert("L").convert("I;16") if mode == "I;16" else picture.convert(mode)
        can = {"CMYK": ["JPEG", "TIFF"], "I;16": ["PNG", "TIFF"], "LA": ["PNG"]}
        formats = can.get(str(mode), ["PNG", "TIFF", "GIF"])
        picture.save(file, format=str(rng.choice(formats)))
    data = bytearray(file.getvalue())
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
    net = build_model("pconv", 32, 2, seed=0)
    checkpoints.save_weights(files["checkpoint"], net, SETTINGS)
    return files


def cases(good, folder, seed):
    """Yield the files of a call, one of them damaged, and which that is."""
    rng = np.random.default_rng(seed)
    bad_folder = folder / "bad"
    bad_folder.mkdir()
    for _ in range(FUZZ):
        kind = str(rng.choice(["picture", "mask", "checkpoint"], p=[0.5, 0.35, 0.15]))
        bad = bad_folder / f"bad{rng.choice(['.png', '.jpg', '.tif', '.gif'])}"
        bad.write_bytes(damaged(rng, kind))
        yield {**good, kind: bad}, bad, kind
        bad.unlink()


def call(out, capfd, *arguments):
    """Run a command; return its exit code and the last line on standard error."""
    out.unlink(missing_ok=True)
    code = main([str(a) for a in arguments])
    error = capfd.readouterr().err.replace("\r", "\n").strip().splitlines()
    assert code in (0, 2)
    if code == 2:
        assert not out.exists()
        assert error[-1].startswith("error: ")
    return code, error[-1] if error else ""


def test_inpaint(good, tmp_path, capfd):
    """A result of the right size with the known pixels as they were, or one line."""
    out, refused = tmp_path / "out.png", 0
    for files, bad, kind in cases(good, tmp_path, SEED):
        arguments = ["inpaint", "--checkpoint", files["checkpoint"], "--image", files["picture"]]
        arguments += [] if kind == "picture" else ["--mask", files["mask"]]
        code, error = call(out, capfd, *arguments, "--out", out)
        if code == 2:
            refused += 1
            assert bad.name in error
            continue
        before, after = pictures.read(files["picture"]), pictures.read(out)
        assert after.pixels.shape == before.pixels.shape
        hole, _ = before.implied_hole()
        if kind != "picture":
            hole = pictures.read_hole(files["mask"], before.size)
        assert np.array_equal(after.pixels[~hole], before.pixels[~hole])
    assert FUZZ / 10 < refused < FUZZ


def test_evaluate(good, tmp_path, capfd):
    """A table of numbers, or one line."""
    out, refused = tmp_path / "out.csv", 0
    for files, bad, _ in cases(good, tmp_path, SEED + 1):
        folders = ["--images", files["picture"].parent, "--masks", files["mask"].parent]
        arguments = ["evaluate", "--checkpoint", files["checkpoint"], *folders, "--size", 32]
        code, error = call(out, capfd, *arguments, "--out", out)
        if code == 2:
            refused += 1
            assert bad.name in error
        else:
            table = pd.read_csv(out)
            assert table["row"].tolist() == ["picture", "bin", "all"]
            assert np.isfinite(table[["ratio", "psnr", "ssim", "l1", "psnr_out"]]).all(axis=None)
    assert FUZZ / 10 < refused < FUZZ
