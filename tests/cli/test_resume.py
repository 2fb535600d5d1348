"""Trainings that are cut off, from outside, and go on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pconv_cli.__main__ import main
from pconv_core import checkpoints, training

# How often a run is killed; `make stress` sets 20.
KILLS = int(os.environ.get("PCONV_KILLS", "3"))
STEPS = 24
PREEMPTED, INTERRUPTED = 75, 130  # exit codes that the README names


def arguments(folder, *more):
    return [
        *("train", "--images", "embedded", "--checkpoint", str(folder / "net.pt"), "--resume"),
        *("--record", str(folder / "record.csv"), "--steps", str(STEPS), "--size", "32"),
        *(
            "--base-channels",
            "2",
            "--batch-size",
            "2",
            "--features",
            "random",
            "--feature-width",
            "0.0625",
        ),
        *("--record-every", "5", "--checkpoint-every", "4", "--workers", "0", *more),
    ]


def result(folder):
    state = torch.load(folder / "net.pt", weights_only=True)
    weights = {k: v.numpy().tobytes() for k, v in state["model"].items()}
    return state["step"], weights, (folder / "record.csv").read_bytes()


def start(folder, *more):
    command = [sys.executable, "-m", "pconv_cli", *arguments(folder, *more)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)


def start_group(folder, *more):
    """Start a training with loader processes as a group of processes of its own."""
    command = [sys.executable, "-m", "pconv_cli", *arguments(folder, "--workers", "2", *more)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)


def alive(group):
    """Processes of a group that have not ended; one that nobody waits for stays a zombie, Z."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, number = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # ended in between
            continue
        if int(number) == group and state not in "ZX":
            found.append(path.parent.name)
    return found


def nothing_is_left(group):
    """Wait until no process of a group is there; loaders look for their parent every 5 s."""
    for _ in range(1200):
        if not alive(group):
            return
        time.sleep(0.1)
    raise AssertionError(f"still there: {alive(group)}")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    assert start(folder).wait() == 0
    return result(folder), time.monotonic() - began


def test_killed_at_random_moments_it_ends_bit_identical(tmp_path, undisturbed):
    expected, seconds = undisturbed
    moments = np.random.default_rng(0).uniform(0.1, 1.0, KILLS) * seconds
    for number, moment in enumerate(moments):
        folder = tmp_path / str(number)
        folder.mkdir()
        process = start_group(folder, "--workers", str(number % 3))
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        nothing_is_left(process.pid)
        process = start(folder)
        assert process.wait() == 0, process.stderr.read()
        assert result(folder) == expected
        steps = pd.read_csv(folder / "record.csv")["step"].tolist()
        assert steps == [5, 10, 15, 20, 24]


def test_sigterm_saves_first_and_has_its_own_exit_code(tmp_path, undisturbed):
    expected, _ = undisturbed
    process = start(tmp_path, "--checkpoint-every", "1000")
    while not (tmp_path / "record.csv").exists():  # the first row: training is under way
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate()
    assert process.returncode == PREEMPTED
    assert b"terminated after step" in error
    assert 5 <= torch.load(tmp_path / "net.pt", weights_only=True)["step"] < STEPS
    assert main(arguments(tmp_path)) == 0
    assert result(tmp_path)[2] == expected[2]


@pytest.mark.parametrize(
    ("notice", "code", "said"),
    [
        (signal.SIGTERM, PREEMPTED, b"terminated after step "),
        (signal.SIGINT, INTERRUPTED, b"interrupted after step "),
    ],
)
def test_a_notice_to_the_whole_group_saves_first(tmp_path, undisturbed, notice, code, said):
    process = start_group(tmp_path, "--checkpoint-every", "1000")
    while not (tmp_path / "record.csv").exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, notice)
    _, error = process.communicate()
    assert process.returncode == code, error
    last = error.replace(b"\r", b"\n").strip().splitlines()[-1]
    assert last.startswith(said)
    assert last.endswith(f"saved to {tmp_path / 'net.pt'}".encode())
    nothing_is_left(process.pid)
    assert torch.load(tmp_path / "net.pt", weights_only=True)["step"] < STEPS
    assert main(arguments(tmp_path)) == 0
    assert result(tmp_path) == undisturbed[0]


@pytest.mark.parametrize("notice", [signal.SIGTERM, signal.SIGINT])
def test_groups_that_get_a_notice_at_random_moments_end_bit_identical(
    tmp_path, undisturbed, notice
):
    expected, seconds = undisturbed
    # Before its work SIGTERM ends it at once; after it, it is done.  The same for Python's last
    # moments, which have the system's handlers again.
    saved = {signal.SIGTERM: PREEMPTED, signal.SIGINT: INTERRUPTED}
    codes = {number: (0, code, -number) for number, code in saved.items()}
    for number, moment in enumerate(np.random.default_rng(notice).uniform(0.2, 1.0, KILLS)):
        folder = tmp_path / str(number)
        folder.mkdir()
        process = start_group(folder)
        try:
            process.wait(moment * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, notice)
        _, error = process.communicate()
        assert process.returncode in codes[notice], error
        if process.returncode == -signal.SIGINT:
            assert torch.load(folder / "net.pt", weights_only=True)["step"] == STEPS
        assert b"Traceback" not in error
        nothing_is_left(process.pid)
        assert start(folder).wait() == 0
        assert result(folder) == expected


