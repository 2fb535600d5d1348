"""Each deviation departs from the paper in what it names, and in nothing else."""

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import nn

from pconv_core.evaluation import lite0_distance, network_fill
from pconv_core.files.foreign import UnscaledPartialConv2d
from pconv_core.layers import PartialConv2d
from pconv_core.losses import InpaintingLoss, VGGFeatures
from pconv_core.models import PConvUNet
from pconv_core.study import Study, deviation_runs, disc
from pconv_core.study.deviations import (
    DEVIATIONS,
    FAITHFUL,
    REPLICA,
    DetachedTotalVariation,
    EncoderUnnormalised,
    PaddingKnownConv2d,
    PerceptualOfOutput,
    ReplicaUNet,
    SwappedComposite,
    doubled,
    halved,
    unnormalised,
)
from pconv_core.study.profile import load_profile, overrides_of


def by_windows(layer, x, mask):
    """Eq. 1 window by window in float64, what lies outside the picture being known and 0."""
    pad = [p for p in reversed(layer.padding) for _ in (0, 1)]
    x, mask = x.double(), mask.double().expand_as(x)
    wide = nn.functional.pad(x * mask, pad)
    known = nn.functional.pad(mask, pad, value=1.0)
    (kh, kw), (sh, sw) = layer.kernel_size, layer.stride
    height, width = (
        (s - k) // t + 1 for s, k, t in zip(wide.shape[2:], (kh, kw), (sh, sw), strict=True)
    )
    y = torch.zeros(len(x), layer.out_channels, height, width, dtype=torch.float64)
    new_mask = torch.zeros(len(x), 1, height, width, dtype=torch.float64)
    for i in range(height):
        for j in range(width):
            window = np.s_[..., i * sh : i * sh + kh, j * sw : j * sw + kw]
            total = known[window].sum((1, 2, 3))
            sums = (wide[window].unsqueeze(1) * layer.weight.double()).sum((2, 3, 4))
            scale = torch.where(total > 0, layer.weight[0].numel() / total.clamp(min=1), 0)
            hit = (total > 0).double()
            bias = 0 if layer.bias is None else layer.bias.double()
            y[..., i, j] = sums * scale[:, None] + bias * hit[:, None]
            new_mask[:, 0, i, j] = hit
    return y, new_mask


@given(
    seed=st.integers(0, 999),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 2]),
    share=st.sampled_from([0.0, 0.2, 0.7, 1.0]),
)
def test_padding_counts_as_known(seed, kernel, stride, share):
    torch.manual_seed(seed)
    layer = PaddingKnownConv2d(3, 2, kernel, stride, kernel // 2)
    x = torch.randn(2, 3, 6, 7)
    mask = (torch.rand(2, 1, 6, 7) < share).float()
    y, new_mask = layer(x, mask)
    expected, expected_mask = by_windows(layer, x, mask)
    assert torch.equal(new_mask.double(), expected_mask)
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-5)


def test_without_padding_nothing_changes():
    layer, faithful = PaddingKnownConv2d(3, 4, 3), PartialConv2d(3, 4, 3)
    faithful.load_state_dict(layer.state_dict())
    x, mask = torch.randn(1, 3, 9, 9), (torch.rand(1, 1, 9, 9) < 0.2).float()
    for a, b in zip(layer(x, mask), faithful(x, mask), strict=True):
        torch.testing.assert_close(a, b)


def test_networks():
    norms = [
        m for m in EncoderUnnormalised(5, 2).encoder.modules() if isinstance(m, nn.BatchNorm2d)
    ]
    assert norms == []
    assert any(isinstance(m, nn.BatchNorm2d) for m in EncoderUnnormalised(5, 2).decoder.modules())
    assert all(block.conv.bias is not None for block in EncoderUnnormalised(5, 2).encoder)
    replica = ReplicaUNet(5, 4).eval()
    assert replica.encoder[0].conv.weight.std() < 0.02
    assert isinstance(replica.encoder[0].conv, UnscaledPartialConv2d)
    with torch.no_grad():
        out = replica(100 * torch.randn(1, 3, 32, 32), torch.ones(1, 1, 32, 32))
    assert 0 <= out.min() < out.max() <= 1


def test_composite_swapped():
    out, image = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4)
    mask = (torch.rand(1, 1, 4, 4) < 0.5).float()
    swapped = SwappedComposite.compose(out, image, mask)
    torch.testing.assert_close(swapped, mask * out + (1 - mask) * image)


