import copy
import os
import signal
from functools import partial

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from pconv_core import checkpoints, training
from pconv_core.data import Samples, embedded
from pconv_core.features import VGGFeatures
from pconv_core.losses import InpaintingLoss
from pconv_core.models import build_model
from pconv_core.training import Keeper, Stage, Switches, train


def run(steps=4, stage=None, rate=1e-3, samples=None, batch=2, every=2, **more):
    net = build_model("pconv", 32, 4, seed=0)
    loss = InpaintingLoss(VGGFeatures("random", 0.0625))
    samples = samples or Samples(embedded("train"), 32, seed=1)
    stage = stage or Stage("stage1", 0, batch * steps, rate, 1.0)
    log = train(net, loss, samples, stage, batch, every, **{"workers": 0, **more})
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
    assert log["samples"].tolist() == [4, 8, 10]
    terms = ["total", "valid", "hole", "perceptual", "style_out", "style_comp", "tv"]
    assert log.columns.tolist() == ["step", "samples", "stage", *terms]
    weights = {"valid": 1, "hole": 6, "perceptual": 0.05}
    weights |= {"style_out": 1, "style_comp": 1, "tv": 0.1}
    total = sum(w * log[name] for name, w in weights.items())
    assert log["total"].to_numpy() == pytest.approx(total.to_numpy(), rel=1e-5)


def test_loss_falls():
    samples = Samples(embedded("train"), 32, seed=1, ratio=(0.3, 0.32))
    _, log = run(steps=60, rate=4e-3, samples=samples)
    assert log["hole"].tail(5).mean() < 0.8 * log["hole"].head(5).mean()


def test_stage_sets_style_weight_and_freezes_the_encoder_norm():
    net = build_model("pconv", 32, 4, seed=0)
    loss = InpaintingLoss(VGGFeatures("random", 0.0625))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    stage = Stage("finetune", 20, 4, 1e-3, 120.0, freeze_encoder_norm=True)
    log = train(net, loss, Samples(embedded("train"), 32, seed=1), stage, 2, 1, workers=0)
    assert log["step"].tolist() == [11, 12]
    assert loss.weights["style_out"] == loss.weights["style_comp"] == 120
    for name, value in net.state_dict().items():
        if "encoder" in name and ".norm." in name:
            assert torch.equal(value, before[name]), name
    assert not torch.equal(
        net.state_dict()["decoder.0.norm.running_mean"], before["decoder.0.norm.running_mean"]
    )


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
    rates = rates_of(Stage("s", 20, 8, 2e-3, 1.0, cosine=True))
    half = 0.5**0.5  # the cosine of a quarter of pi
    assert rates == pytest.approx([2e-3, 1e-3 * (1 + half), 1e-3, 1e-3 * (1 - half)], rel=1e-12)
    assert rates[0] == 2e-3
    assert rates_of(Stage("s", 20, 8, 2e-3, 1.0)) == 4 * [2e-3]


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
@pytest.mark.parametrize("decay", [0.3, 1.0])
def test_the_average_is_that_of_a_loop_in_float64(decay, frozen):
    stage = Stage("s", 20, 14, 1e-3, 1.0, freeze_encoder_norm=frozen, average=decay)
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
        stage = Stage("s", 0, 10, 1e-3, 1.0, average=average)
        run(stage=stage, keeper=Keeper(tmp_path / name, 1000, {}))
    without, averaged = (checkpoints.read(tmp_path / name) for name in ("without", "with"))
    usual = {"format", "settings", "model", "optimiser", "step", "samples", "rows", "window"}
    assert without.keys() == usual
    assert averaged.keys() == usual | {"average", "averaged"}
    assert without["rows"] == averaged["rows"]
    for name, weights in without["model"].items():
        assert torch.equal(weights, averaged["model"][name]), name


def test_the_same_call_after_the_last_step_gives_the_same_result(tmp_path):
    stage = Stage("s", 0, 10, 1e-3, 1.0, cosine=True, average=0.9)
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
    run(stage=Stage("s", 0, 4, 1e-3, 1.0, average=first), keeper=keeper)
    with pytest.raises(ValueError, match=r"of another run \(it has (no|an) average of weights\)"):
        run(stage=Stage("s", 0, 8, 1e-3, 1.0, average=second), keeper=keeper)


class Noted(Samples):
    """Samples that keep the numbers they were asked for."""

    def __getitem__(self, number):
        self.asked.append(number)
        return super().__getitem__(number)


