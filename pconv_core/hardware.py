"""What this runs on: the device, its name in words, and the precision that it is quick in."""

import os
import platform
import re
from pathlib import Path

import torch

# Instructions of a processor that multiply bfloat16, by torch's names for them.  Elsewhere it is
# computed in float32 between conversions, and takes several times as long as float32.
BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def device(wanted: str = "auto") -> torch.device:
    """Choose a device: "cpu", or "auto", the GPU if there is one.

    Of several processes that torchrun started, each gets a GPU of its own.
    """
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def precision(wanted: str, device: torch.device) -> str:
    """Choose a precision: "auto" is bfloat16 where the device computes in it, or else float32."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        has = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        can = torch.cpu.get_capabilities()
        has = any(can.get(name) for name in BFLOAT16_INSTRUCTIONS)
    return "bfloat16" if has else "float32"


def describe(device: torch.device, precision_wanted: str = "float32") -> str:
    """Say what was measured on: processor or GPU, threads, precision if not float32, torch."""
    if device.type == "cuda":
        found = [torch.cuda.get_device_name(device)]
    else:
        threads = torch.get_num_threads()
        found = [_processor(), f"{threads} thread{'s'[: threads != 1]}"]
    found += [precision(precision_wanted, device)] if precision_wanted != "float32" else []
    return ", ".join([*found, f"torch {torch.__version__.partition('+')[0]}"])


def _processor() -> str:
    """Name of the processor, without the decorations of its maker."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text() if info.is_file() else "")
    model = found[1] if found else platform.processor() or platform.machine()
    return " ".join(re.sub(r"\((R|TM)\)|CPU|Processor|@.*", " ", model).split())
