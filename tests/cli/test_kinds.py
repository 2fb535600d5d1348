"""Every kind of file that Pillow, tifffile and a PNG can be, into every format that is written.

The files are generated: modes x compressions x planes x bits x formats.  Of each the known pixels
come back as they were, seen by another reader, or it is refused in one line and nothing is left.
"""

import io
import os
import struct
import zlib
from itertools import product

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, TiffImagePlugin

from pconv_cli.pictures import filled, storable, write
from pconv_core import photos

SHAPE = (24, 40)
HOLE = np.zeros(SHAPE, bool)
HOLE[5:12, 9:30] = True
# Of tifffile's ways to write an array; `make stress` sets 96, which is all.
WAYS_TRIED = int(os.environ.get("PCONV_WAYS", "8"))
SEED = int(os.environ.get("PCONV_FUZZ_SEED", "0"))
OUTPUTS = (".png", ".tif", ".bmp", ".webp")
pytestmark = pytest.mark.filterwarnings("ignore")


def random(channels=1, dtype=np.uint8, seed=0):
    rng, shape = np.random.default_rng(seed), (*SHAPE, channels) if channels > 1 else SHAPE
    if np.issubdtype(dtype, np.floating):
        return rng.random(shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def rgba(array, kind):
    """What numbers look like: (H, W, 4), uint8 or uint16."""
    full = np.iinfo(array.dtype).max
    if kind == "CMYK":
        array, kind = np.asarray(Image.fromarray(array, "CMYK").convert("RGB")), "RGB"
    channels = array.reshape(*SHAPE, -1)
    alpha = channels[..., -1:] if kind.endswith("A") else np.full((*SHAPE, 1), full, array.dtype)
    colours = channels[..., :3] if kind.startswith("RGB") else channels[..., :1]
    return np.concatenate([np.broadcast_to(colours, (*SHAPE, 3)), alpha], 2)


def seen(path):
    """What a written file looks like, by a reader that is not the one of the project."""
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0]
            array = page.asarray()
            kinds = {1: {1: "L", 2: "LA"}, 2: {3: "RGB", 4: "RGBA"}, 5: {4: "CMYK"}}
            kind = kinds[int(page.photometric)][page.samplesperpixel]
        if array.dtype == np.uint8:  # and Pillow opens it
            with Image.open(path) as picture:
                assert np.array_equal(np.array(picture).reshape(array.shape), array)
        return rgba(array, kind)
    if path.suffix == ".png":
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if pixels.ndim == 3:
            pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
        return rgba(
            pixels, {2: "L", 3: "RGB", 4: "RGBA"}[2 if pixels.ndim == 2 else pixels.shape[2]]
        )
    with Image.open(path) as picture:
        return np.array(picture.convert("RGBA"))


def written(source, out):
    """Read, fill and write a picture; returns why it is refused, "" if it is not."""
    try:
        picture = photos.read(source)
        write(filled(picture, np.full((*SHAPE, 3), 0.4, np.float32), HOLE), out)
    except ValueError as error:
        return str(error)
    return ""


def check(folder, name, data, truth, kept=False):
    """Write a source to every output; returns how many were kept."""
    source, count = folder / name, 0
    source.write_bytes(data)
    for out in [folder / f"out{suffix}" for suffix in OUTPUTS]:
        case = f"{name} to {out.suffix}"
        if refused := written(source, out):
            assert "\n" not in refused, case
            assert not (kept and out.suffix in (".png", ".tif")), f"{case}: {refused}"
            continue
        assert truth is not None, f"{case} should be refused"
        after = seen(out)
        assert after.dtype == truth.dtype, case
        assert np.array_equal(after[~HOLE], truth[~HOLE]), case
        assert (after[HOLE] != truth[HOLE]).any(), case
        assert (after[HOLE][:, 3] == np.iinfo(after.dtype).max).all(), case
        out.unlink()
        count += 1
    assert [p for p in folder.iterdir() if p != source] == []
    source.unlink()
    return count


