"""The sentences say what the tables hold."""

import pandas as pd
import pytest

from pconv_core.study import summary
from pconv_core.study.deviations import REPLICA

BINS = ["0.01-0.1", "0.1-0.2", "0.2-0.3", "0.3-0.4"]
HALF = "0.01-0.5"


def write(folder, name, rows, columns):
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=columns).to_csv(folder / f"{name}.csv", index=False)


UNNORMALISED = "encoder norm thrown away"
SIGMOID, SWAPPED, SMALL = "sigmoid output", "composite swapped", "weights begin as N(0, 0.01)"
MEASURED, ON_COMP = "measured on I_out, batch statistics", "all of P-Conv's, measured on I_comp"
# Difference to the faithful run, and half the width of its interval.
EFFECTS = {
    SIGMOID: (-1.0, 0.2),
    SWAPPED: (-2.5, 0.3),
    SMALL: (0.1, 0.3),
    "random features": (-7.0, 0.3),
    "measured on I_out": (-2.0, 0.1),
    MEASURED: (-3.0, 0.1),
    ON_COMP: (-4.0, 0.5),
    REPLICA.name: (-8.0, 0.6),
}
DISC = {MEASURED: 24.0, REPLICA.name: 21.0}  # of I_out


def of_deviations(folder, lost=(), **others):
    """Runs with three random seeds; `lost` is what had no finite loss, by random seed or at all."""
    rows = []
    for name, (delta, reach) in {"faithful": (0.0, 0.0), **EFFECTS, **others}.items():
        # Student's t with two degrees of freedom, from a printed table.
        spread = reach * 3**0.5 / 4.303
        for seed in (1, 2, 3):
            gone = name in lost or (name, seed) in lost
            shift = delta + (seed - 2) * spread
            discs = {"disc_comp": 38.0, "disc_out": DISC.get(name, 30.0), "disc_hole": 9.0}
            measures = {"psnr": 27 + shift, "ssim": 0.8, "lite0": 1 - shift / 10}
            measures |= {**discs, "disc_known": 31.0}
            row = {"deviation": name, "seed": seed, "note": "nan" if gone else ""}
            rows.append(row | dict.fromkeys(measures) if gone else row | measures)
    table = pd.DataFrame(rows).assign(features="VGG-16 x", samples=8000)
    (folder / "deviations/tables").mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "deviations/tables/runs.csv", index=False)


@pytest.fixture
def results(tmp_path, trainings_tables):
    of_deviations(tmp_path)
    of_shipped(tmp_path)
    return trainings_tables


def of_shipped(folder):
    tables = folder / "shipped/tables"
    rows = [
        (512, "shipped weights", name, border, 20, (30.0 if border else 0.0) - k)
        for k, name in enumerate(BINS)
        for border in (True, False)
    ]
    write(tables, "bins", rows, ["size", "model", "hole_ratio", "border", "pictures", "psnr"])
    rows = [
        (size, measure, f"shipped weights - {other}", HALF, mean, mean - 0.1, mean + 0.1, count)
        for size, count in ((128, 200), (512, 100))
        for other, psnr in (
            *(("Telea", 2.0), ("Navier-Stokes", 3.0)),
            *(("biharmonic", 1.0), ("continuation", 0.5)),
        )
        for measure, mean in (("psnr", psnr), ("lite0", -psnr / 10))
    ]
    columns = ["size", "measure", "difference", "hole_ratio", "mean", "low", "high"]
    write(tables, "differences", rows, [*columns, "pictures"])


