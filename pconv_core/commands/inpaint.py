"""Fill the holes of a photograph, or of a folder of them.

Holes are filled at the photograph's own size; where they are deeper than those of training, a
smaller copy is filled first, and the middle of the hole taken from there.  Known pixels come back
bit for bit, with the orientation and the colour profile of the file.  Without a mask the hole is
what is transparent, wholly or in part.
"""

import sys
from argparse import ArgumentTypeError
from pathlib import Path

import numpy as np
from PIL import ImageColor
from tqdm import tqdm

from pconv_core.commands import options
from pconv_core.files import formats, listing, pictures

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
        help="the holes; in a folder by the names of "
        "the pictures, whatever their endings (default: transparent pixels)",
    )
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
    if given.image.is_dir():
        _repair_folder(given)
        return
    _check_out(given)
    _repair(options.network(given), given, given.image, given.mask, given.out)


def _check_out(given) -> None:
    out = given.out
    if out.is_dir():
        raise ValueError(f"--out is the folder {out}; for one picture it is a file")
    if out.suffix.lower() not in formats.LOSSLESS:
        raise ValueError(
            f"--out is {out}, which would not keep the known pixels as they are; "
            f"it should end in {', '.join(sorted(formats.LOSSLESS))}"
        )
    if not given.overwrite and out.exists() and given.image.exists() and out.samefile(given.image):
        raise ValueError(f"--out is the picture {given.image} itself; --overwrite replaces it")
    options.check_results([out], given.overwrite)


def _repair_folder(given) -> None:
    jobs = _jobs(given)
    if skipped := listing.others(given.image):
        names = ", ".join(p.name for p in skipped[:_SHOWN]) + ", ..." * (len(skipped) > _SHOWN)
        _say("note", f"skipped {len(skipped)} that do not end in {formats.ENDINGS}: {names}")
    net = options.network(given)
    refused = []
    for image, out in tqdm(jobs, desc="inpaint", unit="picture", leave=False):
        try:
            mask = given.mask and listing.mask_of(image, given.mask)
            _repair(net, given, image, mask, out)
        except (OSError, ValueError) as error:
            # One bad picture must not cost the others; all are named at the end.
            refused.append(str(error))
    for message in refused:
        _say("left out", message)
    print(f"{len(jobs) - len(refused)} of {len(jobs)} pictures written to {given.out}")
    if refused:
        raise ValueError(f"{len(refused)} of {len(jobs)} pictures were left out, see above")


def _jobs(given) -> list[tuple[Path, Path]]:
    """List what to do for a folder, (picture, result), or refuse before anything is done."""
    images, masks, out = given.image, given.mask, given.out
    if masks is not None and not masks.is_dir():
        raise ValueError(f"--mask is {masks}; for a folder of pictures it is a folder")
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out is the file {out}; for a folder of pictures it is a folder")
    if not given.overwrite and out.exists() and out.samefile(images):
        raise ValueError(f"--out is the folder {images} itself; --overwrite writes into it")
    results = {}
    for image in listing.pictures(images, "*"):
        other = results.setdefault(out / f"{image.stem}.png", image)
        if other != image:
            raise ValueError(
                f"{images} holds {other.name} and {image.name}, which would both be written to "
                f"{image.stem}.png; they should have names of their own"
            )
    options.check_results(list(results), given.overwrite)
    return [(image, result) for result, image in results.items()]


def _repair(net, given, image: Path, mask: Path | None, out: Path) -> None:
    # Imported here: --help should not wait for torch.
    from pconv_core import inpainting

    picture = pictures.read(image)
    hole = _implied(picture, given) if mask is None else _marked(picture, mask, given.mask_hole)
    if hole.all():
        raise ValueError(f"{image} is hole all over; some of it should be known")
    filled = inpainting.inpaint(net, picture.rgb(), hole)
    inpainting.check_numbers(filled, given.checkpoint, image)
    pictures.write(picture.filled(filled, hole), out)


def _marked(picture: pictures.Picture, mask: Path, colour: str) -> np.ndarray:
    hole = pictures.read_hole(mask, picture.size, colour)
    if hole.mean() > _LARGE_HOLE:
        other = "white" if colour == "black" else "black"
        _say(
            "warning",
            f"the hole is {hole.mean():.0%} of {picture.path}; if the mask marks the hole the "
            f"other way round, say --mask-hole {other}",
        )
    return hole


def _implied(picture: pictures.Picture, given) -> np.ndarray:
    try:
        hole, what = picture.implied_hole(given.hole_colour)
    except ValueError as error:
        if given.hole_colour is not None:
            raise
        raise ValueError(
            f"{error}; its hole should be marked by --mask, or by a colour: --hole-colour black"
        ) from None
    _say("note", f"no mask for {picture.path}; its {what} are the hole")
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


def _say(kind: str, message: str) -> None:
    print(f"{kind}: {message}", file=sys.stderr)
