"""Several processes against one, on the CPU: gloo, as torchrun starts them."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from pconv_core import distributed

STEPS = 20

# In float64: Adam divides by the size of the gradient, so that in float32 rounding alone soon moves
# weights whose gradient is nearly 0.
SCRIPT = """
import sys
from pathlib import Path
import torch
from pconv_core import distributed
from pconv_core.data import Samples, embedded
from pconv_core.features import VGGFeatures
from pconv_core.losses import InpaintingLoss
from pconv_core.models import build_model
from pconv_core.training import Keeper, Stage, train


class Doubles(Samples):
    def __getitem__(self, number):
        return tuple(t.double() for t in super().__getitem__(number))


path, steps, batch = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
with distributed.group():
    net = build_model("pconv", 64, 4, seed=0).double()
    loss = InpaintingLoss(VGGFeatures("random", 0.0625)).double()
    stage = Stage("s", 0, 8 * steps, 1e-3, 120.0, average=0.9)
    samples, keeper = Doubles(embedded("train"), 64, seed=1), Keeper(path, 1000, {})
    record = train(net, loss, samples, stage, batch, 5, workers=0, keeper=keeper)
    end = {"model": net.state_dict(), "record": record.to_dict("list")}
    torch.save(end, path.with_suffix(f".end{distributed.rank()}"))
"""

# The second process gets the notice, as it draws a sample of step 3.
TERMINATED = """
import os
import signal
from pconv_core import distributed
from pconv_core.data import Samples, embedded
from pconv_core.features import VGGFeatures
from pconv_core.losses import InpaintingLoss
from pconv_core.models import build_model
from pconv_core.training import Preempted, Stage, train


class Notified(Samples):
    def __getitem__(self, number):
        if distributed.rank() == 1 and number == 3 * 4 + 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__getitem__(number)


with distributed.group():
    net = build_model("pconv", 64, 4, seed=0)
    loss = InpaintingLoss(VGGFeatures("random", 0.0625))
    stage = Stage("s", 0, 9 * 4, 1e-3, 120.0)
    try:
        train(net, loss, Notified(embedded("train"), 64, seed=1), stage, 2, 5, workers=0)
    except Preempted as notice:
        # One call of the system: lines of two processes must not mix.
        os.write(1, f"{distributed.rank()} {notice}\\n".encode())
"""
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    (folder / "script.py").write_text(SCRIPT)
    for count, start in ((1, ()), (2, TORCHRUN)):
        arguments = [folder / "script.py", folder / f"{count}.pt", STEPS, 8 // count]
        command = [sys.executable, *start, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return {path.name: torch.load(path, weights_only=True) for path in folder.glob("[12].*")}


@pytest.mark.parametrize("kind", ["model", "average"])
def test_two_processes_give_the_weights_of_one_with_twice_the_batch(results, kind):
    one, two = (results[f"{count}.pt"][kind] for count in (1, 2))
    assert one.keys() == two.keys()
    for name, weights in one.items():
        difference = (weights.double() - two[name]).abs().max()
        assert difference <= 1e-5 * weights.double().abs().max().clamp(min=1e-3), name


def test_both_processes_end_with_the_average_that_is_saved(results):
    saved = results["2.pt"]["average"]
    for rank in (0, 1):
        found = results[f"2.end{rank}"]["model"]
        assert all(torch.equal(found[name], weights) for name, weights in saved.items())


def test_the_record_is_of_the_whole_batch(results):
    one, two = (results[f"{count}.end0"]["record"] for count in (1, 2))
    assert one["step"] == two["step"] == [5, 10, 15, 20]
    for name in ("total", "valid", "hole", "perceptual", "style_out", "style_comp", "tv"):
        assert one[name] == pytest.approx(two[name], rel=1e-4)


def test_all_processes_stop_after_the_step_in_which_one_got_the_notice(tmp_path):
    (tmp_path / "script.py").write_text(TERMINATED)
    command = [sys.executable, *TORCHRUN, str(tmp_path / "script.py")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    notice = "terminated after step 4; it was not to be saved"
    assert sorted(done.stdout.splitlines()) == [f"0 {notice}", f"1 {notice}"]


def test_norm_of_one_process_is_torchs(monkeypatch):
    monkeypatch.setattr(distributed, "all_reduce", lambda t: t)
    torch.manual_seed(0)
    theirs = nn.BatchNorm2d(3).train()
    ours = distributed._SyncBatchNorm(3).train()
    for _ in range(3):
        x = torch.randn(4, 3, 5, 6) * 3 + 2
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        torch.testing.assert_close(ours(a), theirs(b))
        ours(a).pow(3).sum().backward()
        theirs(b).pow(3).sum().backward()
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-3)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))
