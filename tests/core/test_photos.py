"""Masks as people draw, smooth and save them, pictures that are none, and folders of both."""

import os

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.data import camera

from pconv_core import data
from pconv_core import photos as pictures
from pconv_core.photos import SUFFIXES, photographs


def drawn(width, side=256, blurred=0.0):
    """Lines of one width and a word, antialiased; and where the hole is, without smoothing."""
    rng = np.random.default_rng(width)
    mask = np.full((side, side), 255, np.uint8)
    for _ in range(8):
        start, end = rng.integers(0, side, (2, 2)).tolist()
        cv2.line(mask, start, end, 0, width, cv2.LINE_AA)
    cv2.putText(
        mask, "letters", (20, side // 2), cv2.FONT_HERSHEY_SIMPLEX, 2, 0, width, cv2.LINE_AA
    )
    return (cv2.GaussianBlur(mask, None, blurred) if blurred else mask), mask < 128


@pytest.mark.parametrize("width", [2, 5, 15])
@pytest.mark.parametrize("quality", [50, 75, 95])
def test_jpeg_edges(tmp_path, width, quality):
    mask, hole = drawn(width)
    cv2.imwrite(str(tmp_path / "m.jpg"), mask, [cv2.IMWRITE_JPEG_QUALITY, quality])
    Image.fromarray(mask).convert("RGB").save(tmp_path / "rgb.jpg", quality=quality)
    for name in ("m.jpg", "rgb.jpg"):
        found = pictures.read_hole(tmp_path / name, mask.shape)
        assert (found ^ hole).mean() < 0.01
        assert not found[cv2.dilate(hole.astype(np.uint8), np.ones((3, 3))) == 0].any()


@pytest.mark.parametrize("width", [5, 15])
@pytest.mark.parametrize("sigma", [0.8, 2, 4])
def test_smoothed_edges(tmp_path, width, sigma):
    mask, hole = drawn(width, blurred=sigma)
    for name in ("m.png", "m.jpg"):
        cv2.imwrite(str(tmp_path / name), mask)
        found = pictures.read_hole(tmp_path / name, mask.shape)
        assert 0.3 < found.sum() / hole.sum() < 1.5
    Image.fromarray(255 - mask).save(tmp_path / "white.png")
    assert pictures.read_hole(tmp_path / "white.png", mask.shape, "white").any()


@pytest.mark.parametrize("hole_is", ["black", "white"])
@pytest.mark.parametrize("kind", ["L", "RGB", "16 bits", "8 in 16 bits", "P", "1"])
def test_zeros_and_ones(tmp_path, kind, hole_is):
    _, hole = drawn(5)
    values = (hole == (hole_is == "white")).astype(np.uint8)
    path = tmp_path / "m.png"
    if kind == "16 bits":
        path = tmp_path / "m.tif"
        tifffile.imwrite(path, values.astype(np.uint16))
    elif kind == "8 in 16 bits":
        cv2.imwrite(str(path), values.astype(np.uint16) * 255)
    elif kind == "P":
        picture = Image.fromarray(values)
        picture.putpalette([0, 0, 0, 1, 1, 1])
        picture.save(path)
    elif kind == "1":
        Image.fromarray(values * 255).convert("1").save(path)
    else:
        Image.fromarray(values).convert(kind).save(path)
    assert np.array_equal(pictures.read_hole(path, hole.shape, hole_is), hole)


@pytest.mark.parametrize(
    ("levels", "hole_is", "found"),
    [
        ((160, 160), "black", "160 to 160"),
        ((255, 255), "black", "255 to 255"),
        ((0, 0), "white", "0 to 0"),
        ((1, 1), "black", "1 to 1"),
        ((200, 255), "black", "200 to 255"),
        ((60, 100), "white", "60 to 100"),
    ],
)
def test_a_mask_without_a_hole(tmp_path, levels, hole_is, found):
    _, hole = drawn(5)
    Image.fromarray(np.where(hole, *levels).astype(np.uint8)).save(tmp_path / "m.png")
    wanted = rf"m\.png marks no hole: its values are {found}; it should be {hole_is} in the hole"
    with pytest.raises(ValueError, match=wanted):
        pictures.read_hole(tmp_path / "m.png", hole.shape, hole_is)
    empty = pictures.read_hole(tmp_path / "m.png", None, hole_is, may_be_empty=True)
    assert not empty.any()


@pytest.mark.parametrize("kind", ["photograph", "sixteen bits", "JPEG", "noisy"])
def test_a_photograph_is_no_mask(tmp_path, kind):
    grey, path = camera(), tmp_path / "m.png"
    if kind == "JPEG":
        path = tmp_path / "m.jpg"
    elif kind == "noisy":
        grey = (grey + np.random.default_rng(0).normal(0, 20, grey.shape)).clip(0, 255)
    scale = 257 if kind == "sixteen bits" else 1
    cv2.imwrite(str(path), grey.astype(np.uint16 if scale > 1 else np.uint8) * scale)
    message = r"looks like a photograph: \d+% of its pixels are neither .* it should be black in"
    with pytest.raises(ValueError, match=message):
        pictures.read_hole(path, grey.shape)


def test_colours_are_no_mask(tmp_path):
    photo = data.embedded("test")[0]
    for name, paper in (("copy", photo), ("grey", photo.mean(2, keepdims=True)), ("white", 255)):
        marked = np.broadcast_to(paper, photo.shape).astype(np.uint8)
        cv2.circle(marked, (50, 60), 20, (255, 0, 0), -1)
        Image.fromarray(marked).save(tmp_path / f"{name}.png")
        Image.fromarray(marked).save(tmp_path / f"{name}.jpg")
        for ending in ("png", "jpg"):
            with pytest.raises(
                ValueError, match=rf"{name}\.{ending} has colours: \d+ pixels, such"
            ):
                pictures.read_hole(tmp_path / f"{name}.{ending}", None)
    with pytest.raises(ValueError, match="such as RGB 255, 0, 0 in row"):
        pictures.read_hole(tmp_path / "white.png", None)


@pytest.mark.parametrize("paper", [(250, 246, 238), (255, 255, 255)])
def test_paper_that_is_not_quite_white(tmp_path, paper):
    mask = np.full((60, 60, 3), paper, np.uint8)
    mask[20:40, 20:40] = 12, 10, 16
    Image.fromarray(mask).save(tmp_path / "m.jpg", quality=70)
    assert pictures.read_hole(tmp_path / "m.jpg", None).sum() == pytest.approx(400, rel=0.05)


@pytest.mark.parametrize("levels", [(60, 200), (0, 160), (100, 255)])
def test_any_two_levels_split_at_the_middle(tmp_path, levels):
    _, hole = drawn(15)
    Image.fromarray(np.where(hole, *levels).astype(np.uint8)).save(tmp_path / "m.jpg", quality=60)
    assert (pictures.read_hole(tmp_path / "m.jpg", None) ^ hole).mean() < 0.01


# --- folders ---

FILES = int(os.environ.get("PCONV_FILES", "21000"))


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "photos"
    for k in range(20):
        (root / f"class {k:02d}" / "deeper").mkdir(parents=True)
    return root


def fill(root, count):
    for k in range(count):
        folder = root / f"class {k % 20:02d}" / ("deeper" if k % 3 else "")
        (folder / f"{k:06d}.{'JPG' if k % 2 else 'png'}").touch()


def expected(root):
    """Another way to list: pathlib's."""
    found = (p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES)
    return sorted(p.relative_to(root).as_posix() for p in found)


@pytest.mark.parametrize("count", [0, 200, FILES])
def test_all_photographs_and_nothing_else(tree, count):
    fill(tree, count)
    (tree / "notes.txt").touch()
    (tree / "folder.jpg").mkdir()
    assert photographs(tree) == [p for p in expected(tree) if p != "folder.jpg"]


def layer(drawn, colour, background=(0, 0, 0), soft=False):
    """A transparent layer with a stroke of a colour; what hides behind alpha 0 is any colour."""
    alpha = np.where(drawn, 255, 0).astype(np.uint8)
    if soft:
        alpha = cv2.GaussianBlur(alpha, None, 1.5)
    pixels = np.where((alpha > 0)[..., None], colour, background)
    return Image.fromarray(np.dstack([pixels, alpha]).astype(np.uint8))


@pytest.mark.parametrize("hole", ["black", "white"])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("background", [(0, 0, 0), (255, 255, 255), (6, 252, 6)])
@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
def test_strokes_on_a_transparent_layer(tmp_path, hole, soft, background, ending):
    """Those of the hole's colour are the hole; if of the other colour, what is left out is."""
    drawn, path = np.zeros((60, 80), bool), tmp_path / f"m.{ending}"
    drawn[20:35, 30:50] = True
    for colour in ("black", "white"):
        how = {"lossless": True, "exact": True} if ending == "webp" else {}
        layer(drawn, [255 * (colour == "white")] * 3, background, soft).save(path, **how)
        found = pictures.read_hole(path, None, hole)
        assert (found ^ (drawn if colour == hole else ~drawn)).sum() < (20 if soft else 1)


def test_both_colours_on_a_layer_and_none(tmp_path):
    drawn = np.zeros((60, 80), bool)
    drawn[20:35, 30:50] = True
    picture = np.array(layer(drawn, [0, 0, 0]))
    picture[40:50, 10:70] = 255
    for hole, wanted in (("black", drawn), ("white", picture[..., 0] == 255)):
        Image.fromarray(picture).save(tmp_path / "m.png")
        assert np.array_equal(pictures.read_hole(tmp_path / "m.png", None, hole), wanted)
    for colour, message in (((255, 0, 0), "has colours"), ((120, 120, 120), "in the grey 47%")):
        layer(drawn, colour).save(tmp_path / "m.png")
        with pytest.raises(ValueError, match=message):
            pictures.read_hole(tmp_path / "m.png", None)
    layer(np.zeros_like(drawn), [0, 0, 0]).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match="marks no hole"):
        pictures.read_hole(tmp_path / "m.png", None)


