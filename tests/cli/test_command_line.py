"""The command line as a whole: what it says, and that it starts and ends without delay."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pconv_core
from pconv_cli.__main__ import COMMANDS

ROOT = Path(pconv_core.__file__).parents[1]
# Runs the command line as `python -m pconv_cli` does; then tells which packages were imported.
IMPORTED = """
import runpy, sys
try:
    runpy.run_module("pconv_cli", run_name="__main__", alter_sys=True)
finally:
    print("imported:", *sorted(sys.modules))
"""
# The same, but Ctrl-C comes when torch is about to be imported.
INTERRUPTED = """
import os, runpy, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:  # lost, as in an extension module that is begun
                raise ImportError("lost") from None
sys.meta_path.insert(0, Finder())
runpy.run_module("pconv_cli", run_name="__main__", alter_sys=True)
"""


def run(script, *arguments):
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def imported(done):
    return set(done.stdout.rpartition("imported:")[2].split())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_one_command_imports_neither_torch_nor_the_others(name):
    done = run(IMPORTED, name, "--help")
    assert "options:" in done.stdout
    others = {f"pconv_cli.{other}" for other in COMMANDS if other != name}
    assert imported(done).isdisjoint(others | {"torch", "torchvision", "matplotlib", "pandas"})


@pytest.mark.parametrize(
    "arguments",
    [("train", "--images", "embedded", "--checkpoint"), ("inpaint", "--image", "none", "--out")],
)
def test_ctrl_c_during_the_imports_is_one_line(arguments):
    done = run(INTERRUPTED, *arguments, "none.png")
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "interrupted\n")
