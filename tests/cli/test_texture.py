"""`inpaint --texture`: detail from patches of what is known."""

import importlib.util

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pconv_cli.__main__ import main
from pconv_cli.texture import textured


def stripes(height=96, width=112):
    """Waves 8 pixels long in both directions about a slope, and a hole 40 pixels wide."""
    rows, columns = np.mgrid[:height, :width]
    slope = 0.3 + 0.4 * columns / width
    waves = 0.15 * np.sin(2 * np.pi * rows / 8) * np.sin(2 * np.pi * columns / 8)
    hole = np.zeros((height, width), bool)
    hole[30:70, 36:76] = True
    colours = np.array([1, 0.9, 0.8])
    return [((x[..., None]) * colours).astype(np.float32) for x in (slope + waves, slope)], hole


def test_a_periodic_texture_goes_on():
    (truth, smooth), hole = stripes()
    filled = np.where(hole[..., None], smooth, truth)
    out = textured(filled, hole, 1)
    inside = cv2.erode(hole.astype(np.uint8), np.ones((17, 17))) > 0
    fine = [(x - cv2.GaussianBlur(x, None, 4))[inside] for x in (filled, out, truth)]
    energy = [np.square(x).mean() for x in fine]
    assert energy[0] < 0.01 * energy[2]
    assert energy[1] > 0.5 * energy[2]
    assert np.corrcoef(fine[1].ravel(), fine[2].ravel())[0, 1] > 0.7
    less = textured(filled, hole, 0.3) - filled
    np.testing.assert_allclose(less, 0.3 * (out - filled), atol=1e-5)


def test_known_pixels_stay_and_every_call_gives_the_same():
    (truth, smooth), hole = stripes()
    filled = np.where(hole[..., None], smooth, truth)
    before, out = filled.copy(), textured(filled, hole, 0.5)
    assert np.array_equal(filled, before)
    assert np.array_equal(out[~hole], filled[~hole])
    assert not np.array_equal(out[hole], filled[hole])
    textured(filled[::-1], hole[::-1], 0.5)
    assert np.array_equal(textured(filled, hole, 0.5), out)
    assert np.array_equal(textured(filled, hole, 0), filled)


@pytest.mark.parametrize("size", [(1, 2), (3, 3), (31, 33), (7, 200)])
def test_tiny_and_narrow(size):
    rgb, hole = np.random.default_rng(0).random((*size, 3), np.float32), np.ones(size, bool)
    hole[0, 0] = False
    out = textured(rgb, hole, 1)
    assert out.shape == rgb.shape
    assert 0 <= out.min() <= out.max() <= 1


def test_the_command(tmp_path, capsys, monkeypatch):
    (truth, _), hole = stripes()
    pixels = np.rint(truth * 255).astype(np.uint8)
    (photos := tmp_path / "photos").mkdir()
    Image.fromarray(pixels).save(photos / "in.png")
    Image.fromarray(np.where(hole, 0, 255).astype(np.uint8)).save(tmp_path / "mask.png")
    call = ["inpaint", "--image", str(photos / "in.png"), "--mask", str(tmp_path / "mask.png")]
    options = {"a": ["--texture"], "b": ["--texture", "0.5"], "c": [], "d": ["--texture", "0"]}
    files = {}
    for name, more in options.items():
        out = tmp_path / f"{name}.png"
        assert main([*call, "--out", str(out), *more]) == 0
        files[name] = out.read_bytes()
        assert np.array_equal(np.asarray(Image.open(out))[~hole], pixels[~hole])
    assert files["a"] == files["b"] != files["c"] == files["d"]
    measured = ["--images", str(photos), "--masks", str(tmp_path / "mask.png"), "--texture"]
    assert main(["evaluate", *measured, "--out", str(tmp_path / "t.csv")]) == 0
    error = np.asarray(Image.open(tmp_path / "a.png")) / 255 - truth
    psnr = -10 * np.log10((error**2).mean())
    assert pd.read_csv(tmp_path / "t.csv")["psnr"].item() == pytest.approx(psnr, abs=0.05)
    out = ["--out", str(tmp_path / "e.png"), "--texture"]
    assert main([*call, *out, "1.5"]) == 2
    assert "--texture is 1.5; it should be from 0 to 1" in capsys.readouterr().err
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main([*call, *out]) == 2
    error = capsys.readouterr().err
    assert "package PyPatchMatch" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "e.png").exists()
