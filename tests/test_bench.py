import pandas as pd
import pytest
import torch

from pconv_core import hardware
from pconv_core.__main__ import main
from pconv_core.bench import (
    figures,
    loading,
    networks,
    side_by_side,
    time_shares,
    timing,
    whole_step,
)
from pconv_core.bench import table as bench
from pconv_core.losses import InpaintingLoss, VGGFeatures

CPU = torch.device("cpu")


@pytest.mark.parametrize("phase", ["training", "inference"])
@pytest.mark.parametrize("names", [("PConvUNet", "ConvUNet"), ("textbook", "PConvUNet")])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_comparison_of_networks(names, phase, precision):
    cell = networks.Cell(*names, phase, batch=2, size=64, base_channels=2, precision=precision)
    row = networks.compare_networks(cell, CPU, 2)
    assert row["seconds_low"] <= row["seconds"] <= row["seconds_high"]
    assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
    assert row["images_per_second"] == pytest.approx(2 / row["seconds"])
    assert row["memory_mib"] >= 0


def test_sides_take_turns():
    calls = []
    row = timing.alternate(lambda: calls.append("a"), lambda: calls.append("b"), 4, CPU, False)
    assert "".join(calls) == "ab" + "abba" * 2
    assert row["pairs"] == 4


def test_memory_is_the_peak_not_what_is_left():
    def use(mebibytes):
        return lambda: torch.ones(mebibytes * 2**18).sum()

    small, large = (timing.peak_memory(use(m), CPU) for m in (64, 256))
    assert 64 <= small < 66
    assert 256 <= large < 258


def test_small_measures():
    step = networks.step_with_loss(CPU, 1, batch=2, size=32, base_channels=2, precision="float32")
    assert step["ratio"] > 0
    assert networks.vgg_passes(CPU, 1, 1, 32)["ratio"] > 0
    row = loading.loading(64, 1)
    assert row["images_per_second"] == pytest.approx(1 / row["reference_seconds"])


def test_trainings_at_once_and_alone_take_turns(monkeypatch):
    asked = []

    def trainings(count, threads, policy):
        asked.append(count)
        assert (threads, policy) == (1, "PASSIVE")
        return [0.1] if count == 1 else [0.11, 0.125]

    monkeypatch.setattr(side_by_side, "_trainings", trainings)
    row = side_by_side.side_by_side(3)
    assert asked == [1, 2, 2, 1, 1, 2]
    assert row["ratio"] == row["ratio_high"] == pytest.approx(1.25)
    assert row["reference_seconds"] == pytest.approx(0.1)


def test_each_training_tells_its_step():
    first, second = side_by_side._trainings(2, 1, "PASSIVE")
    assert first > 0
    assert second > 0


def test_the_list_has_every_cell_once():
    cells = [*bench._main_cells(CPU), *bench._grid(CPU)]
    assert len(set(cells)) == len(cells) == 6 + 2 * 3 * 3 * 2 * 2
    names = [settings["benchmark"] for settings, _ in bench._tasks(CPU, 1)]
    for name in ("masks: strokes", "masks: test set", "one photograph", "VGG as usual / ours"):
        assert name in names
    assert names.index("one photograph") < names.index("PConvUNet / ConvUNet", 6)


def test_what_there_is_no_time_for_is_listed(tmp_path):
    path = bench.run(tmp_path / "out", minutes=0)
    table = pd.read_csv(path)
    assert table["note"].str.startswith("not measured").all()
    assert len(table) == len(list(bench._tasks(CPU, 1)))
    assert path.name == f"{bench.machine_name(hardware.device())}.csv"


def test_batch_norm_cannot_train_on_one_value():
    assert bench._one_value({"phase": "training", "batch": 1, "size": 256})
    for change in ({"batch": 4}, {"size": 512}, {"phase": "inference"}):
        assert not bench._one_value({"phase": "training", "batch": 1, "size": 256, **change})


def test_figure(tmp_path):
    settings = {"machine": "m", "base_channels": 64, "precision": "float32", "compiled": False}
    spread = {"ratio": 1.1, "ratio_low": 1.0, "ratio_high": 1.2, "seconds": 2.0}
    pair = {"subject": "PConvUNet", "reference": "ConvUNet", "phase": "training", "batch": 4}
    one = {"benchmark": "one photograph", "seconds": 1.0, "memory_mib": 50.0}
    table = pd.DataFrame(
        [
            {**settings, **pair, **spread, "benchmark": "PConvUNet / ConvUNet", "size": 256},
            {**settings, **one, "size": 512},
            {**settings, **one, "size": 1024, "seconds": 4.2},
        ]
    )
    figure = figures.benchmark(table)
    assert figure.axes[0].get_title() == "what a mask costs"
    assert figure.axes[1].lines[0].get_ydata().tolist() == [1.0, 4.2]


