"""What this runs on: the device, and its name in words."""

import os
import platform
import re
from pathlib import Path

import torch


def device(wanted: str = "auto") -> torch.device:
    """Choose a device: "cpu", or "auto", the GPU if there is one.

    Of several processes that torchrun started, each gets a GPU of its own.
    """
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def describe(device: torch.device) -> str:
    """Say what was measured on: processor or GPU, threads, torch."""
    if device.type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    else:
        threads = torch.get_num_threads()
        hardware = f"{_processor()}, {threads} thread{'' if threads == 1 else 's'}"
    return f"{hardware}, torch {torch.__version__.partition('+')[0]}"


def _processor() -> str:
    """Name of the processor, without the decorations of its maker."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine() or f"{os.name} processor"
    return " ".join(re.sub(r"\((R|TM)\)|CPU|Processor|@.*", " ", model).split())
