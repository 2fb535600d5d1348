"""AVIF and HEIC, with what telephones put into them."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image, features

from pconv_cli.__main__ import main
from pconv_cli.files import pictures as listed
from pconv_cli.pictures import implied_hole, write
from pconv_core import photos as pictures


def scene(height=40, width=60):
    """Smooth colours, which survive compression, with a bright corner to see turns by."""
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.dstack([rows * 4, columns * 3, rows + columns]).astype(np.uint8)
    pixels[: height // 3, : width // 3] = 230
    return pixels


def near(found, wanted):
    return found.shape == wanted.shape and np.abs(found.astype(int) - wanted).mean() < 4


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("channels", [3, 4])
def test_avif(tmp_path, orientation, channels):
    pixels = scene()
    if channels == 4:
        pixels = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
        pixels[10:20, 30:50, 3] = 0
    path = tmp_path / "a.avif"
    Image.fromarray(pixels).save(path, quality=95, exif=turned(orientation))
    picture = pictures.read(path)
    assert picture.orientation == orientation
    upright = pictures.turned(pixels, orientation, upright=True)
    assert near(picture.pixels[..., :3], upright[..., :3])
    assert near(pictures.read_photo(path), upright[..., :3])
    # Written again the turned way, every pixel as AVIF gave it.
    write(picture, tmp_path / "b.png")
    assert np.array_equal(pictures.read(tmp_path / "b.png").pixels, picture.pixels)
    if channels == 4:
        assert implied_hole(picture)[0].sum() == pytest.approx(200, rel=0.1)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_whose_first_brand_is_of_structure_only(tmp_path):
    Image.fromarray(scene()).save(tmp_path / "a.avif", quality=95)
    data = bytearray((tmp_path / "a.avif").read_bytes())
    data[8:12] = b"mif1"
    (tmp_path / "a.avif").write_bytes(data)
    assert near(pictures.read(tmp_path / "a.avif").pixels, scene())


def test_heic(tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="HEIC is read where pillow-heif is installed")
    picture = heif.from_pillow(Image.fromarray(scene()))
    for name in ("a.heic", "b.HEIF", "c.jpg"):  # telephones hand on such a .jpg as well
        picture.save(tmp_path / name, quality=95)
    assert [p.name for p in listed(tmp_path)] == ["a.heic", "b.HEIF", "c.jpg"]
    for path in listed(tmp_path):
        assert near(pictures.read(path).pixels, scene())
        assert near(pictures.read_photo(path), scene())


@pytest.mark.skipif(bool(find_spec("pillow_heif")), reason="HEIC is read here")
def test_heic_without_its_package_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    call = ["inpaint", "--image", str(tmp_path / "a.jpg"), "--out", str(tmp_path / "out.png")]
    assert main(call) == 2
    assert "(HEIC needs the package pillow-heif: pip install" in capsys.readouterr().err
