"""Waiting threads sleep, and loader processes have one thread each."""

import ast
import multiprocessing
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pytest
import torch

import pconv_core
from pconv_core import data

ROOT = Path(pconv_core.__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "pconv_core").rglob("*.py")
)
# Imports a module, and tells what the environment says when it comes to torch, or is done.
FIRST_TORCH = """
import importlib, os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("OMP_WAIT_POLICY"))
            sys.stdout.flush()
            os._exit(0)
sys.meta_path.insert(0, Finder())
importlib.import_module(sys.argv[1])
print(os.environ.get("OMP_WAIT_POLICY"))
"""


def told(module, **variables):
    """What OMP_WAIT_POLICY is when the import of a module comes to torch, or is done."""
    kept = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", FIRST_TORCH, module]
    done = subprocess.run(
        command, cwd=ROOT, env={**kept, **variables}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("module", [m for m in MODULES if m.count(".") <= 1])
def test_waiting_is_passive_before_torch_is_there(module):
    assert told(module) == "PASSIVE"


def test_what_the_user_set_stays():
    assert told("pconv_core.training", OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"


@pytest.mark.skipif(
    not (Path(find_spec("torch").origin).parent / "lib/libgomp.so.1").exists(),
    reason="this torch brings no libgomp, which can be asked",
)
def test_openmp_heard_it():
    """Libgomp shows its settings while it is loaded: it does not spin."""
    variables = {k: v for k, v in os.environ.items() if "OMP" not in k}
    code = "import pconv_core, os; os.environ['OMP_DISPLAY_ENV'] = 'VERBOSE'; import torch"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=variables, capture_output=True, text=True
    )
    assert "GOMP_SPINCOUNT = '0'" in done.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_no_notebook_imports_torch_before_ours(path):
    cells = nbformat.read(path, as_version=4).cells
    code = "\n".join(c.source for c in cells if c.cell_type == "code")
    lines = {}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            name = getattr(node, "module", None) or node.names[0].name
            lines.setdefault(name.partition(".")[0], node.lineno)
    assert lines["pconv_core"] < lines.get("torch", float("inf"))


class Threads(torch.utils.data.Dataset):
    """Samples that are the threads of the process that makes them."""

    def __getitem__(self, number):
        return torch.get_num_threads(), cv2.getNumThreads()


class Deaf(torch.utils.data.Dataset):
    """Samples made by a process that gets SIGTERM and SIGINT each time."""

    def __getitem__(self, number):
        for notice in (signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), notice)
        return number


def test_loader_processes_ignore_what_comes_to_the_whole_group():
    got = [batch.tolist() for batch in data.batches(Deaf(), 2, 0, 3, workers=2)]
    assert got == [[0, 1], [2, 3], [4, 5]]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []).isdisjoint({signal.SIGTERM, signal.SIGINT})


def test_loader_processes_end_with_their_batches():
    batches = data.batches(Threads(), 2, 0, 9, workers=2)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    assert multiprocessing.active_children() == []


def test_loader_processes_have_one_thread():
    before = cv2.getNumThreads()
    # Threads that OpenCV has begun are not there in a forked process.
    cv2.resize(np.zeros((2000, 2000), np.float32), (1000, 1000), interpolation=cv2.INTER_AREA)
    ((torch_threads, cv2_threads),) = data.batches(Threads(), 2, 0, 1, workers=1)
    assert torch_threads.tolist() == [1, 1]
    assert cv2_threads.tolist() == [1, 1]
    assert cv2.getNumThreads() == before
