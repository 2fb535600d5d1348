"""The sentences say what the tables hold."""

import pandas as pd
import pytest

from pconv_core.study import summary

OURS = "partial U-Net 128"
BINS = ["0.01-0.1", "0.1-0.2", "0.2-0.3", "0.3-0.4"]
HALF = "0.01-0.5"


def write(folder, name, rows, columns):
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=columns).to_csv(folder / f"{name}.csv", index=False)


@pytest.fixture
def results(tmp_path):
    rows = [
        ("faithful", "", 3, 27.0, 0.0, 0.0),
        ("a", "P-Conv", 3, 26.0, -1.0, 0.2),
        ("b", "P-Conv", 3, 24.5, -2.5, 0.3),
        ("c", "other", 3, 20.0, -7.0, 0.3),
        ("on I_out", "measure", 3, 25.0, -2.0, 0.1),
        ("on I_out, batch", "measure", 3, 24.0, -3.0, 0.1),
        ("all, I_comp", "all", 3, 23.0, -4.0, 0.5),
        ("all, as it does", "all", 3, 19.0, -8.0, 0.6),
    ]
    columns = ["deviation", "whose", "seeds", "psnr", "delta_psnr", "reach_psnr"]
    write(tmp_path / "demo/tables", "08_deviations", rows, columns)
    return tmp_path


def with_photos(results):
    tables = results / "photographs/tables"
    models = [OURS, "traditional U-Net 128", "Conv U-Net 128", "Telea", "Navier-Stokes"]
    rows = [(m, 25.0 - k, 61.4, 0.8, "VGG-16 x") for k, m in enumerate([*models, "biharmonic"])]
    write(tables, "psnr_overall", rows, ["model", "psnr", "minutes", "ssim", "features"])
    bins = ["0.01-0.1", "0.1-0.2", "0.2-0.3", "0.3-0.4"]
    rows = [(OURS, b, True, 30.0 - k) for k, b in enumerate(bins)]
    rows += [(OURS, b, False, 0.0) for b in bins]
    write(tables, "psnr_by_bin", rows, ["model", "hole_ratio", "border", "psnr"])
    lows = {
        "traditional U-Net 128": [1, 1, 1, 1],
        "Conv U-Net 128": [0, 0, 0, 0],
        "Telea": [-1, 1, -1, 1],
        "Navier-Stokes": [1, 1, 1, 1],
        "biharmonic": [1, 1, 1, -1],
    }
    rows = [(f"{OURS} - {m}", "0.01-0.5", 1.5, 1.1, 1.9) for m in lows]
    rows += [
        (f"{OURS} - {m}", b, 9.0, low, 9.0)
        for m, of_bins in lows.items()
        for b, low in zip(bins, of_bins, strict=True)
    ]
    write(tables, "psnr_differences", rows, ["difference", "hole_ratio", "psnr", "low", "high"])
    of_shipped(results)
    return results


def of_shipped(folder):
    tables = folder / "shipped/tables"
    rows = [
        (512, "shipped weights", name, border, (30.0 if border else 0.0) - k)
        for k, name in enumerate(BINS)
        for border in (True, False)
    ]
    write(tables, "bins", rows, ["size", "model", "hole_ratio", "border", "psnr"])
    rows = [
        (size, measure, f"shipped weights - {other}", HALF, mean, mean - 0.1, mean + 0.1)
        for size in (128, 512)
        for other, psnr in (
            *(("Telea", 2.0), ("Navier-Stokes", 3.0)),
            *(("biharmonic", 1.0), ("continuation", 0.5)),
        )
        for measure, mean in (("psnr", psnr), ("lite0", -psnr / 10))
    ]
    columns = ["size", "measure", "difference", "hole_ratio", "mean", "low", "high"]
    write(tables, "differences", rows, columns)


def test_the_departures_of_p_conv_are_ranked(results):
    *_, explanation, replica = summary.sentences(with_photos(results))
    assert "Of the 2 departures" in explanation
    assert '"b" costs most, -2.50 ± 0.30 dB, then "a", -1.00 ± 0.20 dB,' in explanation
    assert "over 3 random seeds" in explanation
    assert "land at 23.00 dB, -4.00 ± 0.50 dB from the mean of the faithful runs, 27" in replica
    assert "at 19.00 dB, and that measure alone changes the faithful run by -3.00 dB" in replica
    assert "P-Conv reported 22.65 dB" in replica


def test_real_photographs(results):
    networks, classical, *rest = summary.sentences(with_photos(results))
    assert len(rest) == 4
    assert "reaches 25.00 dB: +1.50 dB (+1.10 to +1.90) against the traditional" in networks
    assert "Telea (22.00 dB) from a hole ratio of 0.3 on" in classical
    assert "Navier-Stokes (21.00 dB) at every hole ratio" in classical
    assert "biharmonic (20.00 dB) nowhere" in classical


def test_the_shipped_weights_are_held_against_the_best_classical_method(results):
    shipped, paper = summary.sentences(with_photos(results))[2:4]
    assert "+1.00 dB (+0.90 to +1.10) and a Lite0 distance of -0.100 at 128 pixels" in shipped
    assert "(biharmonic)" in shipped
    assert "(continuation)" not in shipped
    assert "At 512 pixels" in paper
    assert "0.1-0.2, 0.2-0.3 and 0.3-0.4, they reach 29.00, 28.00 and 27.00 dB" in paper
    assert "the paper 28.32, 25.25 and 22.89 dB" in paper


def test_the_lite0_distance_is_told_where_it_was_measured(results):
    results = with_photos(results)
    networks, *_ = summary.sentences(results)
    assert networks.endswith("that of the traditional one 0.800.")
    path = results / "photographs/tables/psnr_overall.csv"
    table = pd.read_csv(path)
    table.assign(lite0=[0.1 * k for k in range(6)]).to_csv(path, index=False)
    networks, *_ = summary.sentences(results)
    assert networks.endswith("the Lite0 distances (lower is better) are 0.000 and 0.100.")


def test_the_answer_in_two_sentences(results):
    text = summary.answer(with_photos(results))
    assert "the partial U-Net leads a traditional one by +1.50 dB (+1.10 to +1.90)" in text
    assert "P-Conv reported +9.28 dB" in text
    assert "25.00 dB, 3.00 dB above the best method that learns nothing (Telea)" in text