def test_the_departures_of_p_conv_are_ranked(results):
    *_, explanation, replica = summary.sentences(results())
    assert explanation.startswith("P-Conv's 3 departures in training, each switched on alone")
    assert "with 3 random seeds (features of a VGG-16 x). Costing PSNR (2):" in explanation
    assert explanation.endswith(
        '(2): "composite swapped" -2.50 ± 0.30 dB, Lite0 distance +0.250 ± 0.030; '
        '"sigmoid output" -1.00 ± 0.20 dB, Lite0 distance +0.100 ± 0.020. Not '
        'told from chance (1): "weights begin as N(0, 0.01)".'
    )
    assert "at 23.00 dB, the faithful runs at 27.00 dB: -4.00 ± 0.50 dB. Measured as" in replica
    assert "they land at 19.00 dB. That measure alone changes the faithful run by" in replica
    assert replica.endswith(
        "by -3.00 ± 0.10 dB. P-Conv reported 22.65 dB, of one other photograph."
    )


def test_departures_that_gain_and_that_have_no_finite_loss(results):
    folder = results()
    changes = {SIGMOID: (1.0, 0.2), MEASURED: (-3.0, 9.0)}
    of_deviations(folder, lost=[SWAPPED, (SMALL, 3)], **changes, **{SMALL: (-1.0, 0.001)})
    *_, text, replica = summary.sentences(folder)
    assert 'Gaining (1): "sigmoid output" +1.00 ± 0.20 dB, Lite0 distance -0.100 ± 0' in text
    assert 'Without a finite loss (1): "composite swapped".' in text
    assert 'Costing PSNR (1): "weights begin as N(0, 0.01)" -1.00 ± 0.00 dB, a finite l' in text
    assert "loss at 2 of 3 random seeds, Lite0 distance +0.100 ± 0.000." in text
    assert "Not told from chance" not in text
    assert "changes the faithful run by -3.00 ± 9.00 dB (not told from chance)." in replica
    of_deviations(folder, lost=[(SMALL, 3)])
    text = summary.sentences(folder)[-2]
    assert 'N(0, 0.01)", a finite loss at 2 of 3 random seeds.' in text


def test_a_replica_that_diverged_and_one_that_cannot_be_told(results):
    folder = results()
    of_deviations(folder, **{ON_COMP: (-4.0, 9.0)})
    assert "-4.00 ± 9.00 dB (not told from chance). M" in summary.sentences(folder)[-1]
    of_deviations(folder, lost=[ON_COMP, REPLICA.name])
    assert "All of them together had no finite loss at any" in summary.sentences(folder)[-1]
    why = summary.answer(folder)[-1]
    assert why.endswith(
        "Training as P-Conv does had no finite loss at any random seed. P-Conv reported 22.65 dB, "
        "of one other photograph."
    )
    assert "scoring a faithful one as P-Conv does changes its PSNR by -3.00 ± 0.10 dB." in why


def test_the_networks_on_photographs(results):
    mask, unet, classical, schedule = summary.sentences(results())[:4]
    assert "U-Net reaches 25.00 dB. Beside itself with plain convolutions it has +0.50 dB" in mask
    assert "+0.50 dB (+0.25 to +0.75), better in every bin; SSIM +0.050" in mask
    assert "over 3 random seeds and 500 crops of 200 photographs; features of a V" in mask
    assert "U-Net (23.50 dB) the partial U-Net has +1.50 dB (+1.25 to +1.75), better in" in unet
    assert "After stage 1 it has -0.50 dB (-0.75 to -0.25), after stage 2 -0.250 dB" in unet
    assert "fine-tuning changes the traditional one by +0.250 dB (+0.000 to +0.500)" in unet
    assert "it has +1.50 dB of the raw output, which P-Conv measures, and +0.00 dB" in unet
    assert ": -2.00 dB (-2.25 to -1.75) beside Telea (27.00 dB), worse in every bin" in classical
    assert "By Lite0 distance better than it: Telea, Navier-Stokes, biharmonic and c" in classical
    assert "partial U-Net by -0.50 dB (-0.75 to -0.25) and Lite0 distance +0.050" in schedule
    assert "fine-tuning by +0.250 dB" in schedule  # its interval ends at 0.000
    assert "Trained at 112 instead of 128 pixels it has +0.125 dB" not in schedule