@pytest.mark.parametrize("most", [1, 100, 200, 255])
@pytest.mark.parametrize("hole_is", ["black", "white"])
def test_a_mask_of_black_and_any_other_level(tmp_path, most, hole_is):
    _, hole = drawn(5)
    values = np.where(hole == (hole_is == "white"), most, 0).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "m.png")
    assert np.array_equal(pictures.read_hole(tmp_path / "m.png", None, hole_is), hole)


@pytest.mark.parametrize("shape", [(64, 64), (60, 77), (511, 300), (512, 512)])
@pytest.mark.parametrize("width", [1, 2])
def test_lines_stay_when_a_mask_is_resized(width, shape):
    hole = np.zeros((512, 512), np.uint8)
    ends = np.random.default_rng(width).integers(0, 512, (6, 2, 2)).tolist()
    for start, end in ends:
        cv2.line(hole, start, end, 1, width)
    found = pictures.resized_hole(hole > 0, shape)
    rows, columns = np.nonzero(hole)
    middle = [
        ((k + 0.5) * side / 512).astype(int) for k, side in zip((rows, columns), shape, strict=True)
    ]
    assert found.shape == shape
    assert found[tuple(middle)].all()
    assert found.mean() <= hole.mean() * 512 / min(shape) * 3
    assert not pictures.resized_hole(np.zeros((512, 512), bool), shape).any()
    larger = pictures.resized_hole(hole > 0, (700, 900))
    assert larger.mean() == pytest.approx(hole.mean(), rel=0.05)
