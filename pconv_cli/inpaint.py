"""Fill the holes of a photograph, or of a folder of them.

Holes are filled at the photograph's own size; where they are deeper than those of training, a
smaller copy is filled first, and the middle of the hole taken from there.  Known pixels come back
bit for bit, with the orientation and the colour profile of the file.  Without a mask the hole is
what is transparent, wholly or in part.  In a folder the mask of a.jpg is a.png, whatever the
ending, a.jpg.png, a_mask.png or a_mask001.png, and may lie beside it; or one mask is for all.
"""

from argparse import ArgumentTypeError
from pathlib import Path

import numpy as np
from PIL import ImageColor
from tqdm import tqdm

from pconv_cli import files, options, pictures, texture
from pconv_cli.errors import left_out, say
from pconv_core import photos

_LARGE_HOLE = 0.8
_SHOWN = 5  # names in a message


def add(command) -> None:
    """Add the options."""
    options.add(command)
    option = command.add_argument
    option("--image", required=True, type=Path, metavar="FILE|DIR", help="what to repair")
    option(
        "--mask",
        type=Path,
        metavar="FILE|DIR",
        help="the holes; a folder of masks with the names of the pictures, or one mask for all "
        "(default: transparent pixels)",
    )
    rim = "enlarge the holes by so many pixels, against a rim of old colour (default 0)"
    option("--grow", type=float, default=0, metavar="PIXELS", help=rim)
    texture.add(command)
    option(
        "--hole-colour",
        type=_colour,
        metavar="COLOUR",
        help="without --mask: the pixels of exactly this colour are the hole, not the transparent "
        "ones; black, or RRGGBB in hexadecimal",
    )
    lossless = "where to write; .png, .tif, .bmp or .webp, which lose nothing; a folder gets .png"
    option("--out", required=True, type=Path, metavar="FILE|DIR", help=lossless)
    options.add_overwrite(command)


def run(given) -> None:
    """Repair the pictures."""
    if given.mask is not None and given.hole_colour is not None:
        raise ValueError("--hole-colour is for pictures without --mask; it should be one of them")
    options.check(given, grow=0)
    texture.check(given.texture)
    if given.image.is_dir():
        _repair_folder(given)
        return
    _check_out(given)
    mask = given.mask and files.Masks(given.mask).of(given.image, given.image.parent)
    _repair(lambda: options.network(given), given, given.image, mask, given.out)


def _check_out(given) -> None:
    out = given.out
    if out.is_dir():
        raise ValueError(f"--out is the folder {out}; for one picture it is a file")
    if not given.overwrite and out.exists() and given.image.exists() and out.samefile(given.image):
        raise ValueError(f"--out is the picture {given.image} itself; --overwrite replaces it")
    options.check_results([out], given.overwrite)


def _repair_folder(given) -> None:
    jobs, beside = _jobs(given)
    if skipped := files.others(given.image):
        say("note", f"skipped {len(skipped)} that do not end in {photos.ENDINGS}: {_some(skipped)}")
    if beside:
        say("note", f"skipped {len(beside)} that are masks by their names: {_some(beside)}")
    masks = given.mask and files.Masks(given.mask)
    net = options.network(given)
    refused = []
    for image, out in tqdm(jobs, desc="inpaint", unit="picture", leave=False):
        with left_out(image, refused):
            mask = masks and masks.of(image, given.image)
            _repair(lambda: net, given, image, mask, out)
    for message in refused:
        say("left out", message)
    print(f"{len(jobs) - len(refused)} of {len(jobs)} pictures written to {given.out}")
    if refused:
        raise ValueError(f"{len(refused)} of {len(jobs)} pictures were left out, see above")


def _jobs(given) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """List what to do for a folder, (picture, result), and the masks that lie in it.

    Or refuse before anything is done.
    """
    images, out = given.image, given.out
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out is the file {out}; for a folder of pictures it is a folder")
    if not given.overwrite and out.exists() and out.samefile(images):
        raise ValueError(f"--out is the folder {images} itself; --overwrite writes into it")
    results = {}
    found, masks = files.parted(files.pictures(images, deep=False))
    for image in found:
        other = results.setdefault(out / f"{image.stem}.png", image)
        if other != image:
            raise ValueError(
                f"{images} holds {other.name} and {image.name}, which would both be written to "
                f"{image.stem}.png; they should have names of their own"
            )
    options.check_results(list(results), given.overwrite)
    return [(image, result) for result, image in results.items()], masks


def _repair(network, given, image: Path, mask: Path | None, out: Path) -> None:
    # Imported here: --help should not wait for torch.
    from pconv_core import inpainting
    from pconv_core.masks.shape import depth

    picture = photos.read(image)
    unkept = pictures.unkept(picture, out)  # or an error, before the work
    hole = _implied(picture, given) if mask is None else _marked(picture, mask, given.mask_hole)
    if given.grow and not hole.all():
        hole |= depth(~hole) <= given.grow
    # What is wholly transparent is not there to be seen, even if it stays as it is.
    unknown = hole if picture.alpha is None else hole | (picture.alpha == 0)
    if unknown.all():
        raise ValueError(f"{image} is hole all over; some of it should be known")
    if mask is not None and out.exists() and out.samefile(mask):
        raise ValueError(f"{out} is the mask {mask} itself; the result should go elsewhere")
    if picture.several and out.exists() and out.samefile(image):
        raise ValueError(f"{image} holds several pictures, of which it would keep the first alone")
    if picture.several:
        say("note", f"{image} holds several pictures, of which the first is repaired")
    if picture.inks and not out.suffix.lower().startswith(".tif"):
        say("note", f"{image} is CMYK and is written as RGB; .tif would keep its inks")
    if unkept:
        say("note", f"{out} does not keep the {' nor the '.join(unkept)} of {image}")
    net = network()
    filled = inpainting.inpaint(net, picture.rgb(), unknown, overwrite=True)
    options.check_numbers(filled, given.checkpoint, image)
    filled = texture.textured(filled, unknown, given.texture)
    pictures.write(pictures.filled(picture, filled, hole), out)


def _marked(picture: photos.Picture, mask: Path, colour: str) -> np.ndarray:
    hole = photos.read_hole(mask, picture.size, colour)
    if hole.mean() > _LARGE_HOLE:
        other = "white" if colour == "black" else "black"
        say(
            "warning",
            f"the hole is {hole.mean():.0%} of {picture.path}; if the mask marks the hole the "
            f"other way round, say --mask-hole {other}",
        )
    return hole


def _implied(picture: photos.Picture, given) -> np.ndarray:
    try:
        hole, what = pictures.implied_hole(picture, given.hole_colour)
    except ValueError as error:
        if given.hole_colour is not None:
            raise
        raise ValueError(
            f"{error}; its hole should be marked by --mask, or by a colour: --hole-colour black"
        ) from None
    say("note", f"no mask for {picture.path}; its {what} are the hole")
    return hole


def _colour(text: str) -> tuple[int, int, int]:
    """Read the name of a colour, or RRGGBB in hexadecimal."""
    for spelling in (text, f"#{text}"):
        try:
            red, green, blue = ImageColor.getrgb(spelling)
        except ValueError:
            continue
        return red, green, blue
    raise ArgumentTypeError(f"{text} is no colour; it should be black, say, or ff00ff")


def _some(paths: list[Path]) -> str:
    return ", ".join(p.name for p in paths[:_SHOWN]) + ", ..." * (len(paths) > _SHOWN)
