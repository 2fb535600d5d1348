"""The command `inpaint`, on every kind of picture that people have."""

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from pconv_cli.__main__ import main
from pconv_cli.pictures import filled, write
from pconv_core import inpainting
from pconv_core import photos as pictures


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
    turned = Image.fromarray(changed)
    turned.getexif()[274] = orientation
    assert np.array_equal(pictures.ImageOps.exif_transpose(turned), hole)
    with Image.open(after) as written:
        assert written.getexif().get(274, 1) == orientation
        assert written.info["icc_profile"] == profile


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_half_transparent_pixels_are_hole_and_that_is_said(checkpoint, tmp_path, capsys, dtype):
    pixels, hole = colours(channels=4, dtype=dtype), hole_in()
    full = np.iinfo(dtype).max
    pixels[..., 3] = np.where(hole, 0, full)
    pixels[10, 15:20, 3] = full - 1, full // 2, 1, full // 4, full // 3
    cv2.imwrite(str(tmp_path / "in.png"), pixels)
    assert run(checkpoint, tmp_path / "in.png", tmp_path / "out.png") == 0
    assert "150 transparent pixels (5 of them half-" in capsys.readouterr().err
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
    with pytest.raises(SystemExit):
        run(checkpoint, source, tmp_path / "b.png", "--hole-colour", "ff000080")


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_an_inverted_mask_is_suspected_and_taken_when_told(checkpoint, tmp_path, capsys, mode):
    Image.fromarray(colours()).save(tmp_path / "in.png")
    known = Image.fromarray(np.where(hole_in(), 255, 0).astype(np.uint8))
    known.convert("RGB").convert(mode).save(tmp_path / "mask.png")
    out, mask = tmp_path / "out.png", ("--mask", tmp_path / "mask.png")
    assert run(checkpoint, tmp_path / "in.png", out, *mask) == 0
    assert "say --mask-hole white" in capsys.readouterr().err
    white = (*mask, "--mask-hole", "white", "--overwrite")
    assert run(checkpoint, tmp_path / "in.png", out, *white) == 0
    check_known(colours(), np.asarray(Image.open(out)), hole_in())


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


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "ImageJ", "shaped", "one", "MPO"])
def test_pictures_behind_the_first_are_not_lost(checkpoint, tmp_path, capsys, kind):
    """In place they would be; a telephone's second picture is the first again."""
    source, mask = tmp_path / "in.png", save_mask(tmp_path / "mask.png", hole_in())
    frames = np.stack([colours(channels=1, seed=k) for k in range(3)])
    if kind in ("ImageJ", "shaped", "one"):  # which is all that the file has, of a stack too
        stack = {"data": frames[:1] if kind == "one" else frames, "truncate": True}
        tifffile.imwrite(source, imagej=kind == "ImageJ", photometric="minisblack", **stack)
    else:
        first, *others = map(Image.fromarray, frames)
        others = [other.crop((0, 0, 9, 9)) if kind == "TIFF" else other for other in others]
        first.save(source, format=kind, save_all=True, append_images=others)
    several, before = kind not in ("one", "MPO"), source.read_bytes()
    assert pictures.read(source).several == several
    assert run(checkpoint, source, source, "--mask", mask, "--overwrite") == 2 * several
    assert (source.read_bytes() == before) == several
    assert ("holds several pictures, of which" in capsys.readouterr().err) == several


@pytest.mark.parametrize(
    ("kind", "out", "lost"),
    [
        ("L", "out.webp", "colour profile"),
        ("RGB", "out.bmp", "EXIF nor the colour profile"),
        ("RGB", "out.webp", None),
        (b"gAMA\0\1\x86\xa0", "out.png", "gamma"),
        (b"gAMA\0\0\xb1\x8f", "out.png", None),
        (b"cICP\x09\x10\0\1", "out.png", "cICP"),
    ],
)
def test_what_does_not_go_on_is_said(checkpoint, tmp_path, capsys, kind, out, lost):
    source, mask = tmp_path / "in.png", save_mask(tmp_path / "mask.png", hole_in())
    more = {"exif": Image.Exif(), "icc_profile": b"of the camera", "pnginfo": PngInfo()}
    more["exif"][271] = "Maker"
    if isinstance(kind, bytes):
        del more["icc_profile"]
        more["pnginfo"].add(kind[:4], kind[4:])
    Image.fromarray(colours(channels=1 if kind == "L" else 3)).save(source, **more)
    assert run(checkpoint, source, tmp_path / out, "--mask", mask) == 0
    note = f"note: {tmp_path / out} does not keep the {lost} of {source}"
    assert capsys.readouterr().err.splitlines() == [note] * bool(lost)


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
        (sound / result).chmod(0o600)
        assert run(checkpoint, sound / image, sound / image, "--overwrite") == 0
        assert (sound / result).stat().st_mode & 0o777 == 0o600
        check_known(before, pictures.read(sound / result).pixels, hole_in())


@pytest.mark.parametrize(
    ("net", "image", "out", "hole", "message"),
    [
        ("net.pt", "none.png", "out.png", hole_in(), "no picture at"),
        ("net.pt", "in.png", "out.jpg", None, "would not keep the known pixels as they are"),
        ("net.pt", "in.png", "out.png", np.eye(10) > 0, "is 10x10, the picture is 40x50"),
        ("net.pt", "in.png", "out.png", np.ones((40, 50), bool), "is hole all over"),
        ("none.pt", "in.png", "out.png", hole_in(), "no checkpoint at"),
        ("net.pt", "large.png", "out.png", None, "at most 100 million can be worked on"),
    ],
)
def test_bad_input_is_one_line(checkpoint, tmp_path, capsys, net, image, out, hole, message):
    Image.fromarray(colours()).save(tmp_path / "in.png")
    Image.new("1", (40_000, 3000)).save(tmp_path / "large.png")
    more = [] if hole is None else ["--mask", save_mask(tmp_path / "mask.png", hole)]
    assert run(checkpoint.with_name(net), tmp_path / image, tmp_path / out, *more) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / out).exists()
    assert not list(tmp_path.glob(".*"))


class Turns(torch.nn.Module):
    """Black in one window and white in the next, which differ as much as windows can."""

    trained_size = 1024  # no hole here is wide for it

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.calls = 0

    def forward(self, image, mask):
        assert max(image.shape[-2:]) <= 64
        self.calls += 1
        return torch.full_like(image, self.calls % 2)


def test_windows_join_without_a_seam():
    hole, rgb = np.zeros((160, 128), bool), np.zeros((160, 128, 3), np.float32)
    inside = np.s_[10:150, 10:118]
    hole[inside] = True
    out = inpainting.inpaint(Turns(), rgb, hole, window=64, overlap=32)[inside]
    assert np.ptp(out) == 1
    assert max(np.abs(np.diff(out, axis=axis)).max() for axis in (0, 1)) < 2 / 32
