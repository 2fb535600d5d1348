"""What is said and chosen of the machine."""

import pytest
import torch

from pconv_core import hardware
from pconv_core.features import VGGFeatures
from pconv_core.losses import InpaintingLoss
from pconv_core.models import build_model
from pconv_core.training import Switches, make_objective

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


@pytest.mark.parametrize("has", [True, False])
def test_the_objective_computes_in_what_was_taken(has, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has}, raising=False)
    image, mask = torch.rand(2, 3, 64, 64), torch.ones(2, 1, 64, 64)
    mask[:, :, 20:40, 20:40] = 0

    def total(precision):
        net = build_model("pconv", 64, 4, seed=0)
        loss = InpaintingLoss(VGGFeatures("random", 0.0625))
        return make_objective(net, loss, Switches(precision=precision))(image, mask)[0].item()

    assert total("auto") == total("bfloat16" if has else "float32")
    assert total("bfloat16") != total("float32")
