"""What `plan` measures, each in a process of its own, which prints it as a line of JSON.

python -m pconv_core.study.plan_measures training SETTINGS FOLDER pconv 64
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pconv_core import data, evaluation, hardware
from pconv_core.files import checkpoints
from pconv_core.masks import BINS, KINDS, random_mask
from pconv_core.models import InpaintingNet, build_model
from pconv_core.study import deviation_runs, mask_shapes
from pconv_core.study.deviations import DEVIATIONS
from pconv_core.study.profile import Profile
from pconv_core.study.run import STAGES, Study

TIMED = 5.0  # seconds of steps, about, from which those of a stage are taken
FEWEST, MOST = 4, 60  # steps
QUICK = 2.0  # seconds; what takes less for twelve pictures is measured on more
CELLS = 2 * len(BINS)


def training(study: Study, model: str, size: int) -> dict:
    """Train a network through all stages, a few steps of each.

    Returns
    -------
    dict
        step: by stage, seconds a step.  start: seconds of a training beside its steps.  save,
        weights, checkpoint: see `_checkpoint`.  memory: bytes at the peak, of a GPU its own.
    """
    few = _short(study, FEWEST)
    few.train(model, size, STAGES[0])
    rough, _ = _noted(few, model, size, STAGES[0])
    short = _short(study, int(np.clip(TIMED / rough, FEWEST, MOST)))
    steps, starts, peaks = {}, [], []
    for stage in STAGES:
        began = time.perf_counter()
        net = short.train(model, size, stage)
        passed = time.perf_counter() - began
        steps[stage], peak = _noted(short, model, size, stage)
        starts.append(passed - short.steps(stage) * steps[stage])
        peaks.append(peak)
    start = max(0.0, float(np.median(starts)))
    return {"step": steps, "start": start, "memory": max(peaks), **_checkpoint(study, net)}


def _short(study: Study, steps: int) -> Study:
    """The study with so many steps a stage, of which the first quarter does not count."""
    lengths = dict.fromkeys(("stage1_steps", "stage2_steps", "finetune_steps"), steps)
    changes = {**lengths, "record_every": max(2, steps // 4), "checkpoint_every": 2 * steps}
    return Study(replace(study.profile, **changes, name_hardware=True), study.results)


def _noted(study: Study, model: str, size: int, stage: str) -> tuple[float, float]:
    """Seconds a step and bytes of memory, as the study notes them."""
    row = pd.read_csv(study.output / "logs" / f"{model}{size}_{stage}_time.csv").iloc[0]
    return 60 * row["minutes"] / study.steps(stage), row["peak_gb"] * 1e9


def _checkpoint(study: Study, net: InpaintingNet) -> dict[str, float]:
    """Seconds to save weights and Adam's two moments; bytes of it and of the weights alone."""
    path = study.output / "unfinished" / "size.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    state = net.state_dict()
    weights = sum(w.numel() * w.element_size() for w in state.values())
    began = time.perf_counter()
    checkpoints.write(path, {"model": state, "first": state, "second": state})
    return {"save": time.perf_counter() - began, "weights": weights, "checkpoint": 3 * weights}


def rest(study: Study) -> dict:
    """Measure all that is no training.

    Returns
    -------
    dict
        picture: seconds to measure a picture, by method.  towards: seconds a picture of
        `evaluation.towards_input`.  mask, shape: seconds to draw a mask, by kind, of the size of
        training and of that whose shape is measured.  figure: seconds to
        draw and write one.  photograph: seconds in which the baselines repair that of chapter 9.
        deviations: seconds of chapter 8's brief runs, if it is the demo's.  memory: bytes.
    """
    p = study.profile
    nets = {m: build_model(m, p.size, p.base_channels, p.seed) for m in study.models}
    fills = {m: evaluation.network_fill(net.to(study.device)) for m, net in nets.items()}
    picture = {
        name: _a_picture(study, lambda short, fill=fill: short.evaluate({"": fill}, p.size))
        for name, fill in {**fills, **evaluation.BASELINES}.items()
    }
    colour = evaluation.hole_colour(nets["pconv"])
    towards = _a_picture(
        study, lambda s: evaluation.towards_input(fills["pconv"], s.evaluation_set(p.size), colour)
    )
    few = _cells(study, 1)
    figure = _seconds(lambda: study.save_figure(few.examples_figure(nets, p.size), "plan"))
    return {
        "picture": picture,
        "towards": towards,
        "mask": {kind: _a_mask(p.size, p.seed, kind) for kind in KINDS},
        "shape": {kind: _a_mask(mask_shapes.SIZE, p.seed, kind) for kind in KINDS},
        "figure": figure,
        "photograph": _photograph(p),
        "deviations": _deviations(study) if p.profile == "demo" else 0.0,
        "memory": hardware.peak_memory(study.device),
    }


def _cells(study: Study, per_cell: int) -> Study:
    return Study(replace(study.profile, test_per_cell=per_cell), study.results)


def _a_picture(study: Study, measure: Callable[[Study], object]) -> float:
    """Seconds a test picture takes; the quick ones are measured on several of each cell."""
    seconds, count = _seconds(lambda: measure(_cells(study, 1))), 1
    if seconds < QUICK:
        count = min(8, study.profile.test_per_cell)
        seconds = _seconds(lambda: measure(_cells(study, count)))
    return seconds / (CELLS * count)


def _a_mask(size: int, seed: int, kind: str) -> float:
    cells = [(ratio, border, k) for ratio in BINS for border in (True, False) for k in range(4)]
    draw = [lambda c=c: random_mask(size, c[0], c[1], seed, c[2], kind) for c in cells]
    return _seconds(lambda: [d() for d in draw]) / len(cells)


def _photograph(p: Profile) -> float:
    image = torch.from_numpy(data.embedded("test")[1].transpose(2, 0, 1) / 255).float()[None]
    height, width = image.shape[-2:]
    mask = random_mask(p.size, (0.1, 0.3), border=False, seed=p.seed)
    times = (-(-height // p.size), -(-width // p.size))
    mask = torch.from_numpy(np.tile(mask, times)[:height, :width])[None, None]
    return _seconds(lambda: [fill(image, mask) for fill in evaluation.BASELINES.values()])


def _deviations(study: Study) -> float:
    """Seconds of chapter 8's brief runs: one of them, times their number over the cores."""
    short = Study(deviation_runs.brief(study.profile), study.results)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    net = None

    def run():
        nonlocal net
        net = deviation_runs.trained(short, DEVIATIONS[0])

    trained = _seconds(run)
    measured = _seconds(lambda: deviation_runs.measure(short, net, DEVIATIONS[0]))
    torch.set_num_threads(threads)
    all_of_them = len(deviation_runs.networks()) * trained + len(DEVIATIONS) * measured
    return all_of_them / threads


def _seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


if __name__ == "__main__":
    what, settings, folder, *arguments = sys.argv[1:]
    study = Study(Profile(**json.loads(settings)), Path(folder))
    if what == "training":
        print(json.dumps(training(study, arguments[0], int(arguments[1]))))
    else:
        print(json.dumps(rest(study)))