def test_total_variation_is_everywhere_and_one_sided():
    comp = torch.rand(1, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    term = DetachedTotalVariation.total_variation(comp, torch.ones(1, 1, 5, 6))
    x = comp.detach().numpy()[0, 0]
    across, down = np.diff(x, axis=1), np.diff(x, axis=0)
    assert term.item() == pytest.approx((abs(across).sum() + abs(down).sum()) / 30)
    term.backward()
    expected = np.zeros((5, 6))
    expected[:, 1:] += np.sign(across) / 30
    expected[1:] += np.sign(down) / 30
    np.testing.assert_allclose(comp.grad.numpy()[0, 0], expected)


def test_vgg_sees_too_small_a_range():
    seen = []
    features = unnormalised(VGGFeatures("random", 0.0625))
    features.stages[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    image = torch.rand(1, 3, 16, 16)
    features(image)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    torch.testing.assert_close(seen[0] * 255 * std, image * 2 - 1)


def test_the_replica_has_every_departure():
    names = [d.name for d in DEVIATIONS]
    assert len(set(names)) == len(names)
    assert names[0] == "faithful"
    for deviation in (d for d in DEVIATIONS if d.whose == "P-Conv"):
        if deviation.network is not PConvUNet:
            mine = (deviation.network, deviation.network.conv)
            assert issubclass(REPLICA.network, mine[0]) or issubclass(REPLICA.network.conv, mine[1])
        assert issubclass(REPLICA.loss, deviation.loss)
    assert REPLICA.learning_rate == 0.02
    assert REPLICA.features is unnormalised
    assert REPLICA.on_out
    assert REPLICA.batch_statistics


@pytest.fixture
def study(tmp_path):
    changes = [
        "size=48",
        "base_channels=2",
        "features=random",
        "feature_width=0.0625",
        "batch_size=2",
    ]
    changes += ["stage1_steps=3", "stage2_steps=2", "finetune_steps=1", "test_per_cell=1"]
    return Study(load_profile("demo", overrides_of(["name=tiny", *changes])), tmp_path)


def test_schedule(study):
    faithful = deviation_runs.stages(study, FAITHFUL)
    assert faithful == [study.stage(name) for name in ("stage1", "stage2", "finetune")]
    by_name = {d.name: deviation_runs.stages(study, d) for d in DEVIATIONS}
    rates = [s.learning_rate for s in by_name["learning rate 0.02"]]
    assert rates == pytest.approx([0.02, 0.002, 0.0002])
    styles = [s.lambda_style for s in by_name["style weight 120 from the start"]]
    assert styles == [120, 120, 120]


@pytest.mark.parametrize("deviation", DEVIATIONS, ids=lambda d: d.name)
def test_every_deviation_trains_and_is_measured(study, deviation):
    net = deviation_runs.trained(study, deviation)
    measured = deviation_runs.measure(study, net, deviation)
    assert set(measured) == {"psnr", "ssim", "lite0", "excess", "peak", *disc.MEASURES}
    assert all(math.isfinite(value) for value in measured.values())


def test_the_lite0_distance_is_of_what_is_measured(study):
    """Of I_comp, or of I_out where the deviation says so, over hole ratios up to 0.5."""
    by_name = {d.name: d for d in DEVIATIONS}
    net = deviation_runs.build(study, FAITHFUL).eval()
    for deviation in (FAITHFUL, by_name["measured on I_out"]):
        distances = []
        for *_, images, masks in study.evaluation_set(study.profile.size):
            filled = network_fill(net)(images, masks)
            if not deviation.on_out:
                filled = masks * images + (1 - masks) * filled
            chosen = 1 - masks.mean(dim=(1, 2, 3)) <= 0.5
            distances += lite0_distance(filled, images)[chosen].tolist()
        measured = deviation_runs.measure(study, net, deviation)
        assert measured["lite0"] == pytest.approx(np.mean(distances), rel=1e-4)


def test_faithful_is_what_the_study_trains(study):
    ours = deviation_runs.trained(study, FAITHFUL).state_dict()
    theirs = study.network("pconv", 48, "finetune").state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_batch_statistics(study):
    net = deviation_runs.build(study, FAITHFUL)
    images, masks = torch.rand(3, 3, 48, 48), (torch.rand(3, 1, 48, 48) < 0.7).float()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    out = deviation_runs.with_batch_statistics(net)(images, masks)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    alone = deviation_runs.with_batch_statistics(net)(images[1:2], masks[1:2])
    torch.testing.assert_close(out[1:2], alone)
    assert not torch.allclose(out, network_fill(net)(images, masks))


def test_periodicity_tells_patterns_and_blur():
    rng = np.random.default_rng(0)
    truth = torch.from_numpy(rng.random((12, 3, 32, 32))).float()
    masks = torch.ones(12, 1, 32, 32)
    masks[..., 6:26, 6:26] = 0
    same = deviation_runs.periodicity(truth, truth, masks)
    assert same == pytest.approx({"excess": 0, "peak": 0}, abs=1e-6)
    wave = torch.sin(torch.arange(32) * 2 * torch.pi / 4).expand(32, 32)
    striped = deviation_runs.periodicity(truth + wave, truth, masks)
    assert striped["peak"] > 10
    assert striped["excess"] > 3
    noise = truth + 0.3 * torch.from_numpy(rng.standard_normal((12, 1, 32, 32))).float()
    assert deviation_runs.periodicity(noise, truth, masks)["peak"] < 4
    blurred = torch.from_numpy(gaussian_filter(truth.numpy(), (0, 0, 1, 1)))
    assert deviation_runs.periodicity(blurred, truth, masks)["excess"] < -5
    assert deviation_runs.periodicity(blurred, truth, masks)["peak"] < 4


def test_table_by_hand():
    rows = pd.DataFrame(
        {
            "deviation": ["faithful", "other", "faithful", "other"],
            "seed": [1, 1, 2, 2],
            "psnr": [20.0, 19.0, 22.0, 19.0],
            "ssim": [0.8, 0.7, 0.9, 0.8],
            "excess": [0.0, 1.0, 0.0, 3.0],
            "peak": [1.0, 1.0, 1.0, 5.0],
        }
    )
    table = deviation_runs.by_deviation(rows).set_index("deviation")
    assert table.index.tolist() == ["faithful", "other"]
    assert table["seeds"].tolist() == [2, 2]
    assert table.loc["other", "delta_psnr"] == pytest.approx(-2)
    assert table.loc["other", "spread_psnr"] == pytest.approx(math.sqrt(2))
    # Student's t with one degree of freedom, from a printed table.
    assert table.loc["other", "reach_psnr"] == pytest.approx(12.706, rel=1e-4)
    assert table.loc["other", "delta_ssim"] == pytest.approx(-0.1)
    assert table.loc["other", "excess"] == pytest.approx(2)
    assert table.loc["faithful", "delta_psnr"] == 0


def test_every_row_says_what_it_was_trained_with(study):
    """Also where a deviation has other features than the run."""
    number = [d.name for d in DEVIATIONS].index("random features")
    seen = replace(study.profile, features="hed", feature_width=1.0, name_hardware=True)
    row = deviation_runs._facts(Study(seen, study.results), DEVIATIONS[number], 1.5)
    assert row["features"] == "random VGG-16 x1"
    assert row["samples"] == 2 * (3 + 2 + 1)
    assert row["minutes"] == 1.5
    assert "thread" in row["hardware"]
    (row,) = deviation_runs._job(study.profile, 3, [1], None, False)
    assert row["features"] == "random VGG-16 x0.0625"
    rows = pd.DataFrame([{**row, "deviation": "faithful"}, {**row, "features": "other"}])
    table = deviation_runs.by_deviation(rows)
    assert table["features"].tolist() == ["random VGG-16 x0.0625", "other"]


def test_losses_are_the_papers_but_for_one_term():
    torch.manual_seed(0)
    out, image = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    mask = (torch.rand(2, 1, 32, 32) < 0.6).float()
    features = VGGFeatures("random", 0.0625)
    _, faithful = InpaintingLoss(features)(out, image, mask)
    _, terms = DetachedTotalVariation(features)(out, image, mask)
    changed_terms = {n for n in terms if not torch.equal(terms[n], faithful[n])}
    assert changed_terms == {"tv", "total"}
    _, terms = PerceptualOfOutput(features)(out, image, mask)
    changed_terms = {n for n in terms if not torch.equal(terms[n], faithful[n])}
    assert changed_terms == {"perceptual", "total"}
    f_out, f_gt = features(out), features(image)
    expected = sum((a - b).abs().mean() for a, b in zip(f_out, f_gt, strict=True))
    torch.testing.assert_close(terms["perceptual"], expected)
    _, terms = SwappedComposite(features)(out, image, mask)
    changed_terms = {n for n in terms if not torch.equal(terms[n], faithful[n])}
    assert changed_terms == {"perceptual", "style_comp", "tv", "total"}


def test_runs_do_not_depend_on_processes(study):
    threads = torch.get_num_threads()
    rows = deviation_runs.runs(study.profile, [3, 4], processes=2)
    assert rows["deviation"].tolist() == 2 * [d.name for d in DEVIATIONS]
    assert rows["seed"].tolist() == len(DEVIATIONS) * [3] + len(DEVIATIONS) * [4]
    torch.set_num_threads(1)
    try:
        pair = [d.name for d in DEVIATIONS].index("measured on I_out, batch statistics")
        row, other = deviation_runs._job(study.profile, 3, [0, pair], None, False)
    finally:
        torch.set_num_threads(threads)
    measures = [*deviation_runs.MEASURES, *disc.MEASURES]
    for number, expected in ((0, row), (pair, other)):
        assert rows.loc[number, measures].to_dict() == {m: expected[m] for m in measures}
    assert row["psnr"] != other["psnr"]


def test_networks_are_shared_by_measures_only():
    groups = deviation_runs.networks()
    assert sorted(number for group in groups for number in group) == list(range(len(DEVIATIONS)))
    shared = [group for group in groups if len(group) > 1]
    assert [[DEVIATIONS[k].name for k in group] for group in shared] == [
        ["faithful", "measured on I_out", "measured on I_out, batch statistics"],
        ["all of P-Conv's, measured on I_comp", "all of P-Conv's, measured as it does"],
    ]


def test_a_loss_that_is_no_number_leaves_a_note(study, monkeypatch):
    def fails(*_):
        raise FloatingPointError("the loss is nan at step 3; nothing was saved")

    monkeypatch.setattr(deviation_runs, "trained", fails)
    (row,) = deviation_runs._job(study.profile, 3, [1], None, False)
    assert row["note"] == "the loss is nan at step 3"
    assert "psnr" not in row


def test_what_is_kept_is_not_trained_again(study, tmp_path, monkeypatch):
    kept = tmp_path / "kept"
    first = deviation_runs._job(study.profile, 3, [0, 17], kept, True)
    written = {path.name: path.read_bytes() for path in kept.iterdir()}
    assert {name.rpartition(".")[2] for name in written} == {"csv", "png"}
    assert len(written) == 3

    def fails(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(deviation_runs, "trained", fails)
    again = deviation_runs._job(study.profile, 3, [0, 17], kept, True)
    for row, same in zip(first, again, strict=True):
        assert same == pytest.approx(row, abs=1e-6)
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == written


def test_what_was_cut_off_is_trained_again(study, tmp_path, monkeypatch):
    """The rows come last: a picture without them is of a run that did not end."""
    kept = tmp_path / "kept"
    monkeypatch.setattr(deviation_runs, "_draw", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        deviation_runs._job(study.profile, 3, [0], kept, True)
    assert list(kept.glob("*.csv")) == []


def test_artefacts_show_what_was_kept(study, tmp_path):
    kept = tmp_path / "kept"
    deviation_runs._job(study.profile, 3, [1], kept, True)
    figure = deviation_runs.artefacts(kept, study.profile.size)
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == ["ground truth", "input", DEVIATIONS[1].name]


def test_features_at_another_scale():
    features, image = VGGFeatures("random", 0.0625), torch.rand(1, 3, 16, 16)
    for change, factor in ((halved, 0.5), (doubled, 2.0)):
        for ours, theirs in zip(change(features)(image), features(image), strict=True):
            torch.testing.assert_close(ours, factor * theirs)
    loss = InpaintingLoss(features)
    torch.manual_seed(0)
    out = torch.rand_like(image)
    mask = (torch.rand(1, 1, 16, 16) < 0.5).float()
    _, terms = loss(out, image, mask)
    _, doubles = InpaintingLoss(doubled(features))(out, image, mask)
    assert doubles["perceptual"] == pytest.approx(2 * terms["perceptual"].item(), rel=1e-4)
    for name in ("style_out", "style_comp"):
        assert doubles[name] == pytest.approx(4 * terms[name].item(), rel=1e-4)


def test_other_features_and_another_share(study):
    by_name = {d.name: d for d in DEVIATIONS}
    assert (
        deviation_runs.objective(study, by_name["all images see the features"]).draw(0, 8) is None
    )
    profile = replace(study.profile, features="hed", feature_width=1.0)
    objective = deviation_runs.objective(Study(profile, study.results), by_name["random features"])
    expected = VGGFeatures("random", 1.0, profile.seed).state_dict()
    found = objective.features.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_worker_ends_with_the_process_that_began_it():
    """It holds the pipe open, so the pipe's end is its own."""
    worker = (
        "import os; from pconv_core.study.deviation_runs import _end_after; "
        # Asked before the test may end the parent, as `runs` does.
        "parent = os.getppid(); print('begun', flush=True); _end_after(parent)"
    )
    parent = (
        "import subprocess, sys; "
        f"child = subprocess.Popen([sys.executable, '-c', {worker!r}]); "
        "child.wait()"
    )
    began = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    try:
        assert began.stdout.readline() == "begun\n"
        began.kill()
        assert began.communicate(timeout=60)[0] == ""
    finally:
        began.kill()
