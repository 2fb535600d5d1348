"""The sentences say what the tables hold."""

import pandas as pd
import pytest

from pconv_core.study import summary

BINS = ["0.01-0.1", "0.1-0.2", "0.2-0.3", "0.3-0.4"]
HALF = "0.01-0.5"


def write(folder, name, rows, columns):
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=columns).to_csv(folder / f"{name}.csv", index=False)


@pytest.fixture
def results(tmp_path, trainings_tables):
    rows = [
        ("faithful", "", 3, 27.0, 0.0, 0.0),
        ("a", "P-Conv", 3, 26.0, -1.0, 0.2),
        ("b", "P-Conv", 3, 24.5, -2.5, 0.3),
        ("d", "P-Conv", 3, 27.1, 0.1, 0.3),
        ("c", "other", 3, 20.0, -7.0, 0.3),
        ("on I_out", "measure", 3, 25.0, -2.0, 0.1),
        ("on I_out, batch", "measure", 3, 24.0, -3.0, 0.1),
        ("all, I_comp", "all", 3, 23.0, -4.0, 0.5),
        ("all, as it does", "all", 3, 19.0, -8.0, 0.6),
    ]
    columns = ["deviation", "whose", "seeds", "psnr", "delta_psnr", "reach_psnr"]
    rows = [(*row, "VGG-16 x") for row in rows]
    write(tmp_path / "demo/tables", "08_deviations", rows, [*columns, "features"])
    of_shipped(tmp_path)
    return trainings_tables


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
    *_, explanation, replica = summary.sentences(results())
    assert "Of the 3 departures" in explanation
    assert "with 3 random seeds and features of a VGG-16 x" in explanation
    assert (
        'these cost PSNR (2): "b" -2.50 ± 0.30 dB; "a" -1.00 ± 0.20 dB and cannot be told'
        in explanation
    )
    assert "land at 23.00 dB, -4.00 ± 0.50 dB from the faithful runs, 27.00 dB; m" in replica
    assert "at 19.00 dB, and that measure alone changes the faithful run by -3.00 dB" in replica
    assert "P-Conv reported 22.65 dB" in replica


def test_a_replica_that_diverged_and_one_that_cannot_be_told(results, tmp_path):
    folder = results()
    path = folder / "demo/tables/08_deviations.csv"
    table = pd.read_csv(path)
    all_of_it = table["whose"] == "all"
    table.assign(reach_psnr=table["reach_psnr"].mask(all_of_it, 9.0)).to_csv(path)
    assert "27.00 dB, not told from chance; measured as" in summary.sentences(folder)[-1]
    table.loc[all_of_it, ["seeds", "psnr", "delta_psnr", "reach_psnr"]] = [0, None, None, None]
    table.to_csv(path)
    assert "All of them together had no finite loss in any" in summary.sentences(folder)[-1]


def test_the_networks_on_photographs(results):
    mask, unet, classical, schedule = summary.sentences(results())[:4]
    assert "the partial U-Net reaches 25.00 dB. Against itself with plain convolutions:" in mask
    assert "+0.50 dB (+0.25 to +0.75), better in every bin; SSIM +0.050" in mask
    assert "over 3 random seeds and 500 pictures; features of a VGG-16 hed" in mask
    assert "traditional U-Net (23.50 dB): +1.50 dB (+1.25 to +1.75), better in" in unet
    assert "Telea (27.00 dB) -2.00 dB (-2.25 to -1.75), worse in every bin" in classical
    assert "Its Lite0 distance is lower than that of none of them." in classical
    assert "changes it by -0.50 dB (-0.75 to -0.25), fine-tuning by +0.25 dB" in schedule
    assert "trained at 112 instead of 128 pixels it differs by +0.00 dB" in schedule


def test_the_classical_methods_can_be_passed(results):
    better = {(name, b): 1.0 for name in ("Telea", "biharmonic") for b in BINS[2:3]}
    text = summary.sentences(results(bins=better))[2]
    assert "worse in every bin" in text  # Navier-Stokes
    assert text.count("better in 0.2-0.3; worse in 0.01-0.1 and 0.1-0.2") == 2


def test_the_shipped_weights_are_held_against_the_best_classical_method(results):
    shipped, paper = summary.sentences(results())[4:6]
    assert "+1.00 dB (+0.90 to +1.10) and a Lite0 distance of -0.100 at 128 pixels" in shipped
    assert "(biharmonic)" in shipped
    assert "(continuation)" not in shipped
    assert "At 512 pixels" in paper
    assert "0.1-0.2, 0.2-0.3 and 0.3-0.4, they reach 29.00, 28.00 and 27.00 dB" in paper
    assert "the paper 28.32, 25.25 and 22.89 dB" in paper


@pytest.mark.parametrize(
    ("reach", "told"),
    [
        (0.25, "Knowing the mask helps: +0.50 dB (+0.25 to +0.75)"),
        (0.75, "Knowing the mask changes nothing that can be told from chance: +0.50 dB"),
    ],
)
def test_the_answer(results, reach, told):
    text = summary.answer(results(reach=reach))
    assert text.startswith(told)
    assert "P-Conv reported +9.28 dB" in text
    assert "25.00 dB, 3.00 dB below the best method that learns nothing (biharmonic)" in text
    assert text.endswith("the weights that come along reach 29.00 dB.")
