"""python -m pconv_core bench."""

from pathlib import Path

import pandas as pd

from pconv_core import hardware
from pconv_core.bench import figures, table, time_shares
from pconv_core.files.figure import save
from pconv_core.files.writing import whole


def add(commands) -> None:
    """Add the subcommand."""
    command = commands.add_parser(
        "bench",
        help="measure what the mask costs, and how fast everything else is",
        description="Time the networks, the loss, the masks and the loading on this machine (the "
        "GPU, if there is one) and write MACHINE.csv, MACHINE.png, and steps/MACHINE.csv, the "
        "profile of a training step.",
    )
    command.add_argument("--out", default="results/bench", metavar="DIR", type=Path)
    command.add_argument(
        "--minutes",
        type=float,
        default=17,
        help="what has not begun by then is listed as not measured (default 17)",
    )
    command.add_argument("--pairs", type=int, default=table.PAIRS, help="timings of each side")
    command.add_argument(
        "--only", default="", metavar="NAME", help="renew the rows whose benchmark begins so"
    )
    command.add_argument(
        "--missing", action="store_true", help="measure what an earlier run had no time for"
    )
    command.set_defaults(run=_run)


def _run(given) -> None:
    if given.pairs < 1:
        raise ValueError(f"--pairs is {given.pairs}; it should be at least 1")
    if not (given.only or given.missing):
        _profile(given.out / "steps")
    path = table.run(given.out, given.minutes, given.pairs, given.only, given.missing)
    save(figures.benchmark(pd.read_csv(path)), path.with_suffix(".png"))
    print(f"{path} and {path.with_suffix('.png').name} written")


def _profile(folder: Path) -> None:
    device = hardware.device()
    shares = time_shares.measure(device)
    with whole(folder / f"{table.machine_name(device)}.csv") as unfinished:
        shares.to_csv(unfinished, index=False, float_format="%.2f")
