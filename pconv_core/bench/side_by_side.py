"""Two trainings at once on one processor, against one alone: how fast each of them is.

Threads of OpenMP that wait for work may spin, and so take the cores from those that have some;
`pconv_core` has them sleep.  Here that is measured, and what it was without.
"""

import json
import os
import subprocess
import sys
import time

import numpy as np
import torch

from pconv_core.bench.networks import random_batch
from pconv_core.losses import InpaintingLoss, VGGFeatures
from pconv_core.models import build_model
from pconv_core.training import Switches, make_objective

SECONDS = 5  # that a training is timed for
WARM_UP = 3  # steps before
SETTINGS = {"batch": 8, "size": 64, "base_channels": 16, "precision": "float32"}


def side_by_side(repeats: int, threads: int = 1, policy: str = "PASSIVE") -> dict:
    """Time one training alone and two at once, taking turns.

    Parameters
    ----------
    repeats : int
    threads : int
        Of each training.
    policy : {"PASSIVE", "ACTIVE"}
        OMP_WAIT_POLICY: whether threads that wait sleep or spin.

    Returns
    -------
    dict
        seconds a step of each of the two (median of both) with its quartiles, reference_seconds
        of the one alone, ratio, ratio_low and ratio_high of the slower one to it (so the speed of
        each is at least 1 / ratio of the lone one's), pairs, and
        images_per_second of both together.
    """
    alone, both = [], []
    for turn in range(repeats):
        for count in (1, 2) if turn % 2 == 0 else (2, 1):
            seconds = _trainings(count, threads, policy)
            (alone if count == 1 else both).append(seconds)
    slower = np.array(both).max(axis=1) / np.ravel(alone)
    row = {"reference_seconds": float(np.median(alone)), "pairs": repeats}
    for name, values in {"seconds": np.ravel(both), "ratio": slower}.items():
        row |= zip((f"{name}_low", name, f"{name}_high"), _quartiles(values), strict=True)
    return {**row, "images_per_second": 2 * SETTINGS["batch"] / row["seconds"]}


def _quartiles(values) -> list[float]:
    return np.quantile(values, [0.25, 0.5, 0.75]).tolist()


def _trainings(count: int, threads: int, policy: str) -> list[float]:
    """Run `count` trainings at once in processes of their own; returns seconds a step of each."""
    environment = {**os.environ, "OMP_WAIT_POLICY": policy, "OMP_NUM_THREADS": str(threads)}
    environment.pop("GOMP_SPINCOUNT", None)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": environment, "text": True}
    command = [sys.executable, "-m", __name__]
    running = [subprocess.Popen(command, **pipes) for _ in range(count)]
    for process in running:
        process.stdout.readline()  # it is ready
    for process in running:
        process.stdin.write("begin\n")
        process.stdin.flush()
    return [json.loads(process.communicate()[0]) for process in running]


def _train() -> None:
    """Say when it is ready, wait for a line, train, and print the seconds a step."""
    batch = random_batch(SETTINGS["batch"], SETTINGS["size"], torch.device("cpu"))
    net = build_model("pconv", SETTINGS["size"], SETTINGS["base_channels"], seed=0).train()
    loss = InpaintingLoss(VGGFeatures("random", 0.125), style_scale=0.125)
    objective = make_objective(net, loss, Switches())
    optimiser = torch.optim.Adam(net.parameters())

    def step():
        optimiser.zero_grad(set_to_none=True)
        objective(*batch)[0].backward()
        optimiser.step()

    for _ in range(WARM_UP):
        step()
    print("ready", flush=True)
    sys.stdin.readline()
    began, steps = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < SECONDS:
        step()
        steps += 1
    print(passed / steps)


if __name__ == "__main__":
    _train()
