"""python -m pconv_core masks."""

import argparse

from pconv_core.masks import KINDS, sets


def add(commands) -> None:
    """Add the subcommand."""
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
    command.set_defaults(run=_run)


def _run(given) -> None:
    if given.count is not None and given.count < 1:
        raise ValueError(f"--count is {given.count}; it should be at least 1")
    if given.test_set:
        if given.hole_ratio or given.border is not None:
            raise ValueError("--test-set has its own ratios and borders; leave those options out")
        per_cell = given.count or sets.PAPER_PER_CELL
        entries = sets.paper_test_set(given.seed, given.size, per_cell, given.kind)
    else:
        ratio = tuple(given.hole_ratio or (0.01, 0.6))
        border = given.border is not False
        entries = sets.uniform_set(
            given.count or 100, given.size, ratio, border, given.seed, given.kind
        )
    index = sets.write(entries, given.out)
    print(f"{len(index)} masks and {sets.INDEX} written to {given.out}")