def test_the_classical_methods_can_be_passed(results):
    better = {(name, b): 1.0 for name in ("Telea", "biharmonic") for b in BINS[2:3]}
    text = summary.sentences(results(bins=better))[2]
    assert "worse in every bin" in text  # Navier-Stokes
    assert text.count("better in 0.2-0.3, worse in 0.01-0.2") == 2


def test_the_shipped_weights_are_held_against_the_best_classical_method(results):
    shipped, paper = summary.sentences(results())[4:6]
    assert "own, at 128 pixels (200 crops) by +1.00 dB (+0.90 to +1.10) and a" in shipped
    assert "; at 512 pixels (100 crops) by +1.00 dB" in shipped
    assert "a Lite0 distance of -0.100 (biharmonic), from the continuation by +0.50 dB" in shipped
    assert "(continuation)" not in shipped
    assert "20 crops a bin: at 512 pixels" in paper
    assert "0.1-0.2, 0.2-0.3 and 0.3-0.4, they reach 29.00, 28.00 and 27.00 dB" in paper
    assert "the paper 28.32, 25.25 and 22.89 dB" in paper


@pytest.mark.parametrize(
    ("gap", "said", "distance"),
    [
        (0.5, "Yes", "is lower, which is better"),
        (-0.5, "No", "is higher, which is worse"),
        (0.1, "It cannot be told", "cannot be told apart"),
    ],
)
def test_the_answer_follows_what_the_mask_is_worth(results, gap, said, distance):
    first, *_ = summary.answer(results(gaps={"Conv U-Net 128": gap}))
    assert first.startswith(f"**Does knowing the mask help? {said}.** Beside the same U-Net")
    assert f"the partial one has {gap:+.2f} dB ({gap - 0.25:+.2f} to {gap + 0.25:+.2f})" in first
    assert f"on photographs; the perceptual distance (Lite0) {distance}." in first


@pytest.mark.parametrize(
    ("gap", "told"),
    [
        (-3.0, "it lies below the best classical one, biharmonic, after 24,000 samples: -3.00 d"),
        (-0.1, "it cannot be told from the best classical one, Navier-Stokes, after 24,000"),
        (0.5, "it lies above the best classical one, Navier-Stokes, after 24,000 samples: +0."),
    ],
)
def test_the_answer_beside_classical_methods(results, gap, told):
    gaps = {"Telea": 1.0, "Navier-Stokes": gap, "biharmonic": 1.0}
    assert told in summary.answer(results() if gap == -3.0 else results(gaps=gaps))[2]


def test_the_answer_tells_of_the_weights_that_come_with_the_project(results):
    text = summary.answer(results())[2]
    assert text.endswith(
        "have +1.00 dB (+0.75 to +1.25) beside biharmonic: better in 0.01-0.2, not told apart in "
        "0.2-0.3."
    )


def test_the_answer_tells_p_convs_figures_and_why(results):
    _, unet, _, why = summary.answer(results())
    assert "it has +1.50 dB (+1.25 to +1.75): better; SSIM +0.150 (+0.125 to +0.175): be" in unet
    assert "Before fine-tuning it has -0.250 dB (-0.500 to +0.000): not told apart." in unet
    assert "P-Conv reported +9.28 dB, of the raw output on a picture of which 99 % was kn" in unet
    assert unet.endswith("of the raw output on such pictures ours has +1.50 dB.")
    assert "a faithful one as P-Conv does changes its PSNR by -3.00 ± 0.10 dB. The raw" in why
    assert "The raw output alone changes it by -2.00 ± 0.10 dB, the rest is batch norm" in why
    assert "Training as P-Conv does, scored on the composite, changes it by -4.00 ± 0.50" in why
    assert "dB. On discs of 0.84% of a picture, like its test case, P-Conv's measure gives" in why
    assert "gives the replica 21.00 ± 0.00 dB and the faithful runs 24.00 ± 0.00 dB; with" in why
    assert why.endswith(
        "known pixels put back these have 38.00 ± 0.00 dB. P-Conv reported 22.65 dB, of one other "
        "photograph."
    )
