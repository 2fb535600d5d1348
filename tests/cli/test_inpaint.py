"""The command `inpaint`, on every kind of picture that people have."""

import itertools

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

from pconv_cli.__main__ import main
from pconv_cli.pictures import filled, write
from pconv_core import checkpoints, inpainting
from pconv_core import photos as pictures
from pconv_core.models import build_model

SETTINGS = {"model": "pconv", "size": 32, "base_channels": 2}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "net.pt"
    checkpoints.write(
        path, {"settings": SETTINGS, "model": build_model("pconv", 32, 2, seed=0).state_dict()}
    )
    return path


@pytest.fixture(scope="module")
def net():
    return build_model("pconv", 32, 2, seed=0).eval()


def colours(height=40, width=50, channels=3, dtype=np.uint8, seed=0):
    full = np.iinfo(dtype).max
    random = np.random.default_rng(seed).integers(1, full, (height, width, channels), dtype=dtype)
    return random if channels > 1 else random[..., 0]


def hole_in(height=40, width=50):
    hole = np.zeros((height, width), bool)
    hole[10:20, 15:30] = True
    return hole


def save_mask(path, hole, **options):
    Image.fromarray(np.where(hole, 0, 255).astype(np.uint8)).save(path, **options)
    return path


def run(checkpoint, image, out, *more):
    return main(
        ["inpaint", "--checkpoint", str(checkpoint), "--image", str(image), "--out", str(out)]
        + [str(m) for m in more]
    )


def check_known(before, after, hole):
    assert after.shape == before.shape
    assert after.dtype == before.dtype
    assert np.array_equal(after[~hole], before[~hole])
    assert not np.array_equal(after[hole], before[hole])


