"""The command line: pconv, or python -m pconv_cli, inpaint|evaluate|train|masks|export --help."""

import argparse
import ast
import os
import signal
import sys
from importlib import import_module
from pathlib import Path

from pconv_cli.errors import line, say

COMMANDS = ("inpaint", "evaluate", "train", "masks", "export")
BAD_INPUT = 2
INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit code, with one line on standard error if it fails.

    Without arguments those of the process are taken, and Ctrl-C and names that are not UTF-8 are
    seen to, as a process has them.
    """
    if arguments is not None:
        return _call(arguments)
    for stream in filter(None, (sys.stdout, sys.stderr)):  # or they are closed
        stream.reconfigure(errors="backslashreplace")
    # Unless it is ignored, as of a process in the background.
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard:
        signal.signal(signal.SIGINT, _interrupt)
    code = _call(sys.argv[1:])
    if heard:
        signal.signal(signal.SIGINT, _leave)
    return code


def _call(arguments: list[str]) -> int:
    try:
        given = _parse(arguments)
        return given.run(given) or 0
    except Exception as error:
        say("error", line(error))
        return BAD_INPUT
    except KeyboardInterrupt as notice:
        print(str(notice) or "interrupted", file=sys.stderr)
        return INTERRUPTED


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Read the arguments; only the command that is called is imported, which takes seconds."""
    parser = argparse.ArgumentParser(
        prog="pconv", description="Image inpainting with partial convolutions."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in COMMANDS:
        about = _about(name)
        summary = about.partition(".\n")[0]
        command = commands.add_parser(name, help=summary, description=about)
        if arguments[:1] == [name]:
            module = import_module(f"pconv_cli.{name}")
            module.add(command)
            command.set_defaults(run=module.run)
    return parser.parse_args(arguments)


def _about(name: str) -> str:
    """Read the docstring of a command from its source."""
    source = Path(__file__).with_name(f"{name}.py")
    return ast.get_docstring(ast.parse(source.read_bytes())) or ""


def _leave(*_) -> None:
    """End at once, in one line."""
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


def _interrupt(_number: int, frame) -> None:
    """Raise KeyboardInterrupt, but not within an import, which may lose it or print a traceback."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _leave()
        frame = frame.f_back
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
