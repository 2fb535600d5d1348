"""Measure what the mask costs, and how fast everything else is.

Time the networks, the loss, the masks and the loading on this machine (the GPU, if there is one),
on a processor two trainings at once too, and write MACHINE.csv, MACHINE.png, and
steps/MACHINE.csv, the profile of a training step.
"""

from pathlib import Path

from pconv_core.commands import options
from pconv_core.files.writing import whole


def add(command) -> None:
    """Add the options."""
    option = command.add_argument
    option("--out", default="results/bench", metavar="DIR", type=Path)
    late = "what has not begun by then is listed as not measured (default 17)"
    option("--minutes", type=float, default=17, help=late)
    option("--pairs", type=int, default=7, help="timings of each side (default 7)")
    some = "renew the rows whose benchmark begins so, or whose note: 'not measured'"
    option("--only", default="", metavar="NAME", help=some)


def run(given) -> None:
    """Write the tables and the figure."""
    # Imported here: --help should not wait for torch.
    import pandas as pd

    from pconv_core import hardware
    from pconv_core.bench import figures, table, time_shares
    from pconv_core.files.figure import save

    options.check(given, pairs=1)
    if not given.only:
        device = hardware.device()
        shares = time_shares.measure(device)
        with whole(given.out / "steps" / f"{table.machine_name(device)}.csv") as unfinished:
            shares.to_csv(unfinished, index=False, float_format="%.2f")
    path = table.run(given.out, given.minutes, given.pairs, given.only)
    save(figures.benchmark(pd.read_csv(path)), path.with_suffix(".png"))
    print(f"{path} and {path.with_suffix('.png').name} written")
