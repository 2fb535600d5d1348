"""The command line: python -m pconv_core masks|train|evaluate|inpaint|export|bench --help."""

import argparse
import sys

from pconv_core.commands import bench, evaluate, export, inpaint, masks, train
from pconv_core.training import Preempted

BAD_INPUT = 2
PREEMPTED = 75  # EX_TEMPFAIL of sysexits.h: saved, try again
INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit code, with one line on standard error if it fails."""
    parser = argparse.ArgumentParser(
        prog="python -m pconv_core", description="Image inpainting with partial convolutions."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (masks, train, evaluate, inpaint, export, bench):
        name, summary = module.__name__.rpartition(".")[2], module.__doc__.partition(".\n")[0]
        command = commands.add_parser(name, help=summary, description=module.__doc__)
        module.add(command)
        command.set_defaults(run=module.run)
    given = parser.parse_args(arguments)
    try:
        given.run(given)
    except (ArithmeticError, OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except Preempted as notice:
        print(notice, file=sys.stderr)
        return PREEMPTED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