PILLOW_KEPT = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16")
PILLOW_MODES = (*PILLOW_KEPT, "PA", "RGBX", "RGBa", "YCbCr", "HSV", "LAB", "I", "F", "I;16B")
COMPRESSIONS = ["tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "lzma", "zstd"]
COMPRESSIONS += ["jpeg", "group3", "group4", "tiff_ccitt"]
WAYS = {
    "PNG": [{}],
    "BMP": [{}],
    "GIF": [{}],
    "WEBP": [{"lossless": True, "exact": True}, {"quality": 80}],
    "JPEG": [{"quality": 90}],
    "AVIF": [{"quality": 80}],
    "TIFF": [
        {"compression": compression, "big_tiff": big}
        for compression, big in product((None, *COMPRESSIONS), (False, True))
    ],
}


def of_mode(mode):
    if mode == "1":
        return Image.fromarray(random() > 100)
    if mode in ("L", "LA", "RGB", "RGBA"):
        return Image.fromarray(random(len(mode)))
    if mode in ("I;16", "I;16B"):
        return Image.frombytes(mode, SHAPE[::-1], random(2).tobytes())
    if mode in ("I", "F"):
        return Image.fromarray(random(dtype=np.int32 if mode == "I" else np.float32))
    if mode in ("CMYK", "RGBX", "RGBa"):
        return Image.frombytes(mode, SHAPE[::-1], random(4).tobytes())
    if mode == "LAB":
        return Image.frombytes(mode, SHAPE[::-1], random(3).tobytes())
    colours = Image.fromarray(random(3))
    return (colours.quantize(200) if mode[0] == "P" else colours).convert(mode)


@pytest.mark.parametrize("mode", PILLOW_MODES)
def test_pillows_modes(tmp_path, mode):
    """Lossy formats and odd modes are what Pillow makes of the file, not of the original."""
    count = 0
    for form, ways in WAYS.items():
        for way in ways:
            file = io.BytesIO()
            try:
                of_mode(mode).save(file, format=form, **way)
                Image.open(io.BytesIO(file.getvalue()))
            except (OSError, KeyError, ValueError, SystemError):
                continue  # Pillow cannot
            with Image.open(file) as again:
                if again.mode in ("I;16", "I;16B"):
                    truth = rgba(np.array(again).astype(np.uint16), "L")
                elif again.mode in ("I", "F", "LAB", "HSV", "RGBX", "RGBa"):
                    truth = None
                else:
                    truth = np.array(again.convert("RGBA"))
                name = f"{mode} {form} {again.mode} {'-'.join(map(str, way.values()))}".lower()
            kept = mode in PILLOW_KEPT
            count += check(tmp_path, name, file.getvalue(), truth, kept)
    assert count > 0 or mode not in PILLOW_KEPT


def tifffiles(dtype, kind, most):
    """Yield (name, bytes, array) of what tifffile writes of these, `most` of its ways."""
    ways = list(
        product(
            ("contig", "separate"), ("<", ">"), (False, True), (None, "zlib", "lzma"),
            (None, (16, 16)), (False, True),
        )
    )  # fmt: skip
    np.random.default_rng(SEED).shuffle(ways)
    channels, photometric, extra = KINDS[kind]
    array = random(channels, dtype)
    if kind.endswith("opaque"):
        array[..., -1] = np.iinfo(dtype).max
    for planar, order, big, compression, tile, predictor in ways:
        if most == 0:
            return
        planar, order, big = str(planar), str(order), bool(big)
        how = {"photometric": photometric, "extrasamples": extra, "byteorder": order, "tile": tile}
        data = np.moveaxis(array, -1, 0) if planar == "separate" and channels > 1 else array
        if channels > 1:
            how["planarconfig"] = planar
        how |= {"compression": compression, "bigtiff": big}
        how["predictor"] = bool(predictor and compression) or None
        file = io.BytesIO()
        try:
            tifffile.imwrite(file, np.ascontiguousarray(data), **how)
        except (ValueError, NotImplementedError, ImportError, KeyError):
            continue  # tifffile cannot
        most -= 1
        name = f"{np.dtype(dtype).name} {kind} {planar} {order == '>'} {big} {compression}"
        yield name, file.getvalue(), array


KINDS = {  # channels, photometric interpretation, what further channels are
    "L": (1, "minisblack", None),
    "white is 0": (1, "miniswhite", None),
    "LA": (2, "minisblack", ["unassalpha"]),
    "RGB": (3, "rgb", None),
    "RGBA": (4, "rgb", ["unassalpha"]),
    "RGB multiplied": (4, "rgb", ["assocalpha"]),
    "RGB multiplied, opaque": (4, "rgb", ["assocalpha"]),
    "RGB and what": (4, "rgb", ["unspecified"]),
    "RGB and two": (5, "rgb", ["unassalpha", "unspecified"]),
    "CMYK": (4, "separated", None),
    "CMYK and alpha": (5, "separated", ["unassalpha"]),
    "lab": (3, "cielab", None),
}
KEPT = {(np.uint8, k) for k in ("L", "LA", "RGB", "RGBA", "CMYK")}
KEPT |= {(np.uint16, k) for k in ("L", "LA", "RGB", "RGBA")}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", KINDS)
def test_tifffiles_kinds(tmp_path, dtype, kind):
    count = 0
    for name, data, array in tifffiles(dtype, kind, WAYS_TRIED):
        truth, kept = None, (dtype, kind) in KEPT
        if kept:
            truth = rgba(array, kind)
        elif kind == "white is 0" and dtype is np.uint8:
            truth = rgba(255 - array, "L")
        elif kind == "RGB multiplied, opaque":
            truth = rgba(array, "RGBA")
        assert check(tmp_path, name, data, truth, kept) >= 2 * kept
        count += 1
    assert count >= min(8, WAYS_TRIED)


OTHER_DTYPES = "uint32 int8 int16 int32 uint64 float16 float32 float64"


@pytest.mark.parametrize("dtype", OTHER_DTYPES.split())
def test_other_numbers_are_refused(tmp_path, dtype):
    count = 0
    for kind in ("L", "LA", "RGB", "RGBA", "CMYK"):
        for name, data, _ in tifffiles(dtype, kind, 3):
            assert check(tmp_path, name, data, None) == 0
            (tmp_path / name).write_bytes(data)
            with pytest.raises(ValueError, match=r"cannot read .* exactly: its numbers"):
                photos.read_photo(tmp_path / name)
            (tmp_path / name).unlink()
            count += 1
    assert count >= 8


def made_up():
    """Files of which readers make up or cut pixels without a word."""
    grey, deep, ramp = random(), random(3, np.uint16) >> 6, np.arange(256, dtype=np.uint16)
    yield "rows.png", png(grey, 0, 8, lacking=4)
    avif = cv2.imencode(".avif", deep, [cv2.IMWRITE_AVIF_DEPTH, 10])[1].tobytes()
    yield "deep.avif", avif
    first = int.from_bytes(avif[:4])  # of its boxes; behind it one of nothing
    yield "far.avif", avif[:first] + struct.pack(">I", 5000) + b"free" + bytes(4992) + avif[first:]
    other = {"volume": random(2).transpose(2, 0, 1), "inks": random(4)}
    for name, more in {
        "strip": {"rowsperstrip": SHAPE[0]},
        "small": {"subfiletype": 1},
        "volume": {"volumetric": True, "tile": (1, 16, 16), "photometric": "minisblack"},
        "inks": {"photometric": "separated", "extratags": [(332, "H", 1, 2, True)]},
        "palette 8": {"photometric": "palette", "colormap": np.tile(ramp, (3, 1))},
        "palette 16": {"photometric": "palette", "colormap": np.tile(250 * ramp, (3, 1))},
    }.items():
        tifffile.imwrite(file := io.BytesIO(), other.get(name, grey), **more)
        size, none = (struct.pack("<HHII", 279, 4, 1, n) for n in (grey.size, 0))
        yield f"{name}.tif", file.getvalue().replace(size, none if name == "strip" else size)


def test_what_readers_make_up_is_refused(tmp_path):
    for name, data in made_up():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=r"cannot read .* exactly: "):
            photos.read(tmp_path / name)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits"])
