"""Trainings that are cut off, from outside, and go on: with the cosine and an average."""

import os
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
from pconv_core import training

# How often a run is cut off by each signal; `make stress` sets 20.
KILLS = int(os.environ.get("PCONV_KILLS", "1"))
STEPS = 24
PREEMPTED, INTERRUPTED = 75, 130  # exit codes that the README names
SMALL = "--images embedded --resume --size 32 --base-channels 2 --batch-size 2 --features random "
SMALL += "--feature-width 0.0625 --record-every 5 --workers 0 --cosine --average 0.9"


def arguments(folder, *more):
    places = ["--checkpoint", str(folder / "net.pt"), "--record", str(folder / "record.csv")]
    often = ["--steps", str(STEPS), "--checkpoint-every", "4"]
    return ["train", *SMALL.split(), *places, *often, *more]


def contents(value):
    """All that a checkpoint holds, its tensors as bytes."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return {k: contents(v) for k, v in value.items()}
    return [contents(v) for v in value] if isinstance(value, (list, tuple)) else value


def result(folder):
    state = torch.load(folder / "net.pt", weights_only=True)
    return contents(state), (folder / "record.csv").read_bytes()


def start(folder, *more):
    """Start a training as a group of processes of its own."""
    command = [sys.executable, "-m", "pconv_cli", *arguments(folder, *more)]
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


@pytest.mark.parametrize("notice", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_cut_off_at_random_moments_it_ends_bit_identical(tmp_path, undisturbed, notice):
    """A kill takes the first process alone, a notice comes to the whole group."""
    expected, seconds = undisturbed
    send = os.kill if notice == signal.SIGKILL else os.killpg
    # Before its work SIGTERM ends it at once; after it, it is done.  The same for Python's last
    # moments, which have the system's handlers again.
    saved = {signal.SIGTERM: PREEMPTED, signal.SIGINT: INTERRUPTED}
    for number, moment in enumerate(np.random.default_rng(notice).uniform(0.1, 1.0, KILLS)):
        folder = tmp_path / str(number)
        folder.mkdir()
        process = start(folder, "--workers", str((number + 1) % 3))
        try:
            process.wait(moment * seconds)
        except subprocess.TimeoutExpired:
            send(process.pid, notice)
        process.wait()
        nothing_is_left(process.pid)
        error = process.stderr.read()
        assert process.returncode in (0, -notice, saved.get(notice)), error
        assert b"Traceback" not in error
        if process.returncode == -signal.SIGINT:
            assert torch.load(folder / "net.pt", weights_only=True)["step"] == STEPS
        assert main(arguments(folder)) == 0
        assert result(folder) == expected
        assert pd.read_csv(folder / "record.csv")["step"].tolist() == [5, 10, 15, 20, 24]


@pytest.mark.parametrize(
    ("send", "notice", "code", "said"),
    [
        (os.kill, signal.SIGTERM, PREEMPTED, b"terminated after step "),
        (os.killpg, signal.SIGTERM, PREEMPTED, b"terminated after step "),
        (os.killpg, signal.SIGINT, INTERRUPTED, b"interrupted after step "),
    ],
)
def test_a_notice_saves_first(tmp_path, undisturbed, send, notice, code, said):
    """To the first process, as a scheduler sends it, or to the whole group, as a terminal."""
    process = start(tmp_path, "--checkpoint-every", "1000", "--workers", "2")
    while not (tmp_path / "record.csv").exists():  # the first row: training is under way
        assert process.poll() is None
        time.sleep(0.01)
    send(process.pid, notice)
    _, error = process.communicate()
    assert process.returncode == code, error
    last = error.replace(b"\r", b"\n").strip().splitlines()[-1]
    assert last.startswith(said)
    assert last.endswith(f"saved to {tmp_path / 'net.pt'}".encode())
    nothing_is_left(process.pid)
    assert 5 <= torch.load(tmp_path / "net.pt", weights_only=True)["step"] < STEPS
    assert main(arguments(tmp_path)) == 0
    assert result(tmp_path) == undisturbed[0]


def test_a_preview_is_drawn_and_changes_nothing(tmp_path, undisturbed):
    picture = tmp_path / "preview.png"
    assert main(arguments(tmp_path, "--preview", str(picture))) == 0
    assert result(tmp_path) == undisturbed[0]
    with Image.open(picture) as preview:
        assert preview.format == "PNG"
        assert preview.width > 500


def test_other_settings_are_refused(tmp_path, capsys):
    assert main(arguments(tmp_path)) == 0
    before = result(tmp_path)
    for less, more, message in (
        ("", ["--lr", "0.5"], "checkpoint of another run (learning_rate 0.002 instead of 0.5)"),
        ("", ["--model", "unet"], "model 'pconv' instead of 'unet'"),
        ("", ["--lambda-perceptual", "0"], "(lambda_perceptual None instead of 0.0)"),
        ("", ["--average", "0.8"], "(average 0.9 instead of 0.8)"),
        ("", ["--average", "0"], "(average 0.9 instead of None)"),
        ("", ["--steps", "30"], "(steps 24 instead of 30)"),
        ("--cosine", [], "(cosine True instead of None, steps 24 instead of None)"),
        ("--resume", [], "net.pt exists; --resume goes on with it"),
    ):
        assert main([a for a in arguments(tmp_path, *more) if a != less]) == 2
        assert message in capsys.readouterr().err
        assert result(tmp_path) == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--features", "nope", "--feature-width", "0.5"], "no VGG-16 state dict at nope"),
        (["--model", "nope"], "model is 'nope'; it should be one of pconv, "),
        (["--from", "nope"], "no checkpoint at nope"),
        (["--images", "FILE"], "FILE is a file; it should be a folder of photographs"),
        (["--masks", "FILE"], "FILE is a file; it should be a folder of masks"),
        (["--masks", "nope"], "no folder at nope; it should be a folder of masks"),
        (["--mask-hole", "white"], "--mask-hole is for --masks, which should be given too"),
        (["--may-change"], "--may-change is for --resume, which should be given too"),
        (["--feature-width", "0"], "--feature-width is 0.0; it should be above 0"),
        (["--feature-width", "inf"], "--feature-width is inf; it should be below 2**63"),
        (["--epochs", "nan"], "--epochs is nan; it should be above 0"),
        (["--epochs", "inf"], "--epochs is inf; it should be below 2**63"),
        (["--lr", "inf"], "--learning-rate is inf; it should be below 2**63"),
        (["--steps", "0"], "--steps is 0; it should be at least 1"),
        (["--workers", "-1"], "--workers is -1; it should be at least 0"),
        (["--seed", "9" * 400], "9; it should be below 2**63"),
        (["--lambda-perceptual", "-1"], "--lambda-perceptual is -1.0; it should be at least 0"),
        (["--from", "FILE"], "it holds no weights, or more than weights"),
        (["--checkpoint", "FILE/net.pt"], "--checkpoint: FILE is a file; it should be a folder"),
        (["--checkpoint", "."], "--checkpoint: . is a folder; it should be a file"),
        (["--record", "/proc/none/r.csv"], "--record: cannot write /proc/none/r.csv ("),
        (["--record", "r" * 256], "(File name too long)"),
        (["--checkpoint", "c" * 250], "(File name too long)"),
        (["--preview", "FILE/p.png"], "--preview: FILE is a file; it should be a folder"),
        (["--average", "1.1"], "--average is 1.1; it should be in [0, 1]"),
        (["--average", "nan"], "--average is nan; it should be in [0, 1]"),
        (["--lambda-style", "inf"], "--lambda-style is inf; it should be below 2**63"),
        (["--record", "FILE"], "FILE exists; --resume goes on with it, or name another file"),
        (["--record", "net.pt"], "--checkpoint, --record name one file twice"),
    ],
)
def test_bad_paths_are_one_line_before_the_first_step(tmp_path, capsys, monkeypatch, more, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "train", None)  # calling it would be a TypeError
    (tmp_path / "FILE").write_text("x")
    named = ["--images", "embedded", "--checkpoint", "net.pt"]
    assert main(["train", *named, *more]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert message in error
    assert len(error.splitlines()) == 1
    assert "torch.load" not in error
    assert [p.name for p in tmp_path.iterdir()] == ["FILE"]


def test_a_loss_that_is_no_number_is_one_line_and_what_was_saved_stays_good(tmp_path, capsys):
    assert main(arguments(tmp_path, "--lr", "1e12", "--checkpoint-every", "1")) == 2
    error = capsys.readouterr().err.rpartition("\r")[2]
    assert error.startswith("error: the loss is ")
    assert error.endswith(f"the last good checkpoint is {tmp_path / 'net.pt'}\n")
    state = torch.load(tmp_path / "net.pt", weights_only=True)
    assert all(v.isfinite().all() for v in state["model"].values())
