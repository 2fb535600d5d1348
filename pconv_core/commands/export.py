"""python -m pconv_core export."""

from pathlib import Path

from pconv_core.files import weights


def add(commands) -> None:
    """Add the subcommand."""
    command = commands.add_parser(
        "export",
        help="turn a checkpoint into a small file of weights to share",
        description="Write the weights of a checkpoint of this project as float16 safetensors: "
        "half their size, no optimiser, no code; inpaint and evaluate read it as a --checkpoint.",
    )
    option = command.add_argument
    option("--checkpoint", required=True, type=Path, metavar="FILE")
    option("--out", required=True, type=Path, metavar="FILE.safetensors")
    command.set_defaults(run=_run)


def _run(given) -> None:
    weights.export(given.checkpoint, given.out)
    print(f"{given.out}: {given.out.stat().st_size / 1e6:.1f} MB")
