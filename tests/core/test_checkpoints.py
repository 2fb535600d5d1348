import os

import pytest
import torch

from pconv_core import checkpoints, weights
from pconv_core.checkpoints import load_into, read, write
from pconv_core.models import build_model


def same(a, b):
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def net(seed=0, name="pconv"):
    return build_model(name, 32, 4, seed)


def test_weights_come_back(tmp_path):
    path = tmp_path / "deep" / "net.pt"
    write(path, {"model": net().state_dict()})
    other = net(9)
    assert not same(net(), other)
    load_into(other, read(path), path)
    assert same(net(), other)
    assert [p.name for p in path.parent.iterdir()] == ["net.pt"]


@pytest.mark.parametrize("model", ["pconv", "refined", "unet"])
def test_exported_weights_make_the_network_again(tmp_path, model):
    path, settings = tmp_path / "net.safetensors", {"model": model, "size": 32, "base_channels": 4}
    checkpoints.export(path, net(name=model).state_dict(), settings)
    found = checkpoints.network(checkpoints.read_exported(path), path)
    assert type(found) is type(net(name=model))
    assert (found.training, found.trained_size) == (False, 32)
    for ours, theirs in zip(found.parameters(), net(name=model).parameters(), strict=True):
        assert torch.equal(ours, theirs.half().float())
    assert weights.load("shipped").trained_size >= 64
    with pytest.raises(ValueError, match=r"no weights are named 'other'; there are .*shipped"):
        weights.load("other")


@pytest.mark.parametrize("fails", ["save", "fsync", "replace"])
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, fails):
    path = tmp_path / "net.pt"
    write(path, {"step": 1})
    before = path.read_bytes()

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(torch if fails == "save" else os, fails, full)
    with pytest.raises(OSError, match=r"cannot write the checkpoint .*net\.pt \(No space left"):
        write(path, {"step": 2})
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert read(path)["step"] == 1
    assert not list(tmp_path.glob("*.unfinished"))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x02}q\x00.", b"PK\x03\x04" * 50])
def test_a_foreign_file_is_named(tmp_path, content):
    path = tmp_path / "net.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"net\.pt is not a checkpoint of this project"):
        read(path)
    assert path.read_bytes() == content


def test_a_truncated_one_is_named(tmp_path):
    path = tmp_path / "net.pt"
    write(path, {"step": 1, "model": net().state_dict()})
    whole = path.read_bytes()
    for length in range(0, len(whole), len(whole) // 23):
        path.write_bytes(whole[:length])
        with pytest.raises(
            ValueError, match=r"net\.pt is not a checkpoint of this project, or damaged"
        ):
            read(path)


def test_pickled_code_is_not_run(tmp_path):
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(ran),))

    torch.save({"format": checkpoints.FORMAT, "model": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(ValueError, match="not a checkpoint"):
        read(tmp_path / "trap.pt")
    assert not ran.exists()


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "net.pt"
    for other in (net(name="unet").state_dict(), {}):
        write(path, {"model": other})
        with pytest.raises(ValueError, match=r"belong to another network: .{10,150}$"):
            load_into(net(), read(path), path)
