"""The trainings on photographs: what is done stays done, what is cut off goes on, tables follow."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pconv_core import evaluation
from pconv_core.study import Study, load_profile, photographs, trained, trainings

TINY = {
    "name": "tiny",
    "pretrain_photos": "embedded",
    "finetune_photos": "embedded",
    "test_photos": "embedded",
    "size": 48,
    "small_size": 40,
    "base_channels": 2,
    "conv_unet": False,
    "features": "random",
    "feature_width": 0.0625,
    "features_share": 1.0,
    "batch_size": 2,
    "stage1_steps": 2,
    "stage2_steps": 1,
    "finetune_steps": 1,
    "record_every": 1,
    "test_per_cell": 1,
    "precision": "float32",
}
SETTINGS = [f"--set={name}={value}" for name, value in TINY.items()]


@pytest.fixture(scope="module")
def profile():
    return load_profile("photographs", TINY)


@pytest.fixture(scope="module")
def results(tmp_path_factory, profile):
    """All trainings of two random seeds, done one after the other."""
    folder = tmp_path_factory.mktemp("results")
    for training in trainings.all_trainings(profile, seeds=2):
        trainings.do(profile, training, folder)
    return folder


def test_every_network_has_every_random_seed(profile):
    found = trainings.all_trainings(profile, seeds=3)
    assert len(found) == 1 + 3 * 3
    assert len(set(found)) == len(found)
    assert {t.seed for t in found} == {profile.seed + k for k in range(3)}
    names = {t.name for t in found}
    assert names == {"methods", "pconv48", "unet48", "pconv40"}
    # One random seed is done before the next begins.
    assert [t.seed for t in found] == sorted(t.seed for t in found)


def test_what_is_done_is_done_once(profile, results):
    files = {p: p.stat().st_mtime_ns for p in results.rglob("*.csv")}
    files |= {p: p.stat().st_mtime_ns for p in results.rglob("*.pt")}
    assert len(list(results.rglob("*.pt"))) == 3 * 3 * 2
    for training in trainings.all_trainings(profile, seeds=2):
        assert trainings.is_done(profile, training, results)
        trainings.do(profile, training, results)
    table = trainings.overview(profile, trainings.all_trainings(profile, 2), results)
    assert (table["state"] == "done").all()
    assert table["hours"].sum() == 0
    assert files == {p: p.stat().st_mtime_ns for p in files}


def test_what_is_done_already_is_said(results, tmp_path, monkeypatch, capsys):
    (tmp_path / "results").symlink_to(results)
    monkeypatch.chdir(tmp_path)
    assert trainings.main([*SETTINGS, "unet", "48", "2018"]) == 0
    said = "unet48, random seed 2018 was done before; nothing is left to do\n"
    assert capsys.readouterr().out == said


def test_an_overview_of_what_is_not_done(profile, results, tmp_path):
    table = trainings.overview(profile, trainings.all_trainings(profile, 3), results)
    left = table[table["state"] == "to do"]
    assert len(left) == 3
    assert (left["hours"] > 0).all()
    fresh = trainings.overview(profile, trainings.all_trainings(profile, 3), tmp_path)
    assert (fresh["state"] == "to do").all()
    assert "whose speed is not known yet" in trainings.say(fresh, 2)


def test_a_training_is_begun_once_at_a_time(profile, tmp_path):
    training = trainings.all_trainings(profile)[1]
    study = trainings.study_of(profile, training, tmp_path)
    with trainings._locked(trainings._file(study, training, "lock")) as free:
        assert free
        with pytest.raises(RuntimeError, match="another process trains it"):
            trainings.do(profile, training, tmp_path)
        table = trainings.overview(profile, [training], tmp_path)
        assert table["state"].tolist() == ["runs"]
    assert trainings.overview(profile, [training], tmp_path)["state"].tolist() == ["to do"]


def test_measures_are_those_of_the_stored_network(profile, results):
    first = Study(profile, results)
    study = trainings.study_of(profile, trainings.Training("unet", 48, profile.seed + 1), results)
    for stage in ("stage1", "finetune"):
        fill = evaluation.network_fill(study.network("unet", 48, stage))
        expected = evaluation.evaluate(fill, first.evaluation_set(48))
        found = pd.read_csv(trained.path(study, trained.PICTURES, f"unet48_{stage}"))
        assert (found.pop("evaluated_at") == 48).all()
        pd.testing.assert_frame_equal(found, expected, atol=1e-4, check_dtype=False)


def test_the_manifest_says_what_was_trained(profile, results):
    study = trainings.study_of(profile, trainings.Training("unet", 48, profile.seed), results)
    table = pd.read_csv(trained.path(study, trained.MANIFEST, "unet48"))
    assert table["stage"].tolist() == ["stage1", "stage2", "finetune"]
    assert table["samples"].tolist() == [4, 2, 2]
    for row in table.itertuples():
        file = study.output / "checkpoints" / f"unet48_{row.stage}.pt"
        digest = subprocess.run(["sha256sum", file], capture_output=True, text=True, check=True)
        assert digest.stdout.split()[0] == row.weights_sha256


def test_tables_are_means_of_the_pictures(profile, results):
    measured = photographs.Measured(results / "tiny", profile)
    finals = measured.finals()
    table = photographs.overall(finals, measured).set_index("model")
    assert table.index.tolist()[:3] == [
        "partial U-Net 48",
        "traditional U-Net 48",
        "partial U-Net 40",
    ]
    by_seed = []
    for seed in (profile.seed, profile.seed + 1):
        file = results / "tiny" / str(seed) / "pictures" / "pconv48_finetune.csv"
        rows = pd.read_csv(file).query("evaluated_at == 48 and ratio <= 0.5")
        by_seed.append(rows["psnr"].mean())
    row = table.loc["partial U-Net 48"]
    assert row["psnr"] == pytest.approx(np.mean(by_seed), abs=1e-6)
    assert row["spread_psnr"] == pytest.approx(np.std(by_seed, ddof=1), abs=1e-6)
    assert row["random_seeds"] == 2
    assert row["samples"] == 8
    assert pd.isna(table.loc["Telea", "spread_psnr"])
    gaps = photographs.differences(finals, "partial U-Net 48", ["Telea"])
    telea = table.loc["Telea", "psnr"]
    found = gaps[(gaps["measure"] == "psnr") & (gaps["hole_ratio"] == "0.01-0.5")].iloc[0]
    assert found["mean"] == pytest.approx(np.mean(by_seed) - telea, abs=1e-6)
    assert found["low"] < found["mean"] < found["high"]


def test_an_interval_holds_both_spreads(profile, results):
    """As Welch's test has it for two samples: random seeds' means, and what photographs add.

    The variance of a mean over crops, those of a photograph together, is that of the mean of the
    photographs' sums of deviations, times their number over that of the crops.
    """
    measured = photographs.Measured(results / "tiny", profile)
    finals = measured.finals()
    half = finals[finals["ratio"] <= 0.5]
    wide = half.pivot(index=["random_seed", "picture"], columns="model", values="ssim")
    gap = wide["partial U-Net 48"] - wide["traditional U-Net 48"]
    seeds, pictures = (gap.groupby(k).mean() for k in ("random_seed", "picture"))
    study = Study(profile, results)
    cells = study.evaluation_cells(profile.size)
    origin = [samples.origin(n)[0] for _, _, samples, numbers in cells for n in numbers]
    sums = {}
    for picture, value in pictures.items():
        sums.setdefault(origin[picture], []).append(value - pictures.mean())
    added = [sum(part) * len(sums) / len(pictures) for part in sums.values()]
    low, high = stats.ttest_ind(seeds, added, equal_var=False).confidence_interval()
    gaps = photographs.differences(finals, "partial U-Net 48", ["traditional U-Net 48"])
    row = gaps[(gaps["measure"] == "ssim") & (gaps["hole_ratio"] == "0.01-0.5")].iloc[0]
    assert row["high"] - row["mean"] == pytest.approx((high - low) / 2)


def test_the_same_bytes_every_time_and_from_the_committed_run(profile, results, tmp_path):
    measured = photographs.Measured(results / "tiny", profile)
    for name in ("a", "b"):
        photographs.write(measured, tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    assert {p.suffix for p in files} == {".csv", ".png"}
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_tables_need_neither_weights_nor_photographs(results, tmp_path, capsys):
    """On a fresh clone they come from the committed files; the next call reads its own run."""
    run = results / "tiny"
    for path in run.rglob("*.csv"):
        copy = tmp_path / "reference/trainings" / path.relative_to(run)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    words = ["--results", str(tmp_path), *(s for s in SETTINGS if not s.startswith("--set=name"))]
    assert photographs.main(words) == 0
    assert f"read: {tmp_path / 'reference/trainings'}" in capsys.readouterr().out
    assert len(list((tmp_path / "trainings/tables").glob("*.csv"))) == 11
    assert photographs.main(["--results", str(tmp_path / "nowhere")]) == 2
    assert "holds no measured network" in capsys.readouterr().err


def test_the_shipped_weights_have_intervals_over_photographs(profile, results):
    """They were trained once: random seeds of other networks are none of theirs."""
    measured = photographs.Measured(results / "tiny", profile)
    table = photographs.of_shipped(measured)
    assert "random_seeds" not in table
    rows = (
        measured.methods()
        .query("ratio <= 0.5")
        .pivot(index="picture", columns="model", values="lite0")
    )
    row = table[(table["measure"] == "lite0") & (table["hole_ratio"] == "0.01-0.5")]
    row = row.set_index("difference").loc["shipped weights - Telea"]
    assert row["mean"] == pytest.approx((rows["shipped weights"] - rows["Telea"]).mean())
    assert row["low"] < row["mean"] < row["high"]
    crops = measured.methods().drop(columns="photograph")
    alone = evaluation.differences(crops, "shipped weights", profile.seed, "lite0")
    alone = alone[alone["hole_ratio"] == "0.01-0.5"].set_index("difference")
    alone = alone.loc["shipped weights - Telea"]
    assert alone["lite0"] == pytest.approx(row["mean"])
    assert alone["low"] != pytest.approx(row["low"])


def test_without_the_partial_network_there_is_nothing_to_compare(profile, results, tmp_path):
    source = results / "tiny" / str(profile.seed) / "manifest" / "unet48.csv"
    target = tmp_path / str(profile.seed) / "manifest" / "unet48.csv"
    target.parent.mkdir(parents=True)
    target.write_bytes(source.read_bytes())
    with pytest.raises(ValueError, match="lacks the partial U-Net 48, from which"):
        photographs.Measured(tmp_path, profile)


def test_stages_and_sizes(profile, results):
    measured = photographs.Measured(results / "tiny", profile)
    table = photographs.stages(measured)
    assert set(table["difference"]) == {"stage2 - stage1", "finetune - stage2"}
    assert set(table["model"]) == {
        "partial U-Net 48",
        "traditional U-Net 48",
    }
    after = photographs.after_stages(measured).set_index(["stage", "measure"])["mean"]
    gaps = photographs.differences(
        measured.finals(), "partial U-Net 48", ["traditional U-Net 48"]
    ).query("hole_ratio == '0.01-0.5'")
    for measure, gap in gaps.set_index("measure")["mean"].items():
        assert after["finetune", measure] == pytest.approx(gap)
        moved = table[(table["measure"] == measure) & (table["difference"] == "stage2 - stage1")]
        ours, other = moved.set_index("model")["mean"]
        change = after["stage2", measure] - after["stage1", measure]
        assert change == pytest.approx(ours - other, abs=1e-6)
    means, gaps = photographs.by_size(measured)
    assert set(means["evaluated_at"]) == {40, 48}
    assert set(gaps["difference"]) == {"partial U-Net 40 - partial U-Net 48"}


def test_nothing_measured_is_an_error(profile, tmp_path):
    with pytest.raises(ValueError, match="holds no measured network; make trainings"):
        photographs.Measured(tmp_path, profile)


def command(*words):
    return [sys.executable, "-m", "pconv_core.study.trainings", *SETTINGS, *words]


def test_sigterm_ends_all_saved_and_the_same_command_goes_on(tmp_path):
    long = ["--set=stage1_steps=100000", "--set=record_every=10", "--random-seeds=1"]
    began = subprocess.Popen(
        command(*long), cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    unfinished = tmp_path / "results/tiny" / str(load_profile("demo").seed) / "unfinished"
    profile = load_profile("photographs", {**TINY, "stage1_steps": 100_000, "record_every": 10})
    planned = trainings.all_trainings(profile, 1)
    try:
        deadline = time.monotonic() + 300  # only so that a fault does not hang
        while time.monotonic() < deadline and began.poll() is None:
            states = trainings.overview(profile, planned, tmp_path / "results")["state"]
            logs = [path.read_text() for path in unfinished.glob("*.txt")]
            if states.tolist().count("runs") == 2 and any("stage1" in text for text in logs):
                break
            time.sleep(0.2)
        began.send_signal(signal.SIGTERM)
        out, _ = began.communicate(timeout=120)
    finally:
        if began.poll() is None:
            os.killpg(began.pid, signal.SIGKILL)
    assert began.returncode == 75, out
    assert len(list(unfinished.glob("*_stage1.pt"))) >= 1
    table = trainings.overview(profile, planned, tmp_path / "results")
    assert "begun" in table["state"].tolist()
    assert "runs" not in table["state"].tolist()
    said = subprocess.run(
        command(*long, "--list"), cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert " begun " in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pconv", "48", "1"], "no training is named 'pconv 48 1'; there are: methods 48 2018"),
        (["--side-by-side", "0"], "--side-by-side is 0; it should be at least 1"),
        (["--set=sise=3"], "did you mean 'size'"),
    ],
)
def test_what_cannot_be_is_one_error(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert trainings.main([*SETTINGS, *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_failed_training_is_named_and_the_others_go_on(profile, tmp_path, capsys):
    good, bad = trainings.Training("pconv", 48, 1), trainings.Training("unet", 48, 2)
    program = "import sys; sys.exit('error: no room' if sys.argv[1] == 'unet' else 0)"
    code = trainings.run(
        [sys.executable, "-c", program], [bad, good], lambda t: tmp_path / f"{t.name}.txt", 1
    )
    assert code == 1
    said = capsys.readouterr()
    assert "done: pconv48, random seed 1" in said.out
    assert said.err == "unet48, random seed 2 ended with exit code 1: error: no room\n"
