"""Turn a checkpoint into a small file of weights to share.

Write the weights of a checkpoint of this project as float16 safetensors: half their size, no
optimiser, no code; inpaint and evaluate read it as a --checkpoint.
"""

from pathlib import Path

from pconv_core.commands import options
from pconv_core.files import weights


def add(command) -> None:
    """Add the options."""
    command.add_argument("--checkpoint", required=True, type=Path, metavar="FILE")
    command.add_argument("--out", required=True, type=Path, metavar="FILE.safetensors")
    options.add_overwrite(command)


def run(given) -> None:
    """Write the file."""
    options.check_results([given.out], given.overwrite)
    weights.export(given.checkpoint, given.out)
    print(f"{given.out}: {given.out.stat().st_size / 1e6:.1f} MB")
