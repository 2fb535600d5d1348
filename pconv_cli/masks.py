"""Write irregular masks as 1-bit PNG files with an index.

White = known and black = hole; index.csv holds the exact hole ratio of each.
"""

from argparse import BooleanOptionalAction

from pconv_cli import options
from pconv_core.masks.irregular import KINDS, MIN_MASK_SIZE


def add(command) -> None:
    """Add the options."""
    option = command.add_argument
    option("--out", required=True, metavar="DIR", help="a new or empty folder")
    paper = "the paper's 12,000: six bins of hole ratio, with and without border, 1000 each "
    paper += "(--count: another number each)"
    option("--test-set", action="store_true", help=paper)
    option("--count", type=int, help="how many masks (default 100)")
    option("--size", type=int, default=512, help="side in pixels (default 512)")
    option(
        "--hole-ratio",
        type=float,
        nargs=2,
        metavar=("LO", "HI"),
        help="interval of the share of hole pixels, LO < ratio <= HI (default 0.01 0.6)",
    )
    option(
        "--border",
        action=BooleanOptionalAction,
        help="whether holes may touch the border (default); if not, they stay 50/512 of the side "
        "away from it",
    )
    option(
        "--kind",
        choices=KINDS,
        default=KINDS[0],
        help="how holes are made: occlusion, what moving objects hide from one video frame to the "
        "next, the paper's way (default); strokes, of random brushes; thin, scratches, hairs, "
        "letters and specks from one pixel of width on; mixed, two fifths occlusion, two fifths "
        "thin, one fifth strokes",
    )
    option("--seed", type=int, default=0, help="same seed, same bytes (default 0)")


def run(given) -> None:
    """Write the set."""
    # Imported here: --help should not wait for pandas.
    from pconv_cli import mask_sets as sets

    options.check(given, count=1, size=MIN_MASK_SIZE, seed=0)
    if given.test_set:
        if given.hole_ratio or given.border is not None:
            raise ValueError("--test-set has its own ratios and borders; leave those options out")
        per_cell = given.count or sets.PAPER_PER_CELL
        entries = sets.paper_test_set(given.seed, given.size, per_cell, given.kind)
    else:
        ratio = tuple(given.hole_ratio or (0.01, 0.6))
        border = given.border is not False
        count = given.count or 100
        entries = sets.uniform_set(count, given.size, ratio, border, given.seed, given.kind)
    index = sets.write(entries, given.out)
    print(f"{len(index)} masks and {sets.INDEX} written to {given.out}")