def test_some_rows_are_renewed_and_the_others_stay(tmp_path, monkeypatch):
    path = bench.run(tmp_path, minutes=0)
    before = pd.read_csv(path)
    monkeypatch.setattr(loading, "mask_test_set", lambda: {"seconds": 1.5, "pairs": 1})
    bench.run(tmp_path, minutes=1, only="masks: test set")
    after = pd.read_csv(path)
    assert after["benchmark"].tolist() == before["benchmark"].tolist()
    assert after["seconds"].notna().sum() == 1
    assert after.set_index("benchmark").loc["masks: test set", "seconds"] == 1.5
    with pytest.raises(ValueError, match="begins with 'nonsense'; it should be one of PConvUNet"):
        bench.run(tmp_path, only="nonsense")


def test_what_there_was_no_time_for_is_measured_later(tmp_path, monkeypatch):
    path = bench.run(tmp_path, minutes=0)
    before = pd.read_csv(path)
    before.loc[before["benchmark"] != "masks: test set", "note"] = "measured"
    before.to_csv(path, index=False)
    monkeypatch.setattr(loading, "mask_test_set", lambda: {"seconds": 1.5, "pairs": 1})
    bench.run(tmp_path, minutes=1, only="not measured")
    after = pd.read_csv(path).set_index("benchmark")
    assert after["seconds"].notna().sum() == 1
    assert after.loc["masks: test set", "seconds"] == 1.5
    with pytest.raises(ValueError, match="begins with 'not measured'"):
        bench.run(tmp_path, only="not measured")


def test_time_shares_tell_the_mask_apart():
    table = time_shares.measure(CPU, batch=2, size=64, base_channels=2, steps=1)
    wide = table.pivot_table("milliseconds", "operation", "network")
    assert set(wide.columns) == {"PConvUNet", "ConvUNet", "textbook"}
    assert set(wide.index) == {*time_shares.GROUPS.values(), time_shares.OTHER, time_shares.MASK}
    mask = wide.loc[time_shares.MASK]
    assert mask["ConvUNet"] == 0
    assert mask["PConvUNet"] > 0
    assert mask["textbook"] > 0
    for group in ("convolutions, backward", "convolutions, forward", "batch norm"):
        assert (wide.loc[group] > 0).all()
    axis = figures.time_shares(table).axes[0]
    ends = [
        max(b.get_x() + b.get_width() for b in bars) for bars in zip(*axis.containers, strict=True)
    ]
    assert sorted(ends) == pytest.approx(sorted(wide.sum() / 1000))


def test_the_command_writes_tables_and_figure(tmp_path, monkeypatch):
    small = time_shares.measure(CPU, batch=2, size=64, base_channels=2, steps=1)
    monkeypatch.setattr(time_shares, "measure", lambda device: small)
    assert main(["bench", "--out", str(tmp_path), "--minutes", "0"]) == 0
    name = bench.machine_name(hardware.device())
    written = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert written == sorted([f"{name}.csv", f"{name}.png", f"steps/{name}.csv"])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_whole_steps_are_timed(precision):
    step = {"batch": 4, "size": 32, "base_channels": 2, "precision": precision}
    assert whole_step.usual_and_ours(CPU, 1, **step)["ratio"] > 0
    assert whole_step.plain_and_fused(CPU, 1, **step)["ratio"] > 0
    row = whole_step.share_of_features(CPU, 1, **step)
    assert row["images_per_second"] == pytest.approx(4 / row["reference_seconds"])


def test_the_usual_loss_is_the_same_loss():
    image, mask = networks.random_batch(2, 32, CPU)
    features = VGGFeatures("random", 0.0625)
    losses = [kind(features) for kind in (whole_step.UsualLoss, InpaintingLoss)]
    outs = [(0.5 * image).clone().requires_grad_() for _ in losses]
    totals = [loss(out, image, mask)[0] for loss, out in zip(losses, outs, strict=True)]
    for total in totals:
        total.backward()
    torch.testing.assert_close(*totals)
    torch.testing.assert_close(*(out.grad for out in outs))
