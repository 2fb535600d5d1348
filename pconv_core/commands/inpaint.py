"""Fill the holes of a photograph, or of a folder of them.

Holes are filled at the photograph's own size.  Known pixels come back bit for bit, with the
orientation and the colour profile of the file.
"""

import sys
from pathlib import Path

from tqdm import tqdm

from pconv_core import inpainting
from pconv_core.commands import options
from pconv_core.files import listing, pictures

_LARGE_HOLE = 0.8


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
        "the pictures (default: transparent pixels, else pure black ones)",
    )
    lossless = "where to write; .png, .tif, .bmp or .webp, which lose nothing"
    option("--out", required=True, type=Path, metavar="FILE|DIR", help=lossless)


def run(given) -> None:
    """Repair the pictures."""
    net = options.network(given)
    if not given.image.is_dir():
        _repair(net, given, given.image, given.mask, given.out)
        return
    jobs = _jobs(given.image, given.mask, given.out)
    refused = []
    for job in tqdm(jobs, desc="inpaint", unit="picture", leave=False):
        try:
            _repair(net, given, *job)
        except (OSError, ValueError) as error:
            # One bad picture must not cost the others; all are named at the end.
            refused.append(str(error))
    for message in refused:
        print(f"left out: {message}", file=sys.stderr)
    print(f"{len(jobs) - len(refused)} of {len(jobs)} pictures written to {given.out}")
    if refused:
        raise ValueError(f"{len(refused)} of {len(jobs)} pictures were left out, see above")


def _jobs(images: Path, masks: Path | None, out: Path) -> list[tuple[Path, Path | None, Path]]:
    """List what to do for a folder: (picture, mask, result)."""
    found = listing.pictures(images, "*")
    if masks is not None and not masks.is_dir():
        raise ValueError(f"--mask is {masks}; for a folder of pictures it is a folder")
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out is the file {out}; for a folder of pictures it is a folder")
    return [(p, masks and _mask_of(p, masks), out / f"{p.stem}.png") for p in found]


def _mask_of(image: Path, masks: Path) -> Path:
    """The mask in a folder that has the picture's name, whatever its ending."""
    for path in sorted(masks.glob("*")):
        if path.stem == image.stem and path.suffix.lower() in pictures.SUFFIXES:
            return path
    return masks / f"{image.stem}.png"  # missing, and named so when it is read


def _repair(net, given, image: Path, mask: Path | None, out: Path) -> None:
    if out.suffix.lower() not in pictures.LOSSLESS:
        raise ValueError(
            f"--out is {out}, which would not keep the known pixels as they are; "
            f"it should end in {', '.join(sorted(pictures.LOSSLESS))}"
        )
    picture = pictures.read(image)
    if mask is not None:
        hole = pictures.read_hole(mask, picture.size, given.mask_hole)
    else:
        hole, source = picture.implied_hole()
        _warn(f"no mask for {image}; its {int(hole.sum())} {source} pixels are the hole")
    if hole.mean() > _LARGE_HOLE:
        other = "white" if given.mask_hole == "black" else "black"
        _warn(
            f"the hole is {hole.mean():.0%} of {image}; if the mask marks the hole the other way "
            f"round, say --mask-hole {other}"
        )
    if hole.all():
        raise ValueError(f"{image} is hole all over; some of it should be known")
    filled = inpainting.inpaint(net, picture.rgb(), hole)
    inpainting.check_numbers(filled, given.checkpoint, image)
    pictures.write(picture.filled(filled, hole), out)


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)
