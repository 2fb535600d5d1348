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


def alternate(
    subject: Callable, reference: Callable, pairs: int, device, memory: bool = True
) -> dict:
    """Time two functions in turn, each `pairs` times after a first call that does not count.

    Returns
    -------
    dict
        seconds and reference_seconds (medians), ratio (median over the pairs, subject over
        reference), seconds_low, seconds_high, ratio_low and ratio_high (quartiles), pairs, and, if
        wanted, memory_mib and reference_memory_mib at the peak.
    """
    ours, theirs = [], []
    sides = [(subject, ours), (reference, theirs)]
    for function, _ in sides:
        _seconds(function, device)
    for _ in range(pairs):
        for function, times in sides:
            times.append(_seconds(function, device))
        sides.reverse()
    row = {**_spread("seconds", ours), "reference_seconds": np.median(theirs), "pairs": pairs}
    row |= _spread("ratio", np.divide(ours, theirs))
    if memory:
        row["memory_mib"] = peak_memory(subject, device)
        row["reference_memory_mib"] = peak_memory(reference, device)
    return row


def repeated(function: Callable, repeats: int, device) -> dict:
    """Time one function `repeats` times after a first call that does not count."""
    _seconds(function, device)
    times = [_seconds(function, device) for _ in range(repeats)]
    return {**_spread("seconds", times), "pairs": repeats}


def _spread(name: str, values) -> dict:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return {name: middle, f"{name}_low": low, f"{name}_high": high}


def _seconds(function: Callable, device) -> float:
    gc.collect()
    wait_for(device)
    start = time.perf_counter()
    function()
    wait_for(device)
    return time.perf_counter() - start
