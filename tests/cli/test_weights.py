"""What is exported inpaints as the checkpoint did, within half precision."""

import json

import pytest
import torch
from nets import save_net
from safetensors.torch import load_file, save_file

from pconv_cli import weights
from pconv_cli.__main__ import main
from pconv_core import checkpoints, training
from pconv_core.models import build_model

SETTINGS = {"size": 32, "base_channels": 4}


def test_exported_weights_inpaint_alike(tmp_path):
    net = save_net(tmp_path / "a.pt")
    out = tmp_path / "a.safetensors"
    assert main(["export", "--checkpoint", str(tmp_path / "a.pt"), "--out", str(out)]) == 0
    image, mask = torch.rand(1, 3, 40, 33), (torch.rand(1, 1, 40, 33) < 0.7).float()
    with torch.no_grad():
        found, expected = (n(image * mask, mask) for n in (weights.load_network(out), net))
    torch.testing.assert_close(found, expected, rtol=0.01, atol=0.01)


def test_averaged_weights_are_used_where_there_are_any(tmp_path, monkeypatch):
    """By load_network, which inpaint and evaluate call; by export; by train --from."""
    raw, averaged = (build_model("pconv", 32, 4, seed=k).state_dict() for k in (1, 2))
    assert not torch.equal(raw["decoder.0.conv.weight"], averaged["decoder.0.conv.weight"])
    path, out = tmp_path / "a.pt", tmp_path / "a.safetensors"
    settings = {"model": "pconv", **SETTINGS}
    checkpoints.write(path, {"settings": settings, "model": raw, "average": averaged, "step": 3})

    def is_averaged(state):
        return all(torch.equal(state[name], weights) for name, weights in averaged.items())

    assert is_averaged(weights.load_network(path).state_dict())
    weights.export(path, out)
    halves = {k: v.half() if v.is_floating_point() else v for k, v in averaged.items()}
    assert all(torch.equal(v, halves[k]) for k, v in load_file(out).items())
    started = []
    monkeypatch.setattr(training, "train", lambda net, *_: started.append(net.state_dict()))
    named = ["--images", "embedded", "--checkpoint", str(tmp_path / "b.pt"), "--from", str(path)]
    small = ["--size", "32", "--base-channels", "4", "--features", "random"]
    assert main(["train", *named, *small, "--feature-width", "0.0625", "--steps", "1"]) == 0
    assert is_averaged(started[0])


def test_what_cannot_be_exported(tmp_path, capsys):
    def export(source, out="out.safetensors"):
        code = main(["export", "--checkpoint", str(source), "--out", str(tmp_path / out)])
        assert code == 2
        assert not (tmp_path / out).exists()
        return capsys.readouterr().err

    save_net(tmp_path / "a.pt")
    assert "it should end in .safetensors" in export(tmp_path / "a.pt", "out.pt")
    assert "no checkpoint at" in export(tmp_path / "none.pt")
    net = build_model("pconv", 32, 4, seed=1)
    next(net.parameters()).data.fill_(1e6)
    checkpoints.write(
        tmp_path / "large.pt",
        {"settings": {"model": "pconv", **SETTINGS}, "model": net.state_dict()},
    )
    assert "that float16 cannot" in export(tmp_path / "large.pt")
    weights.export(tmp_path / "a.pt", tmp_path / "b.safetensors")
    assert "b.safetensors is already exported; it should" in export(tmp_path / "b.safetensors")


@pytest.mark.parametrize(
    "settings",
    [None, [1], "x", {}, *({**SETTINGS, "model": "pconv", "base_channels": n} for n in (0, -1))],
)
def test_a_file_that_does_not_say_which_network_it_is_of(tmp_path, settings):
    state = {"format": checkpoints.FORMAT, "settings": settings, "model": {}}
    torch.save(state, tmp_path / "a.pt")
    metadata = {checkpoints.FORMAT: json.dumps(settings)}
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors", metadata)
    for path in (tmp_path / "a.pt", tmp_path / "a.safetensors"):
        with pytest.raises(ValueError, match=f"^{path} does not say which network it is of: .+$"):
            weights.load_network(path)


def test_export_writes_over_no_file_unless_told(tmp_path, capsys):
    save_net(tmp_path / "a.pt")
    out = tmp_path / "a.safetensors"
    call = ["export", "--checkpoint", str(tmp_path / "a.pt"), "--out", str(out)]
    out.write_text("of someone else")
    assert main(call) == 2
    assert "a.safetensors is there already; --overwrite replaces it" in capsys.readouterr().err
    assert out.read_text() == "of someone else"
    assert main([*call, "--overwrite"]) == 0
    weights.load_network(out)


def test_damaged_safetensors_are_refused(tmp_path):
    save_net(tmp_path / "b.pt")
    weights.export(tmp_path / "b.pt", tmp_path / "b.safetensors")
    whole = (tmp_path / "b.safetensors").read_bytes()
    for cut in (0, 5, 100, len(whole) - 1):
        (tmp_path / "cut.safetensors").write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"cut\.safetensors is not a checkpoint, or damaged"):
            weights.load_network(tmp_path / "cut.safetensors")
