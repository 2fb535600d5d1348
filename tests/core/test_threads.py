"""Waiting threads sleep, and loader processes have one thread each."""

import multiprocessing
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import pconv_core
from pconv_core import data

ROOT = Path(pconv_core.__file__).parents[1]


@pytest.mark.skipif(
    not (Path(find_spec("torch").origin).parent / "lib/libgomp.so.1").exists(),
    reason="this torch brings no libgomp, which can be asked",
)
@pytest.mark.parametrize(("policy", "spins"), [({}, "0"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "")])
def test_waiting_threads_sleep_unless_the_user_says_otherwise(policy, spins):
    """Libgomp shows its settings while it is loaded: it does not spin."""
    kept = {k: v for k, v in os.environ.items() if "OMP" not in k}
    code = "import pconv_core, os; os.environ['OMP_DISPLAY_ENV'] = 'VERBOSE'; import torch"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=kept | policy, capture_output=True, text=True
    )
    assert ("GOMP_SPINCOUNT = '0'" in done.stderr) == (spins == "0")


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
    got = [batch.tolist() for batch in data.batches(Deaf(), 2, 0, 6, workers=2)]
    assert got == [[0, 1], [2, 3], [4, 5]]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []).isdisjoint({signal.SIGTERM, signal.SIGINT})


def test_loader_processes_end_with_their_batches():
    batches = data.batches(Threads(), 2, 0, 18, workers=2)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    assert multiprocessing.active_children() == []


def test_loader_processes_have_one_thread():
    before = cv2.getNumThreads()
    cv2.resize(np.zeros((2000, 2000), np.float32), (1000, 1000), interpolation=cv2.INTER_AREA)
    ((torch_threads, cv2_threads),) = data.batches(Threads(), 2, 0, 2, workers=1)
    assert torch_threads.tolist() == cv2_threads.tolist() == [1, 1]
    assert cv2.getNumThreads() == before
