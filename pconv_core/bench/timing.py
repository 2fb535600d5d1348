"""Times and memory: two sides in one process, taking turns."""

import gc
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done all it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(function: Callable, device: torch.device) -> float:
    """Memory that a call needs at its peak beyond what was in use before, in MiB.

    What torch allocates is counted, on the CPU as on a GPU: unlike the resident memory of the
    process, it is the same at every call.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        function()
        wait_for(device)
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    in_use = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        in_use += event.nbytes()
        peak = max(peak, in_use)
    return peak / 2**20


def alternate(subject: Callable, reference: Callable, pairs: int, device) -> dict:
    """Time two functions in turn, each `pairs` times after a first call that does not count.

    Returns
    -------
    dict
        seconds and reference_seconds (medians), ratio (median over the pairs, subject over
        reference), ratio_low and ratio_high (its quartiles), pairs.
    """
    for function in (subject, reference):
        _seconds(function, device)
    times = []
    for k in range(pairs):
        pair = [0.0, 0.0]
        for side in (0, 1) if k % 2 == 0 else (1, 0):
            pair[side] = _seconds((subject, reference)[side], device)
        times.append(pair)
    ours, theirs = np.array(times).T
    low, middle, high = np.quantile(ours / theirs, [0.25, 0.5, 0.75])
    return {
        **_spread(ours),
        "reference_seconds": float(np.median(theirs)),
        "ratio": float(middle),
        "ratio_low": float(low),
        "ratio_high": float(high),
        "pairs": pairs,
    }


def repeated(function: Callable, repeats: int, device) -> dict:
    """Time one function `repeats` times after a first call that does not count."""
    _seconds(function, device)
    return {
        **_spread(np.array([_seconds(function, device) for _ in range(repeats)])),
        "pairs": repeats,
    }


def _spread(seconds: np.ndarray) -> dict:
    low, middle, high = np.quantile(seconds, [0.25, 0.5, 0.75])
    return {
        "seconds": float(middle),
        "seconds_low": float(low),
        "seconds_high": float(high),
    }


def _seconds(function: Callable, device) -> float:
    gc.collect()
    wait_for(device)
    start = time.perf_counter()
    function()
    wait_for(device)
    return time.perf_counter() - start
