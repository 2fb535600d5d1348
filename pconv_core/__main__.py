"""The command line: python -m pconv_core masks|bench --help."""

import argparse
import sys
from pathlib import Path

import pandas as pd

from pconv_core import bench, figures, mask_sets
from pconv_core.masks import KINDS


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit code, 2 with one line on standard error if it fails."""
    parser = argparse.ArgumentParser(
        prog="python -m pconv_core", description="Image inpainting with partial convolutions."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_masks(commands)
    _add_bench(commands)
    given = parser.parse_args(arguments)
    try:
        given.run(given)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _add_masks(commands) -> None:
    command = commands.add_parser(
        "masks",
        help="write irregular masks as 1-bit PNG files with an index",
        description="Write irregular masks, white = known and black = hole, as 1-bit PNG files, "
        "and index.csv with the exact hole ratio of each.",
    )
    command.add_argument("--out", required=True, metavar="DIR", help="a new or empty folder")
    command.add_argument(
        "--test-set",
        action="store_true",
        help="the paper's 12,000: six bins of hole ratio, with and without border, 1000 each "
        "(--count: another number each)",
    )
    command.add_argument("--count", type=int, help="how many masks (default 100)")
    command.add_argument("--size", type=int, default=512, help="side in pixels (default 512)")
    command.add_argument(
        "--hole-ratio",
        type=float,
        nargs=2,
        metavar=("LO", "HI"),
        help="interval of the share of hole pixels, LO < ratio <= HI (default 0.01 0.6)",
    )
    command.add_argument(
        "--border",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether holes may touch the border (default); if not, they stay 50/512 of the side "
        "away from it",
    )
    command.add_argument("--kind", choices=KINDS, default=KINDS[0], help="how holes are made")
    command.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default 0)")
    command.set_defaults(run=_masks)


def _masks(given) -> None:
    if given.count is not None and given.count < 1:
        raise ValueError(f"--count is {given.count}; it should be at least 1")
    if given.test_set:
        if given.hole_ratio or given.border is not None:
            raise ValueError("--test-set has its own ratios and borders; leave those options out")
        per_cell = given.count or mask_sets.PAPER_PER_CELL
        entries = mask_sets.paper_test_set(given.seed, given.size, per_cell, given.kind)
    else:
        ratio = tuple(given.hole_ratio or (0.01, 0.6))
        border = given.border is not False
        entries = mask_sets.uniform_set(
            given.count or 100, given.size, ratio, border, given.seed, given.kind
        )
    index = mask_sets.write(entries, given.out)
    print(f"{len(index)} masks and {mask_sets.INDEX} written to {given.out}")


def _add_bench(commands) -> None:
    command = commands.add_parser(
        "bench",
        help="measure what the mask costs, and how fast everything else is",
        description="Time the networks, the loss, the masks and the loading on this machine (the "
        "GPU, if there is one) and write MACHINE.csv and MACHINE.png.",
    )
    command.add_argument("--out", default="results/bench", metavar="DIR", type=Path)
    command.add_argument(
        "--minutes",
        type=float,
        default=18,
        help="what has not begun by then is listed as not measured (default 18)",
    )
    command.add_argument("--pairs", type=int, default=bench.PAIRS, help="timings of each side")
    command.add_argument(
        "--only", default="", metavar="NAME", help="renew the rows whose benchmark begins so"
    )
    command.set_defaults(run=_bench)


def _bench(given) -> None:
    if given.pairs < 1:
        raise ValueError(f"--pairs is {given.pairs}; it should be at least 1")
    path = bench.run(given.out, given.minutes, given.pairs, given.only)
    figures.save(figures.benchmark(pd.read_csv(path)), path.with_suffix(".png"))
    print(f"{path} and {path.with_suffix('.png').name} written")


if __name__ == "__main__":
    sys.exit(main())
