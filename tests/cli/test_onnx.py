"""ONNX Runtime on what `export --onnx` writes, against the network itself."""

import importlib.util
import os

import onnx
import onnxruntime
import pytest
import torch

from pconv_cli.__main__ import main
from pconv_core import checkpoints
from pconv_core.models import build_model

# Five levels: at 32 pixels, the bottleneck is of one pixel.
SETTINGS = {"size": 32, "base_channels": 4}
# Of "refined" the export alone takes minutes: `make stress` adds it.
MODELS = ["pconv", "refined"] if os.environ.get("PCONV_STRESS") else ["pconv"]
SHAPES = [(1, 32, 32), (2, 47, 65), (1, 150, 33)]


def exported(folder, model):
    net = build_model(model, SETTINGS["size"], SETTINGS["base_channels"], seed=1)
    for weight in (p for p in net.parameters() if not p.any()):
        torch.nn.init.normal_(weight, std=0.1)  # zeros, in "refined"
    checkpoints.write(
        folder / "a.pt", {"settings": {"model": model, **SETTINGS}, "model": net.state_dict()}
    )
    out = folder / "a.onnx"
    assert main(["export", "--checkpoint", str(folder / "a.pt"), "--onnx", str(out)]) == 0
    return net.eval(), out


@pytest.mark.parametrize("model", MODELS)
def test_onnx_runtime_agrees_with_torch(tmp_path, model):
    net, out = exported(tmp_path, model)
    assert max(entry.version for entry in onnx.load(out).opset_import) >= 23
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    for n, height, width in SHAPES:
        image = torch.rand(n, 3, height, width, generator=generator)
        mask = (torch.rand(n, 1, height, width, generator=generator) < 0.6).float()
        mask[..., 5:25, 3:28] = 0
        (found,) = session.run(["out"], {"image": image.numpy(), "mask": mask.numpy()})
        with torch.no_grad():
            expected = net(image, mask)
        scale = expected.abs().max().clamp(min=1)
        assert (torch.from_numpy(found) - expected).abs().max() < 1e-4 * scale


def test_what_cannot_be_written(tmp_path, monkeypatch, capsys):
    def refused(checkpoint, name="a.onnx"):
        given = ["--checkpoint", str(tmp_path / checkpoint), "--onnx", str(tmp_path / name)]
        assert main(["export", *given]) == 2
        assert not (tmp_path / name).exists()
        return capsys.readouterr().err

    assert "it should end in .onnx" in refused("a.pt", "a.pb")
    assert "no checkpoint at" in refused("a.pt")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "--onnx needs the package onnx: pip install onnx" in refused("a.pt")
