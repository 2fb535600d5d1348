"""What is said and chosen of the machine."""

import pytest
import torch

from pconv_core import hardware

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("instructions", "taken"),
    [
        ({}, "float32"),
        ({"avx2": True, "avx512_f": True}, "float32"),
        ({"avx512_bf16": False, "amx_bf16": False}, "float32"),
        ({"avx512_f": True, "avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
    ],
)
def test_auto_takes_bfloat16_where_the_processor_has_it(instructions, taken, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions, raising=False)
    assert hardware.precision("auto", CPU) == taken
    assert f", {taken}, torch" in hardware.describe(CPU, "auto")
    for named in ("float32", "bfloat16"):
        assert hardware.precision(named, CPU) == named


@pytest.mark.parametrize("has", [True, False])
def test_a_gpu_that_emulates_it_takes_float32(has, monkeypatch):
    def supported(including_emulation=True):
        return has or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    taken = hardware.precision("auto", torch.device("cuda"))
    assert taken == ("bfloat16" if has else "float32")
