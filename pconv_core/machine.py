"""What a benchmark has to know of the machine: its name, its clock, its memory."""

import gc
import os
import platform
import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile


def device() -> torch.device:
    """The GPU, if there is one, or else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def describe(device: torch.device) -> str:
    """Say what was measured on: processor or GPU, threads, torch."""
    if device.type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    else:
        threads = torch.get_num_threads()
        hardware = f"{_processor()}, {threads} {'thread' if threads == 1 else 'threads'}"
    return f"{hardware}, torch {torch.__version__.partition('+')[0]}"


def name(device: torch.device) -> str:
    """Name of the machine as a file name: `cpu-amd-epyc-2-threads`."""
    hardware = describe(device).rpartition(", torch")[0]
    return re.sub(r"[^a-z0-9]+", "-", f"{device.type} {hardware}".lower()).strip("-")


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


def _processor() -> str:
    """Name of the processor, without the decorations of its maker."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine() or f"{os.name} processor"
    return " ".join(re.sub(r"\((R|TM)\)|CPU|Processor|@.*", " ", model).split())
