"""The command line as a whole: what it says, and that it starts and ends without delay."""

import ast
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pconv_core
from pconv_cli.__main__ import COMMANDS, main
from pconv_core import training
from pconv_core.models import MODELS
from pconv_core.training import PRECISION_CHOICES

ROOT = Path(pconv_core.__file__).parents[1]
HEAVY = {"torch", "torchvision", "matplotlib", "pandas", "cv2", "numpy", "PIL"}
# Runs the command line as `python -m pconv_cli` does; then tells which packages were imported.
IMPORTED = """
import runpy, sys
try:
    runpy.run_module("pconv_cli", run_name="__main__", alter_sys=True)
finally:
    print("imported:", *sorted(sys.modules))
"""
# Imports all there is of the tool, within functions too.
EVERYTHING = """
import ast, pathlib
from importlib import import_module
for path in sorted(pathlib.Path("pconv_cli").glob("*.py")):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            import_module(node.module)
    import_module(f"pconv_cli.{path.stem}") if path.stem != "__main__" else None
print("imported:", *sorted(sys.modules))
"""
# The same, but Ctrl-C comes when a package is about to be imported.
INTERRUPTED = """
import os, runpy, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == PACKAGE:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
runpy.run_module("pconv_cli", run_name="__main__", alter_sys=True)
"""


def run(script, *arguments):
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def imported(done):
    return set(done.stdout.rpartition("imported:")[2].split())


@pytest.mark.parametrize("arguments", [["--help"], [], ["nonsense"]], ids=["help", "none", "wrong"])
def test_the_overview_imports_no_command(arguments):
    done = run(IMPORTED, *arguments)
    assert done.returncode == (0 if arguments == ["--help"] else 2)
    assert "argparse" in imported(done)
    assert imported(done).isdisjoint(HEAVY)
    assert "Traceback" not in done.stderr


def test_the_overview_has_the_summary_of_each_command():
    said = " ".join(run(IMPORTED, "--help").stdout.split())
    for name in COMMANDS:
        source = (ROOT / "pconv_cli" / f"{name}.py").read_text()
        first = " ".join(ast.get_docstring(ast.parse(source)).split("\n")[0].split())
        assert f"{name} {first.rstrip('.')}" in said


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_one_command_imports_neither_torch_nor_the_others(name):
    done = run(IMPORTED, name, "--help")
    assert "options:" in done.stdout
    others = {f"pconv_cli.{other}" for other in COMMANDS if other != name}
    assert imported(done).isdisjoint(others | {"torch", "torchvision", "matplotlib", "pandas"})


@pytest.mark.parametrize("package", ["numpy", "torch", "torchvision"])
def test_ctrl_c_during_the_imports_is_one_line(package):
    script = INTERRUPTED.replace("PACKAGE", repr(package))
    done = run(script, "train", "--images", "embedded", "--checkpoint", "none.pt")
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr == "interrupted\n"


def test_ctrl_c_that_an_import_would_lose_is_one_line_within_the_work_too(tmp_path):
    """Extension modules that are begun turn KeyboardInterrupt into ImportError."""
    lost = """
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                raise ImportError("lost") from None
"""
    script = INTERRUPTED.replace("            os.kill(os.getpid(), signal.SIGINT)\n", lost[1:])
    files = [f"{tmp_path}/{name}.png" for name in ("photo", "mask", "out")]
    options = ("--image", "--mask", "--out")
    pairs = [a for pair in zip(options, files, strict=True) for a in pair]
    done = run(script.replace("PACKAGE", "'torch'"), "inpaint", *pairs)
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr == "interrupted\n"


@pytest.mark.parametrize("decay", ["1.1", "-0.1", "nan"])
def test_a_decay_that_is_none_is_one_line_before_the_first_step(
    tmp_path, capsys, monkeypatch, decay
):
    monkeypatch.setattr(training, "train", None)  # calling it would be a TypeError
    named = ["--images", "embedded", "--checkpoint", str(tmp_path / "net.pt")]
    assert main(["train", *named, "--average", decay]) == 2
    assert capsys.readouterr().err == f"error: --average is {decay}; it should be in [0, 1]\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("weight", ["-0.1", "nan"])
def test_a_perceptual_weight_below_0_is_refused(tmp_path, capsys, weight):
    named = ["--images", "embedded", "--checkpoint", str(tmp_path / "a.pt")]
    assert main(["train", *named, "--lambda-perceptual", weight]) == 2
    assert f"--lambda-perceptual is {weight}; it should be at least 0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_help_of_train_names_what_is_where_torch_is():
    said = run(IMPORTED, "train", "--help").stdout
    assert set(MODELS) | set(PRECISION_CHOICES) <= set(re.findall(r"[\w-]+", said))


def test_the_tool_knows_nothing_of_the_study():
    done = run("import sys\nfrom pconv_cli.__main__ import main\n" + EVERYTHING)
    assert done.returncode == 0, done.stderr
    found = imported(done)
    assert {"pconv_cli.train", "pconv_cli.preview", "pconv_cli.onnx"} <= found
    assert not [name for name in found if name.startswith("pconv_study")]
