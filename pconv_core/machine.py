"""What a benchmark has to know of the machine: its name, its clock, its memory."""

import ctypes
import gc
import math
import os
import platform
import re
from collections.abc import Callable
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_RESET_PEAK = Path("/proc/self/clear_refs")


def describe(device: torch.device) -> str:
    """Say what was measured on: processor or GPU, threads, torch."""
    if device.type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    else:
        hardware = f"{_processor()}, {torch.get_num_threads()} threads"
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

    On a GPU that of torch's allocator; else the resident memory of the process, as Linux counts
    it, and NaN where it does not.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        function()
        wait_for(device)
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    try:
        # Freed memory that the C library has kept would hide what the call needs.
        ctypes.CDLL(None).malloc_trim(0)
        _RESET_PEAK.write_text("5")
        before = _resident("VmRSS")
        function()
        return (_resident("VmHWM") - before) / 2**10
    except (OSError, AttributeError):
        return math.nan


def _resident(field: str) -> int:
    """A field of the process's status, in KiB."""
    return int(re.search(rf"{field}:\s+(\d+) kB", _STATUS.read_text()).group(1))


def _processor() -> str:
    """Name of the processor, without the decorations of its maker."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine() or f"{os.name} processor"
    return " ".join(re.sub(r"\((R|TM)\)|CPU|Processor|@.*", " ", model).split())