@pytest.mark.parametrize("kind", ["RGB", "RGBA"])
def test_sixteen_bits_that_only_opencv_decompresses(tmp_path, monkeypatch, compression, kind):
    array = random(len(kind), np.uint16)
    order = [2, 1, 0, 3][: len(kind)]
    number = {"tiff_lzw": 5, "packbits": 32773}[compression]
    how = [cv2.IMWRITE_TIFF_COMPRESSION, number]
    done, data = cv2.imencode(".tif", np.ascontiguousarray(array[..., order]), how)
    assert done
    with tifffile.TiffFile(io.BytesIO(data.tobytes())) as tiff:
        assert int(tiff.pages[0].compression) == number
    assert check(tmp_path, f"{kind} {compression}", data.tobytes(), rgba(array, kind), True) >= 2
    (tmp_path / "a.tif").write_bytes(data.tobytes())
    for other in (array ^ 256, array[..., :2]) if compression == "tiff_lzw" else ():
        monkeypatch.setattr(photos, "_by_opencv", lambda _, other=other: other)
        with pytest.raises(ValueError, match="two readers disagree on its 16-bit colours"):
            photos.read(tmp_path / "a.tif")


def png(pixels, colour_type, depth, extra=b"", lacking=0):
    """A PNG by hand, of what no library writes."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    height, width = pixels.shape[0] + lacking, pixels.shape[1]
    if depth == 16:
        rows = [row.astype(">u2").tobytes() for row in pixels]
    elif depth == 8:
        rows = [row.tobytes() for row in pixels]
    else:
        bits = ((pixels[..., None] >> np.arange(depth)[::-1]) & 1).astype(np.uint8)
        rows = [np.packbits(row.reshape(-1)).tobytes() for row in bits]
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = chunk(b"IHDR", header) + b"".join(chunk(k, v) for k, v in (extra or {}).items())
    return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IDAT", body) + chunk(b"IEND", b"")


TYPES = {0: ("L", 1), 2: ("RGB", 3), 3: ("P", 1), 4: ("LA", 2), 6: ("RGBA", 4)}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
PNGS = [(t, d, s) for t, depths in DEPTHS.items() for d in depths for s in (0, 1)[: 2 - t // 4]]


@pytest.mark.parametrize(("colour_type", "depth", "see_through"), PNGS)
def test_pngs_kinds(tmp_path, colour_type, depth, see_through):
    """Colour types x depths, with one colour that is transparent where the type may have it."""
    kind, channels = TYPES[colour_type]
    dtype = np.uint16 if depth == 16 else np.uint8
    pixels, extra = random(channels, dtype) >> (0 if depth == 16 else 8 - min(depth, 8)), {}
    if colour_type == 3:
        palette = np.random.default_rng(1).integers(0, 256, (2**depth, 3), dtype=np.uint8)
        extra[b"PLTE"] = palette.tobytes()
        truth = rgba(palette[pixels], "RGB")
        if see_through:
            extra[b"tRNS"] = bytes([0])
            truth[..., 3][pixels == 0] = 0
    else:
        scaled = pixels if depth >= 8 else pixels * np.uint8(255 // (2**depth - 1))
        truth = rgba(scaled, kind)
        if see_through:
            key = pixels[0, 0].reshape(-1)
            extra[b"tRNS"] = key.astype(">u2").tobytes()
            truth[..., 3][(pixels.reshape(*SHAPE, -1) == key).all(2)] = 0
    if see_through and (depth == 16 or (colour_type == 0 and depth in (2, 4))):
        truth = None
    kept = truth is not None
    count = check(tmp_path, "source.png", png(pixels, colour_type, depth, extra), truth, kept)
    assert count >= 2 * kept


def test_what_describes_the_picture_goes_on_and_no_more(tmp_path):
    source, exif = tmp_path / "in.tif", Image.Exif()
    exif[270], exif[271], exif[274] = "une allXXe", "Maker", 6
    exif[282], exif[283], exif[296] = 100.0, 100.0, 3  # a centimetre
    exif[0x8769] = {0x9003: "2020:01:01 00:00:00"}
    for mode, suffix in product(("L", "LA", "RGB", "RGBA", "CMYK"), (".tif", ".png", ".webp")):
        of_mode(mode).save(source, exif=exif.tobytes())
        source.write_bytes(source.read_bytes().replace(b"allXXe", "allée".encode()))
        write(photos.read(source), out := tmp_path / f"out{suffix}")
        with Image.open(out) as after:
            found = after.getexif()
            assert (found[271], found[274]) == ("Maker", 6)
            assert found[270].encode("latin-1").decode() == "une allée"
            assert found.get_ifd(0x8769)[0x9003] == "2020:01:01 00:00:00"
            assert suffix == ".tif" or set(found) <= {*photos._DESCRIBING, *photos._DIRECTORIES}
            assert suffix == ".webp" or round(after.info["dpi"][0]) == 254
    for down in ((0, 0), (1, 0), (2**32 - 1, 1)):  # a resolution that makes no sense
        exif[283] = TiffImagePlugin.IFDRational(*down)
        of_mode("RGB").save(source, format="JPEG", exif=exif)
        write(photos.read(source), out := tmp_path / "out.png")
        found = Image.open(out).getexif()
        assert (found[271], found[274], found.keys() & {282, 283, 296}) == ("Maker", 6, set())
    of_mode("RGB").save(tmp_path / "300.png", dpi=(300, 300))  # without EXIF
    tifffile.imwrite(tmp_path / "0.tif", random(3))  # which says 1, without a unit
    for source in (tmp_path / "300.png", tmp_path / "0.tif"):
        write(photos.read(source), out := tmp_path / "out.png")
        assert round(Image.open(out).info.get("dpi", [0])[0]) == int(source.stem)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_an_orientation_in_xmp_alone_is_seen_by_every_reader(tmp_path, compression):
    tags, source = TiffImagePlugin.ImageFileDirectory_v2(), tmp_path / "a.tif"
    tags[700] = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    of_mode("RGB").save(source, tiffinfo=tags, compression=compression)
    picture = photos.read(source)
    assert (picture.orientation, picture.size) == (6, SHAPE[::-1])
    assert np.array_equal(picture.pixels, np.rot90(random(3), -1))
    write(picture, tmp_path / "b.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), random(3))


def test_a_result_that_reads_otherwise_does_not_take_its_name(tmp_path, monkeypatch):
    source = tmp_path / "in.png"
    Image.fromarray(random(3)).save(source)
    picture, save = photos.read(source), Image.Image.save
    outs = [tmp_path / f"out{suffix}" for suffix in OUTPUTS]
    for out in outs:
        out.write_bytes(b"mine")

    def spoil(image, path, **options):
        pixels = np.array(image)
        pixels[3, 4, 0] ^= 1
        save(Image.fromarray(pixels), path, **options)

    monkeypatch.setattr(Image.Image, "save", spoil)
    for out in outs:
        with pytest.raises(OSError, match="what was written has other pixels"):
            write(picture, out)
    monkeypatch.setattr(Image.Image, "save", lambda image, path, **_: path.write_bytes(b"II*\0no"))
    with pytest.raises(OSError, match="what was written is unreadable"):
        write(picture, tmp_path / "out.tif")
    assert {p for p in tmp_path.iterdir() if p.read_bytes() == b"mine"} == set(outs)
    assert set(tmp_path.iterdir()) == {source, *outs}


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_one_reader_for_training_and_repairing(tmp_path, mode):
    for form in ("PNG", "TIFF"):
        try:
            of_mode(mode).save(tmp_path / "a", format=form)
        except OSError:
            continue
        whole = photos.read(tmp_path / "a").rgb()
        assert np.abs(photos.read_photo(tmp_path / "a") / 255 - whole).max() <= 0.5 / 255 + 1e-6


def test_too_long_for_webp_is_known_before_the_work(tmp_path):
    Image.new("RGB", (17000, 2)).save(tmp_path / "a.png")
    picture = photos.read(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"WebP holds 16383 pixels a side, .*a\.png has 2x17000"):
        storable(picture, tmp_path / "b.webp")
    storable(picture, tmp_path / "b.png")