def raw(path):
    """Pixels in the order of the file, by a reader that turns nothing."""
    if path.suffix == ".tif":
        return tifffile.imread(path)
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    return pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_depth_orientation_and_profile_stay(tmp_path, suffix, dtype, channels, orientation):
    pixels = colours(channels=channels, dtype=dtype) % 100  # far from what the hole gets
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    before, after = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(
            before,
            pixels,
            photometric="minisblack" if channels == 1 else "rgb",
            extrasamples=["unassalpha"] if channels == 4 else None,
            iccprofile=profile,
            extratags=[(274, "H", 1, orientation, True)],
        )
    else:
        exif = Image.Exif()
        exif[274] = orientation
        blobs = [np.frombuffer(b, np.uint8) for b in (exif.tobytes()[6:], profile)]
        kinds = [cv2.IMAGE_METADATA_EXIF, cv2.IMAGE_METADATA_ICCP]
        ordered = pixels if channels == 1 else pixels[..., [2, 1, 0, 3][:channels]]
        done, data = cv2.imencodeWithMetadata(".png", ordered, kinds, blobs)
        assert done
        before.write_bytes(data.tobytes())

    picture = pictures.read(before)
    upright = (50, 40) if orientation >= 5 else (40, 50)
    assert picture.size == upright
    hole = np.zeros(upright, bool)
    hole[3:10, 5:25] = True
    write(filled(picture, np.full((*upright, 3), 0.5, np.float32), hole), after)

    changed = (raw(after) != raw(before)).reshape(40, 50, -1).any(2)
    assert np.array_equal(pictures.turned(changed, orientation, upright=True), hole)
    with Image.open(after) as written:
        assert written.getexif().get(274, 1) == orientation
        assert written.info["icc_profile"] == profile


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_and_profile_are_kept(checkpoint, tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(colours()).save(tmp_path / "in.jpg", exif=exif, icc_profile=profile, quality=95)
    with Image.open(tmp_path / "in.jpg") as stored:
        before = np.array(stored)
    hole = hole_in()
    # The mask is drawn on what one sees: the picture turned upright.
    as_stored = Image.fromarray(np.where(hole, 0, 255).astype(np.uint8))
    as_stored.getexif()[0x0112] = orientation
    upright = pictures.ImageOps.exif_transpose(as_stored)
    upright.save(tmp_path / "mask.png", exif=b"")
    out = tmp_path / "out.png"
    assert run(checkpoint, tmp_path / "in.jpg", out, "--mask", tmp_path / "mask.png") == 0
    with Image.open(out) as after:
        check_known(before, np.array(after), hole)
        assert after.getexif().get(0x0112, 1) == orientation
        assert after.info["icc_profile"] == profile


def test_without_a_mask_transparent_pixels_are_the_hole(checkpoint, tmp_path, capsys):
    pixels, hole = colours(channels=4), hole_in()
    pixels[..., 3] = np.where(hole, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    assert run(checkpoint, tmp_path / "in.png", tmp_path / "out.png") == 0
    assert "its 150 transparent pixels are the hole" in capsys.readouterr().err
    with Image.open(tmp_path / "out.png") as after:
        after = np.array(after)
    check_known(pixels, after, hole)
    assert (after[hole, 3] == 255).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_half_transparent_pixels_are_hole_and_that_is_said(checkpoint, tmp_path, capsys, dtype):
    pixels, hole = colours(channels=4, dtype=dtype), hole_in()
    full = np.iinfo(dtype).max
    pixels[..., 3] = np.where(hole, 0, full)
    pixels[10, 15:20, 3] = full - 1, full // 2, 1, full // 4, full // 3
    cv2.imwrite(str(tmp_path / "in.png"), pixels)
    assert run(checkpoint, tmp_path / "in.png", tmp_path / "out.png") == 0
    note = "its 150 transparent pixels (5 of them half-transparent) are the hole"
    assert note in capsys.readouterr().err
    after = cv2.imread(str(tmp_path / "out.png"), cv2.IMREAD_UNCHANGED)
    check_known(pixels, after, hole)
    assert (after[..., 3] == full).all()


@pytest.mark.parametrize("kind", ["L", "RGB", "16 bits"])
@pytest.mark.parametrize(
    ("colour", "spellings"),
    [((0, 0, 0), ["black", "000000"]), ((255, 255, 255), ["WHITE", "#ffffff", "FFFFFF"])],
)
def test_a_colour_is_the_hole_if_it_is_named(checkpoint, tmp_path, capsys, kind, colour, spellings):
    dtype = np.uint16 if kind == "16 bits" else np.uint8
    pixels, hole = colours(channels=1 if kind == "L" else 3, dtype=dtype), hole_in()
    full = np.iinfo(dtype).max
    pixels[pixels == full] = full - 1
    pixels[hole] = colour[0] * (full // 255)
    source, out = tmp_path / "in.png", tmp_path / "out.png"
    cv2.imwrite(str(source), pixels)
    assert run(checkpoint, source, out) == 2
    assert "has no transparent pixels; its hole should be marked" in capsys.readouterr().err
    assert not out.exists()
    for spelling in spellings:
        assert run(checkpoint, source, out, "--hole-colour", spelling, "--overwrite") == 0
        assert f"its 150 pixels of the colour {colour[0]}, " in capsys.readouterr().err
        check_known(pixels, cv2.imread(str(out), cv2.IMREAD_UNCHANGED), hole)


def test_a_colour_that_is_not_there_or_not_one(checkpoint, tmp_path, capsys):
    pixels = colours()
    pixels[10:20, 15:30] = 255, 0, 0
    Image.fromarray(pixels).save(tmp_path / "in.png")
    source, out = tmp_path / "in.png", tmp_path / "out.png"
    assert run(checkpoint, source, out, "--hole-colour", "red") == 0
    assert run(checkpoint, source, tmp_path / "b.png", "--hole-colour", "black") == 2
    assert "in.png has no pixels of the colour 0, 0, 0" in capsys.readouterr().err
    mask = save_mask(tmp_path / "mask.png", hole_in())
    assert run(checkpoint, source, tmp_path / "b.png", "--hole-colour", "red", "--mask", mask) == 2
    assert "--hole-colour is for pictures without --mask" in capsys.readouterr().err
    for text in ("nope", "ff", "ff000080"):
        with pytest.raises(SystemExit):
            run(checkpoint, source, tmp_path / "b.png", "--hole-colour", text)
        assert f"{text} is no colour; it should be" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["jpeg", "smoothed", "white", "RGBA", "transparent", "P", "1"])
def test_masks_of_every_kind(checkpoint, tmp_path, kind):
    pixels, hole = colours(64, 64), np.zeros((64, 64), bool)
    hole[16:40, 24:48] = True
    Image.fromarray(pixels).save(tmp_path / "in.png")
    path, more = tmp_path / "mask.png", []
    grey = np.where(hole, 0, 255).astype(np.uint8)
    if kind == "jpeg":
        path = save_mask(tmp_path / "mask.jpg", hole, quality=60)
    elif kind == "smoothed":
        Image.fromarray(cv2.GaussianBlur(grey, None, 0.8)).save(path)
    elif kind == "white":
        Image.fromarray(255 - grey).save(path)
        more = ["--mask-hole", "white"]
    elif kind == "transparent":
        Image.fromarray(np.dstack([np.full((64, 64, 3), 250, np.uint8), grey])).save(path)
    else:
        Image.fromarray(grey).convert("RGB").convert(kind).save(path)
    out = tmp_path / "out.png"
    assert run(checkpoint, tmp_path / "in.png", out, "--mask", path, *more) == 0
    with Image.open(out) as after:
        changed = (np.array(after) != pixels).any(2)
    assert not changed[cv2.dilate(hole.astype(np.uint8), np.ones((3, 3))) == 0].any()
    assert changed[20:36, 28:44].mean() > 0.99


def test_inverted_mask_is_suspected(checkpoint, tmp_path, capsys):
    Image.fromarray(colours()).save(tmp_path / "in.png")
    mask = save_mask(tmp_path / "mask.png", ~hole_in())
    assert run(checkpoint, tmp_path / "in.png", tmp_path / "out.png", "--mask", mask) == 0
    assert "say --mask-hole white" in capsys.readouterr().err


@pytest.mark.parametrize("pixels", [1, 3, 5.5])
def test_the_hole_grows_by_so_many_pixels(checkpoint, tmp_path, pixels):
    Image.fromarray(colours()).save(tmp_path / "in.png")
    mask, out = save_mask(tmp_path / "mask.png", hole_in()), tmp_path / "out.png"
    assert run(checkpoint, tmp_path / "in.png", out, "--mask", mask, "--grow", pixels) == 0
    reach = np.hypot(*np.mgrid[-6:7, -6:7]) <= pixels
    grown = cv2.dilate(hole_in().astype(np.uint8), reach.astype(np.uint8)) > 0
    check_known(colours(), np.asarray(Image.open(out)), grown)
    changed = (np.asarray(Image.open(out)) != colours()).any(2)
    assert changed[grown].mean() > 0.95
    assert run(checkpoint, tmp_path / "in.png", out, "--mask", mask, "--grow", -1) == 2


def test_what_hides_behind_alpha_0_is_not_seen(checkpoint, tmp_path):
    """With a mask too: two pictures that look alike are filled alike, and keep what they hide."""
    pixels, hole, results = colours(channels=4), hole_in(), []
    pixels[..., 3] = 255
    pixels[5:25, 25:40, 3] = 0
    mask = save_mask(tmp_path / "mask.png", hole)
    for hidden in ((6, 252, 6), (0, 0, 0)):
        pixels[5:25, 25:40, :3] = hidden
        Image.fromarray(pixels).save(tmp_path / "in.png")
        out = tmp_path / "out.png"
        assert run(checkpoint, tmp_path / "in.png", out, "--mask", mask, "--overwrite") == 0
        results.append(np.asarray(Image.open(out)))
        assert np.array_equal(results[-1][~hole], pixels[~hole])
    assert np.array_equal(results[0][hole], results[1][hole])


def test_the_weights_have_names(tmp_path, capsys):
    Image.fromarray(colours()).save(tmp_path / "in.png")
    mask = save_mask(tmp_path / "mask.png", hole_in())
    call = ["inpaint", "--image", str(tmp_path / "in.png"), "--mask", str(mask), "--out"]
    assert main([*call, str(tmp_path / "a.png")]) == 0
    assert main([*call, str(tmp_path / "b.png"), "--weights", "shipped"]) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with pytest.raises(SystemExit):
        main([*call, str(tmp_path / "c.png"), "--weights", "none"])


def test_cmyk_and_the_first_frame_of_an_animation(checkpoint, tmp_path, capsys):
    Image.fromarray(colours()).convert("CMYK").save(tmp_path / "ink.jpg", quality=95)
    frames = [Image.fromarray(colours(seed=s)).convert("P") for s in (0, 1)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    mask = save_mask(tmp_path / "mask.png", hole_in())
    for name, note in (("ink.jpg", "CMYK and is written as RGB"), ("moving.gif", "several")):
        out = tmp_path / f"{name}.png"
        assert run(checkpoint, tmp_path / name, out, "--mask", mask) == 0
        assert note in capsys.readouterr().err
        with Image.open(tmp_path / name) as before, Image.open(out) as after:
            check_known(np.array(before.convert("RGB")), np.array(after), hole_in())


@pytest.mark.parametrize("size", [(1, 2), (2, 1), (3, 3), (31, 33), (7, 200)])
def test_tiny_and_narrow(checkpoint, tmp_path, size):
    pixels = colours(*size)
    pixels[0, 0] = 0
    Image.fromarray(pixels).save(tmp_path / "in.png")
    black = ("--hole-colour", "black")
    assert run(checkpoint, tmp_path / "in.png", tmp_path / "out.png", *black) == 0
    with Image.open(tmp_path / "out.png") as after:
        after = np.array(after)
    assert np.array_equal(after.reshape(-1, 3)[1:], pixels.reshape(-1, 3)[1:])


def test_folder(checkpoint, tmp_path, capsys):
    for name, seed in (("a.png", 1), ("b.jpg", 2), ("c.png", 3)):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(colours(seed=seed)).save(tmp_path / "in" / name)
    (tmp_path / "masks").mkdir()
    for name in ("a.png", "b.png"):
        save_mask(tmp_path / "masks" / name, hole_in())
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    assert run(checkpoint, tmp_path / "in", tmp_path / "out", "--mask", tmp_path / "masks") == 2
    printed = capsys.readouterr()
    assert f"left out: no mask for c.png in {tmp_path / 'masks'}\n" in printed.err
    assert "note: skipped 1 that do not end in" in printed.err
    assert ": notes.txt\n" in printed.err
    assert "2 of 3 pictures written" in printed.out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]


def test_folder_whose_results_would_share_a_name(checkpoint, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "a.png", "b.png"):
        Image.fromarray(colours()).save(tmp_path / "in" / name)
    assert run(checkpoint, tmp_path / "in", tmp_path / "out", "--overwrite") == 2
    assert "holds a.jpg and a.png, which would both be written to a.png" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def sound(tmp_path):
    """A picture with a hole in it, as a file and in a folder, and links to both."""
    pixels = colours(channels=4)
    pixels[..., 3] = np.where(hole_in(), 0, 255)
    (tmp_path / "in").mkdir()
    for path in (tmp_path / "in.png", tmp_path / "in" / "a.png"):
        Image.fromarray(pixels).save(path)
    (tmp_path / "link.png").symlink_to("in.png")
    (tmp_path / "link").symlink_to("in")
    (tmp_path / "nowhere.png").symlink_to("none.png")
    return tmp_path


@pytest.mark.parametrize(
    ("image", "out", "message"),
    [
        ("in.png", "in.png", "--out is the picture"),
        ("in.png", "in/../in.png", "--out is the picture"),
        ("in.png", "link.png", "--out is the picture"),
        ("link.png", "in.png", "--out is the picture"),
        ("in.png", "nowhere.png", "nowhere.png is there already"),
        ("in", "in", "--out is the folder"),
        ("in", "link", "--out is the folder"),
        ("in.png", "in", "--out is the folder"),
        ("in", "in.png", "--out is the file"),
        ("in.png", "in.png/b.png", "in.png is a file; it should be a folder"),
        ("in", "in.png/deep/b", "in.png is a file; it should be a folder"),
    ],
)
def test_what_is_there_is_not_written_over(sound, tmp_path, capsys, image, out, message):
    before = {p: p.read_bytes() for p in sound.rglob("*.png") if p.exists()}
    # The weights are not even looked for: nothing is done before.
    assert run("none.pt", sound / image, f"{sound}/{out}") == 2
    assert message in capsys.readouterr().err
    assert {p: p.read_bytes() for p in sound.rglob("*.png") if p.exists()} == before


def test_results_that_are_there_are_replaced_when_told(sound, checkpoint, capsys):
    before = pictures.read(sound / "in.png").pixels
    for image, out in (("in", "out"), ("in.png", "b.png")):
        assert run(checkpoint, sound / image, sound / out) == 0
        assert run(checkpoint, sound / image, sound / out) == 2
        assert "is there already; --overwrite replaces it" in capsys.readouterr().err
    for image, result in (("in", "in/a.png"), ("in.png", "in.png")):
        assert run(checkpoint, sound / image, sound / image, "--overwrite") == 0
        check_known(before, pictures.read(sound / result).pixels, hole_in())


def test_a_failure_leaves_what_was_to_be_replaced(sound, checkpoint, monkeypatch, capsys):
    whole = (sound / "in.png").read_bytes()

    def full(picture, path, **options):
        path.write_bytes(whole[:20])
        raise OSError("no space left")

    monkeypatch.setattr(Image.Image, "save", full)
    assert run(checkpoint, sound / "in.png", sound / "in.png", "--overwrite") == 2
    assert (sound / "in.png").read_bytes() == whole
    assert not list(sound.glob(".*"))


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("missing", "no picture at"),
        ("jpeg out", "would not keep the known pixels as they are"),
        ("mask size", r"is 10x10, the picture is 40x50"),
        ("all hole", "is hole all over"),
        ("no weights", "no checkpoint at"),
        ("text", "cannot read"),
        ("enormous", "at most 100 million can be worked on"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(checkpoint, tmp_path, capsys, case, message):
    source, out, more = tmp_path / "in.png", tmp_path / "out.png", []
    Image.fromarray(colours()).save(source)
    if case == "missing":
        source = tmp_path / "none.png"
    elif case == "jpeg out":
        out = tmp_path / "out.jpg"
    elif case == "mask size":
        more = ["--mask", save_mask(tmp_path / "mask.png", np.eye(10) > 0)]
    elif case == "all hole":
        more = ["--mask", save_mask(tmp_path / "mask.png", np.ones((40, 50), bool))]
    elif case == "no weights":
        checkpoint = tmp_path / "none.pt"
        more = ["--mask", save_mask(tmp_path / "mask.png", hole_in())]
    elif case == "text":
        source.write_text("not a picture")
    elif case == "enormous":
        Image.new("1", (40_000, 3000)).save(source)
    assert run(checkpoint, source, out, *more) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not out.exists()
    assert not list(tmp_path.glob(".*"))


class Echo(torch.nn.Module):
    """Gives back each pixel as it is, hole or not: what windows make of it must be the same."""

    trained_size = 1024  # no hole here is wide for it

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.sides = []

    def forward(self, image, mask):
        self.sides.append(max(image.shape[-2:]))
        return image * self.weight


def test_windows_join_without_a_seam():
    rgb = colours(160, 150).astype(np.float32) / 255
    hole = np.zeros((160, 150), bool)
    hole[20:150, 10:145] = True
    echo = Echo()
    result = inpainting.inpaint(echo, rgb, hole, window=64, overlap=32)
    np.testing.assert_allclose(result, rgb, atol=1e-6)
    assert len(echo.sides) > 4
    assert max(echo.sides) == 64


@pytest.mark.parametrize("length", [64, 65, 100, 127, 128, 500, 1000])
def test_windows_cover_everything_and_fade_to_one(length):
    places = list(inpainting._windows(length, 64, 16))
    weights = np.zeros((length, 1, 1))
    for place in places:
        assert place.stop - place.start == 64
        weights[place] += inpainting._fade((place, slice(0, 1)), (length, 1), 16)
    assert places[0].start == 0
    assert places[-1].stop == length
    assert weights.min() > 0
    assert all(a.stop - b.start >= 16 for a, b in itertools.pairwise(places))


def test_what_the_hole_holds_is_not_looked_at(net):
    rgb, hole = colours().astype(np.float32) / 255, hole_in()
    other = np.where(hole[..., None], np.float32(np.nan), rgb)
    assert np.array_equal(
        inpainting.inpaint(net, rgb, hole)[hole], inpainting.inpaint(net, other, hole)[hole]
    )
