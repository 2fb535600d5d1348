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
        ({"avx512_f": True, "avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
    ],
)
def test_auto_takes_bfloat16_where_the_processor_has_it(instructions, taken, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
    assert hardware.precision("auto", CPU) == taken
    assert f", {taken}, torch" in hardware.describe(CPU, "auto")
    assert [hardware.precision(n, CPU) for n in ("float32", "bfloat16")] == ["float32", "bfloat16"]
