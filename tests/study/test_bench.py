"""The benchmark: sides take turns, rows say what they are of, the yardstick computes the same."""

import pandas as pd
import torch

from pconv_core.models import PConvUNet
from pconv_study import bench

CPU = torch.device("cpu")


def test_sides_take_turns_and_ratios_are_of_the_same_round(monkeypatch):
    calls, clock = [], iter(range(10**6))
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(clock))

    def side(name, ticks):
        def call():
            calls.append(name)
            for _ in range(ticks - 1):
                next(clock)

        return call

    table = bench.alternate({"a": side("a", 2), "b": side("b", 6)}, "a", 4, CPU)
    assert "".join(calls) == "ab" + "abba" * 2
    assert table["subject"].tolist() == ["a", "b"]
    assert table["seconds"].tolist() == [2, 6]
    assert table["ratio"].tolist() == table["ratio_high"].tolist() == [1, 3]


def test_the_textbook_computes_the_same():
    torch.manual_seed(0)
    net = PConvUNet(3, 4).eval()
    textbook = bench.TextbookUNet(3, 4).eval()
    textbook.load_state_dict(net.state_dict())
    image, mask = bench.random_batch(2, 32, CPU)
    with torch.no_grad():
        torch.testing.assert_close(net(image, mask), textbook(image, mask))


def test_the_command_measures_everything(tmp_path, capsys):
    small = ["--rounds", "1", "--batch", "2", "--size", "64", "--width", "2"]
    assert bench.main(["--out", str(tmp_path), *small]) == 0
    (path,) = tmp_path.glob("*.csv")
    table = pd.read_csv(path)
    told = table.groupby("benchmark")["subject"].agg(list)
    assert told["networks"] == 2 * list(bench.NETWORKS)
    assert told["whole step"][:3] == ["L1 alone", "eq. 7", "eq. 7, a quarter, float32"]
    assert {"occlusion", "strokes", "thin"} < set(told["masks"])
    assert (table["seconds"] > 0).all()
    assert (table["ratio"] > 0).all()
    assert "whole step" in capsys.readouterr().out