SWITCHED = ("--cosine", "--average", "0.9", "--checkpoint-every", "13")


def contents(value):
    """All that a checkpoint holds, its tensors as bytes."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return {k: contents(v) for k, v in value.items()}
    return [contents(v) for v in value] if isinstance(value, (list, tuple)) else value


def test_cut_off_in_mid_stage_cosine_and_average_end_bit_identical(tmp_path, monkeypatch):
    path, write = tmp_path / "net.pt", checkpoints.write

    def copied(to, state):
        write(to, state)
        shutil.copy(to, tmp_path / f"{state['step']}.pt")

    monkeypatch.setattr(checkpoints, "write", copied)
    assert main(arguments(tmp_path, *SWITCHED)) == 0
    expected = torch.load(path, weights_only=True)
    assert expected["step"] == STEPS
    weights, averaged = expected["model"], expected["average"]
    assert not torch.equal(weights["decoder.0.norm.bias"], averaged["decoder.0.norm.bias"])
    os.replace(tmp_path / "13.pt", path)
    assert main(arguments(tmp_path, *SWITCHED)) == 0
    assert contents(torch.load(path, weights_only=True)) == contents(expected)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (["--average", "0.9"], "(cosine True instead of None, steps 24 instead of None)"),
        (["--cosine", "--average", "0.8"], "(average 0.9 instead of 0.8)"),
        (["--cosine", "--average", "0.9", "--steps", "30"], "(steps 24 instead of 30)"),
    ],
)
def test_other_switches_are_refused(tmp_path, capsys, other, message):
    assert main(arguments(tmp_path, *SWITCHED)) == 0
    before = result(tmp_path)
    assert main(arguments(tmp_path, *other)) == 2
    assert message in capsys.readouterr().err
    assert result(tmp_path) == before


def test_a_finished_run_has_nothing_left_to_do(tmp_path, capsys):
    assert main(arguments(tmp_path)) == 0
    before = result(tmp_path)
    assert main(arguments(tmp_path)) == 0
    assert result(tmp_path) == before


def test_a_preview_is_drawn_and_changes_nothing(tmp_path):
    for name in ("without", "with"):
        (tmp_path / name).mkdir()
    assert main(arguments(tmp_path / "without")) == 0
    picture = tmp_path / "with" / "preview.png"
    assert main(arguments(tmp_path / "with", "--preview", str(picture))) == 0
    assert result(tmp_path / "with") == result(tmp_path / "without")
    with Image.open(picture) as preview:
        assert preview.format == "PNG"
        assert preview.width > 500


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--lr", "0.5"], "checkpoint of another run (learning_rate 0.002 instead of 0.5)"),
        (["--model", "unet"], "model 'pconv' instead of 'unet'"),
        (["--cosine"], "(cosine None instead of True, steps None instead of 24)"),
        (["--average", "0.9"], "(average None instead of 0.9)"),
        (["--lambda-perceptual", "0"], "(lambda_perceptual None instead of 0.0)"),
    ],
)
def test_other_settings_are_refused(tmp_path, capsys, more, message):
    assert main(arguments(tmp_path)) == 0
    before = result(tmp_path)
    assert main(arguments(tmp_path, *more)) == 2
    assert message in capsys.readouterr().err
    assert result(tmp_path) == before


def test_nothing_is_overwritten_without_resume(tmp_path, capsys):
    assert main(arguments(tmp_path)) == 0
    without = [a for a in arguments(tmp_path) if a != "--resume"]
    assert main(without) == 2
    assert "net.pt exists; --resume goes on with it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--features", "nope", "--feature-width", "0.5"], "no VGG-16 state dict at nope"),
        (["--model", "nope"], "model is 'nope'; it should be one of pconv, "),
        (["--from", "nope"], "no checkpoint at nope"),
        (["--images", "FILE"], "FILE is a file; it should be a folder of photographs"),
        (["--masks", "FILE"], "FILE is a file; it should be a folder of photographs"),
        (["--from", "FILE"], "it holds no weights, or more than weights"),
        (["--checkpoint", "FILE/net.pt"], "--checkpoint: FILE is a file; it should be a folder"),
        (["--checkpoint", "."], "--checkpoint: . is a folder; it should be a file"),
        (["--record", "/proc/none/r.csv"], "--record: cannot write /proc/none/r.csv ("),
        (["--record", "r" * 256], "(File name too long)"),
        (["--checkpoint", "c" * 250], "(File name too long)"),
        (["--preview", "FILE/p.png"], "--preview: FILE is a file; it should be a folder"),
    ],
)
def test_bad_paths_are_one_line_before_the_first_step(tmp_path, capsys, monkeypatch, more, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "train", None)  # calling it would be a TypeError
    (tmp_path / "FILE").write_text("x")
    named = ["--images", "embedded", "--checkpoint", "net.pt", "--steps", "1"]
    assert main(["train", *named, *more]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert message in error
    assert len(error.splitlines()) == 1
    assert "torch.load" not in error
    assert [p.name for p in tmp_path.iterdir()] == ["FILE"]


def test_a_loss_that_is_no_number_names_step_samples_and_checkpoint(tmp_path, capsys):
    assert main(arguments(tmp_path, "--lr", "1e12")) == 2
    error = capsys.readouterr().err.rpartition("\r")[2]
    assert error.startswith("error: the loss is ")
    assert "(samples " in error
    assert "nothing was saved" in error or "last good checkpoint is" in error
