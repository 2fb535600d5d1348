import os
import signal

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from pconv_core.data import Samples, embedded
from pconv_core.files import checkpoints
from pconv_core.losses import InpaintingLoss, VGGFeatures
from pconv_core.models import build_model
from pconv_core.training import Keeper, Stage, train


def run(steps=4, workers=0, model="pconv", stage=None, rate=1e-3, ratio=(0.01, 0.6), **more):
    net = build_model(model, 32, 4, seed=0)
    loss = InpaintingLoss(VGGFeatures("random", 0.0625))
    samples = Samples(embedded("train"), 32, seed=1, ratio=ratio)
    stage = stage or Stage("stage1", 0, steps, rate, 1.0)
    log = train(net, loss, samples, stage, batch_size=2, record_every=2, workers=workers, **more)
    return net, log


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))  # noqa: B905


def test_same_seed_same_bytes_whatever_the_workers():
    (a, log_a), (b, log_b) = run(workers=0), run(workers=2)
    assert same(a, b)
    assert log_a.to_csv() == log_b.to_csv()


def test_record_has_every_window_once():
    _, log = run(steps=5)
    assert log["step"].tolist() == [2, 4, 5]
    terms = ["total", "valid", "hole", "perceptual", "style_out", "style_comp", "tv"]
    assert log.columns.tolist() == ["step", "stage", *terms]
    weights = {
        "valid": 1,
        "hole": 6,
        "perceptual": 0.05,
        "style_out": 1,
        "style_comp": 1,
        "tv": 0.1,
    }
    total = sum(w * log[name] for name, w in weights.items())
    assert log["total"].to_numpy() == pytest.approx(total.to_numpy(), rel=1e-5)


def test_loss_falls():
    _, log = run(steps=60, rate=4e-3, ratio=(0.3, 0.32))
    assert log["hole"].tail(5).mean() < 0.8 * log["hole"].head(5).mean()


def test_stage_sets_style_weight_and_freezes_the_encoder_norm():
    net = build_model("pconv", 32, 4, seed=0)
    loss = InpaintingLoss(VGGFeatures("random", 0.0625))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    stage = Stage("finetune", 10, 2, 1e-3, 120.0, freeze_encoder_norm=True)
    log = train(net, loss, Samples(embedded("train"), 32, seed=1), stage, 2, 1, workers=0)
    assert log["step"].tolist() == [11, 12]
    assert loss.weights["style_out"] == loss.weights["style_comp"] == 120
    for name, value in net.state_dict().items():
        if "encoder" in name and ".norm." in name:
            assert torch.equal(value, before[name]), name
    assert not torch.equal(
        net.state_dict()["decoder.0.norm.running_mean"], before["decoder.0.norm.running_mean"]
    )


def test_loss_that_is_no_number_stops_the_run():
    with pytest.raises(FloatingPointError, match=r"the loss is (nan|inf) at step \d+ \(samples"):
        run(steps=30, rate=1e12)


def rates_of(stage, **more):
    """The learning rates that Adam has at its steps."""
    rates = []
    handle = register_optimizer_step_pre_hook(
        lambda optimiser, *_: rates.append([group["lr"] for group in optimiser.param_groups])
    )
    try:
        run(stage=stage, **more)
    finally:
        handle.remove()
    return [rate for (rate,) in rates]


def test_the_cosines_rates_are_those_of_the_formula_at_every_step():
    rates = rates_of(Stage("s", 10, 4, 2e-3, 1.0, cosine=True))
    half = 0.5**0.5  # the cosine of a quarter of pi
    assert rates == pytest.approx([2e-3, 1e-3 * (1 + half), 1e-3, 1e-3 * (1 - half)], rel=1e-12)
    assert rates[0] == 2e-3
    assert rates_of(Stage("s", 10, 4, 2e-3, 1.0)) == 4 * [2e-3]