def test_a_resumed_run_may_change_its_batch_and_rate_only_when_told_so(tmp_path):
    """Samples go on without gap or overlap."""
    samples = Noted(embedded("train"), 32, seed=1)
    samples.asked = []

    def go(last, batch, rate, may_change=()):
        settings = {"batch_size": batch, "learning_rate": rate, "model": "pconv"}
        keeper = Keeper(tmp_path / "net.pt", 1000, settings, may_change=may_change)
        net, loss = build_model("pconv", 32, 4, 0), InpaintingLoss(VGGFeatures("random", 0.0625))
        stage = Stage("s", 0, last, rate, None, average=1.0)
        return train(net, loss, samples, stage, batch, 1, workers=0, keeper=keeper)

    go(6, 2, 1e-3)
    with pytest.raises(ValueError, match=r"\(batch_size 2 instead of 4, learning_rate 0.001 inst"):
        go(18, 4, 5e-4)
    with pytest.raises(ValueError, match=r"\(batch_size 2 instead of 4\)"):
        go(18, 4, 5e-4, ("learning_rate",))
    log = go(18, 4, 5e-4, ("batch_size", "learning_rate"))
    assert samples.asked == list(range(18))
    assert log["samples"].tolist() == [2, 4, 6, 10, 14, 18]
    assert log["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert checkpoints.read(tmp_path / "net.pt")["averaged"] == 6
    for last, left in ((20, 2), (14, -4)):
        with pytest.raises(ValueError, match=f"^{left} samples are left, of which a step takes 4"):
            go(last, 4, 5e-4)


def gradients(count, parts, dtype):
    """The gradient of one step over `count` images in so many parts, and of the whole batch."""
    torch.manual_seed(0)
    net = torch.nn.Conv2d(3, 2, 3).to(dtype)
    image, mask = torch.rand(count, 3, 8, 8, dtype=dtype), torch.rand(count, 2, 6, 6, dtype=dtype)

    def objective(image, mask, _):
        total = (net(image) * mask).square().mean()
        return total, {"total": total.detach()}

    optimiser = torch.optim.SGD(net.parameters(), 0.0)
    chosen = training._draws(InpaintingLoss(torch.nn.Identity()), 0, count, parts)
    terms = training._step(objective, optimiser, (image, mask), chosen)
    found = [p.grad for p in net.parameters()]
    whole = objective(image, mask, None)[0]
    assert terms["total"] == pytest.approx(whole.item(), rel=1e-6)
    return found, torch.autograd.grad(whole, list(net.parameters()))


@pytest.mark.parametrize(("count", "parts"), [(5, 2), (8, 3), (5, 4), (7, 7), (9, 1)])
def test_unequal_parts_of_a_batch_give_the_gradient_of_the_whole(count, parts):
    found, whole = gradients(count, parts, torch.float64)
    for a, b in zip(found, whole, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("frozen", [False, True])
def test_norms_estimated_anew_have_the_mean_statistics_of_the_batches(frozen):
    net = build_model("pconv", 32, 4, seed=0)
    for norm in (m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.running_mean.fill_(0.5)
        norm.running_var.fill_(2.0)
    if frozen:
        net.freeze_encoder_norm()
    samples = Samples(embedded("train"), 32, seed=1)
    twin, found = copy.deepcopy(net).double().train(), {}

    def note(name, x):
        flat = x.transpose(0, 1).flatten(1)
        found.setdefault(name, []).append((flat.mean(1), flat.var(1)))

    norms = [n for n, m in net.named_modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for name in norms:
        hook = partial(lambda name, _, inputs: note(name, inputs[0]), name)
        twin.get_submodule(name).register_forward_pre_hook(hook)
    before, state = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    training.reestimate_norm(net, samples, 6, 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert not net.training
    with torch.no_grad():
        for first in (0, 2, 4):
            pairs = [samples[n] for n in (first, first + 1)]
            twin(*(torch.stack(column).double() for column in zip(*pairs, strict=True)))
    for name, value in net.state_dict().items():
        module, _, kind = name.rpartition(".")
        if not kind.startswith("running") or (frozen and "encoder" in name):
            assert torch.equal(value, before[name]) or kind == "num_batches_tracked", name
            continue
        mean = torch.stack([pair[kind == "running_var"] for pair in found[module]]).mean(0)
        torch.testing.assert_close(value.double(), mean, rtol=1e-4, atol=1e-6)
    assert {net.get_submodule(name).momentum for name in norms} == {0.1}
    assert len(norms) > 3


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
    samples = Interrupted(embedded("train"), 32, seed=1)
    samples.times = times
    keeper = Keeper(tmp_path / "net.pt", 1000, {})
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as notice:
        run(9, samples=samples, keeper=keeper)
    assert signal.getsignal(signal.SIGINT) is before
    if times == 1:
        assert str(notice.value) == f"interrupted after step 3; saved to {keeper.path}"
        assert checkpoints.read(keeper.path)["step"] == 3
    else:
        assert not keeper.path.exists()


@pytest.mark.parametrize(("batch", "parts"), [(1, 1), (4, 4), (3, 2)])
def test_one_image_a_part_is_refused_with_the_option_to_change(batch, parts):
    wanted = f"1 image leaves .* batch_size, here {batch}, should .* accumulate, here {parts}"
    with pytest.raises(ValueError, match=wanted):
        run(1, batch=batch, switches=Switches(accumulate=parts))