def states_and_end(stage, **more):
    """The weights after every step, in float64, and those that the network ends with."""
    net = build_model("pconv", 32, 4, seed=0)
    loss = InpaintingLoss(VGGFeatures("random", 0.0625))
    states = []

    def note(_):
        states.append({k: v.double() for k, v in net.state_dict().items()})

    samples = Samples(embedded("train"), 32, seed=1)
    train(net, loss, samples, stage, 2, 1, workers=0, watch=note, **more)
    return states, net.state_dict()


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_the_average_is_that_of_a_loop_in_float64(decay, frozen):
    stage = Stage("s", 10, 7, 1e-3, 1.0, freeze_encoder_norm=frozen, average=decay)
    states, end = states_and_end(stage)
    decays = [0, 2 / 11, 3 / 12, 4 / 13, 5 / 14, 6 / 15, 7 / 16]
    assert len(states) == len(decays)
    for name, found in end.items():
        if name.endswith("num_batches_tracked"):
            assert found == states[-1][name]
            continue
        mean = states[0][name]
        for kept, state in zip(decays[1:], states[1:], strict=True):
            mean = min(decay, kept) * mean + (1 - min(decay, kept)) * state[name]
        torch.testing.assert_close(found.double(), mean, rtol=1e-6, atol=1e-7)
    moved = ("decoder.0.norm.running_mean", next(n for n in end if n.endswith(".conv.weight")))
    for name in moved:
        assert (end[name].double() - states[-1][name]).abs().max() > 1e-5


def test_an_average_moves_no_weight_that_is_trained(tmp_path):
    for name, average in (("without", 0.0), ("with", 0.9)):
        stage = Stage("s", 0, 5, 1e-3, 1.0, average=average)
        run(stage=stage, keeper=Keeper(tmp_path / name, 1000, {}))
    without, averaged = (checkpoints.read(tmp_path / name) for name in ("without", "with"))
    usual = {"format", "settings", "model", "optimiser", "step", "rows", "window"}
    assert without.keys() == usual
    assert averaged.keys() == usual | {"average"}
    assert without["rows"] == averaged["rows"]
    for name, weights in without["model"].items():
        assert torch.equal(weights, averaged["model"][name]), name


def test_the_same_call_after_the_last_step_gives_the_same_result(tmp_path):
    stage = Stage("s", 0, 5, 1e-3, 1.0, cosine=True, average=0.9)
    keeper = Keeper(tmp_path / "net.pt", 2, {})
    (a, log_a), before = run(stage=stage, keeper=keeper), (tmp_path / "net.pt").read_bytes()
    b, log_b = run(stage=stage, keeper=keeper)
    assert same(a, b)
    assert log_a.equals(log_b)
    assert not b.training
    assert (tmp_path / "net.pt").read_bytes() == before
    average = checkpoints.read(keeper.path)["average"]
    assert all(torch.equal(average[name], weights) for name, weights in b.state_dict().items())


@pytest.mark.parametrize(("first", "second"), [(0.0, 0.9), (0.9, 0.0)])
def test_a_run_with_an_average_is_not_gone_on_with_without_one(tmp_path, first, second):
    keeper = Keeper(tmp_path / "net.pt", 2, {})
    run(stage=Stage("s", 0, 2, 1e-3, 1.0, average=first), keeper=keeper)
    with pytest.raises(ValueError, match=r"of another run \(it has (no|an) average of weights\)"):
        run(stage=Stage("s", 0, 4, 1e-3, 1.0, average=second), keeper=keeper)


@pytest.mark.parametrize("average", [1.0, -0.1, float("nan")])
def test_an_average_that_is_none(average):
    with pytest.raises(ValueError, match=rf"average is {average:g}; it should be in \[0, 1\)"):
        Stage("s", 0, 1, 1e-3, 1.0, average=average)


class Interrupted(Samples):
    """Samples in whose third step Ctrl-C comes, as often as told."""

    times = 1

    def __getitem__(self, number):
        if number == 2 * 2:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)
        return super().__getitem__(number)


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_is_raised_when_the_step_is_saved_and_a_second_at_once(tmp_path, times):
    """As in a notebook, whose kernel sends SIGINT."""
    net = build_model("pconv", 32, 4, seed=0)
    loss = InpaintingLoss(VGGFeatures("random", 0.0625))
    samples = Interrupted(embedded("train"), 32, seed=1)
    samples.times = times
    keeper = Keeper(tmp_path / "net.pt", 1000, {})
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as notice:
        train(net, loss, samples, Stage("s", 0, 9, 1e-3, 1.0), 2, 5, workers=0, keeper=keeper)
    assert signal.getsignal(signal.SIGINT) is before
    if times == 1:
        assert str(notice.value) == f"interrupted after step 3; saved to {keeper.path}"
        assert checkpoints.read(keeper.path)["step"] == 3
    else:
        assert not keeper.path.exists()


def test_an_ignored_interrupt_stays_ignored():
    """As by a process in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        net = build_model("pconv", 32, 4, seed=0)
        loss = InpaintingLoss(VGGFeatures("random", 0.0625))
        samples = Interrupted(embedded("train"), 32, seed=1)
        log = train(net, loss, samples, Stage("s", 0, 5, 1e-3, 1.0), 2, 5, workers=0)
        assert log["step"].tolist() == [5]
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
