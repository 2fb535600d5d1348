import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.image import imread
from tiny_experiment import BASE, COLOURS, STAGE, Tiny, colour

from pconv_core import checkpoints, data, inpainting
from pconv_core import weights as weights_of_package
from pconv_study import experiment, measures

# How often a run is killed at a moment by the clock; `make stress` sets 20.
KILLS = int(os.environ.get("PCONV_KILLS", "3"))
ROOT = Path(__file__).parents[2]
FREE = ["minutes", "hardware", "commit"]  # of a manifest: what may differ

# A process that begins others, each a copy of itself, so that Python and torch are loaded once.
DRIVER = """
import os
import random
import signal
import sys
import time

import pandas as pd

from pconv_core import training
from pconv_study import experiment, measures
from pconv_study.settings import Experiment

kills = int(sys.argv[1])
experiment.CHECKPOINT_EVERY = 2


def die(*_):
    os.killpg(0, signal.SIGKILL)


def die_at(kind, number):
    # At the call of that number of what puts a written file in its place, half through a table or
    # the second line of the manifest, two steps after a save, or at the first read-out or estimate
    # of batch norm.
    replace, to_csv, left = os.replace, pd.DataFrame.to_csv, [number]

    def last():
        left[0] -= 1
        return left[0] == 0

    def replaced(*paths):
        dies = last()
        if dies and kind == "before":
            die()
        replace(*paths)
        if dies:
            die()

    def half(table, path, **more):
        to_csv(table, path, **more)
        if last() if kind == "half" else "rows_sha256" in table and len(table) > 1:
            os.truncate(path, os.path.getsize(path) // 2)
            die()

    if kind in ("before", "after"):
        os.replace = replaced
    elif kind in ("half", "manifest"):
        pd.DataFrame.to_csv = half
    elif kind == "save":
        left[0], save = 2, training.Keeper.save
        training.Keeper.save = lambda *state: die() if last() else save(*state)
    elif kind == "read-out":
        measures.discs = die
    elif kind == "norm":
        experiment.reestimate_norm = die


def begin(results, kind=None, number=0):
    process = os.fork()
    if not process:
        os.setsid()
        die_at(kind, number)
        run = experiment.Run(Experiment("small"), {"here": "photos"}, experiment.Path(results))
        for cell in run.experiment.cells:
            run.do(cell)
        os._exit(0)
    return process


def end(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


began = time.monotonic()
assert end(begin("undisturbed")) == 0
seconds = time.monotonic() - began
rng = random.Random(kills)
for _ in range(kills):
    process = begin("clock")
    time.sleep(rng.uniform(0, seconds))
    os.killpg(process, signal.SIGKILL)
    end(process)
assert end(begin("clock")) == 0
kinds, count = ["save", "before", "save", "after", "manifest", "half", "read-out", "norm"], 0
while (code := end(begin("calls", kinds[count % 8], rng.randrange(1, 9)))):
    assert code == -signal.SIGKILL, code
    count += 1
print(count)
"""


def tables(folder):
    """All tables of a folder of results, those of the manifest without what may differ."""
    found = {}
    for path in sorted(folder.rglob("*.csv")):
        content = path.read_bytes()
        if path.name == "manifest.csv":
            content = pd.read_csv(path, dtype=str).drop(columns=FREE).to_csv()
        found[str(path.relative_to(folder))] = content
    return found


def weights(folder):
    return {p.name: p.read_bytes() for p in (folder / "states").glob("*.safetensors")}


def do(run):
    for cell in run.experiment.cells:
        run.do(cell)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    run = Tiny(tmp_path_factory.mktemp("undisturbed")).run()
    do(run)
    return run.results


@pytest.fixture
def undisturbed(tiny, made):
    """A run that is done, to be changed."""
    shutil.copytree(made, tiny.folder / "undisturbed")
    return tiny.run("undisturbed")


def test_killed_at_any_moment_the_same_command_goes_on_to_the_same_rows(tiny):
    tiny.write(methods=["mean fill"])
    (tiny.folder / "driver.py").write_text(DRIVER)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    how = {"cwd": tiny.folder, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "driver.py", str(KILLS)], **how)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 8  # each kind
    expected = tables(tiny.folder / "undisturbed")
    assert len([name for name in expected if "/rows/" in name]) == 6
    for name in ("clock", "calls"):
        assert tables(tiny.folder / name) == expected
        assert weights(tiny.folder / name) == weights(tiny.folder / "undisturbed")
        assert not list((tiny.folder / name).rglob("*.unfinished"))


@pytest.fixture
def command(tiny, monkeypatch):
    """The command line, in this process and folder."""
    monkeypatch.chdir(tiny.folder)
    before = signal.getsignal(signal.SIGTERM)

    def command(*more):
        return experiment.main(["small", "--photos", "here=photos", *more])

    yield command
    signal.signal(signal.SIGTERM, before)


def terminated(*_):
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("place", ["a step", "a read-out", "an estimate of batch norm"])
def test_sigterm_has_its_own_code_and_the_same_command_goes_on(
    tiny, command, undisturbed, monkeypatch, capsys, place
):
    sample = data.Samples.__getitem__

    def notified(self, number):
        if number == 20 and self.seed == 1:
            terminated()
        return sample(self, number)

    where = {
        "a step": (data.Samples, "__getitem__", notified),
        "a read-out": (measures, "discs", terminated),
        "an estimate of batch norm": (experiment, "reestimate_norm", terminated),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*where[place])
        try:
            code = command("--cell", "plain-1")
        except SystemExit as end:
            code = end.code
    assert code == 75
    if place == "a step":
        assert "terminated after step 6; saved to " in capsys.readouterr().err
        (state,) = (tiny.folder / "results/states").glob("*.pt")
        assert torch.load(state, weights_only=True)["samples"] == 24
    for name in ("plain-1", "tuned-1"):
        assert command("--cell", name) == 0
    assert tables(tiny.folder / "results") == tables(undisturbed.results)
    capsys.readouterr()
    assert command("--left") == 0
    assert capsys.readouterr().out.strip() == ""  # nothing is left
    assert command() == 0
    assert "0.0 hours to go" in capsys.readouterr().out


def test_a_shared_beginning_is_trained_once(tiny, monkeypatch):
    stages, train = [], experiment.train

    def note(*arguments):
        stages.append(arguments[3])
        return train(*arguments)

    monkeypatch.setattr(experiment, "train", note)
    run = tiny.run()
    do(run)
    found = [(s.name, s.first_sample, s.samples) for s in stages]
    assert found == [("stage1", 0, 16), ("stage1", 0, 48), ("finetune", 48, 16)]
    assert len(weights(run.results)) == 3
    # Another experiment with the same beginning trains nothing.
    tiny.write("other", samples=[48], variants={"alone": {}})
    do(tiny.run(name="other"))
    assert len(stages) == 3
    files = ("small/rows/plain-1-48.csv", "other/rows/alone-1-48.csv")
    rows = [pd.read_csv(run.results / name).drop(columns="variant") for name in files]
    pd.testing.assert_frame_equal(*rows)
    lines = pd.read_csv(run.output / "manifest.csv")
    assert Counter(lines["variant"]) == {"plain": 2, "tuned": 3}


def test_a_read_out_on_the_way_changes_nothing(tiny, undisturbed):
    tiny.write("direct", samples=[48], variants={"plain": {}})
    direct = tiny.run("direct", "direct")
    do(direct)
    assert weights(direct.results).items() < weights(undisturbed.results).items()
    record = (direct.output / "logs/plain-1.csv").read_bytes()
    assert record == (undisturbed.output / "logs/plain-1.csv").read_bytes()


def test_a_picture_shows_what_is_given_how_it_is_filled_and_the_truth(undisturbed):
    strip = imread(undisturbed.output / "pictures" / "tuned-1-64.png")
    given, filled, truth = np.split(strip, 3, axis=1)
    hole = (given == 0).all(-1)
    assert 0.3 < hole.mean() <= 0.4
    assert ((given == truth) & (filled == truth))[~hole].all()
    assert (filled[hole] != truth[hole]).any()


@pytest.mark.parametrize("lost", [".safetensors", ".csv", ".minutes"])
def test_a_read_out_before_the_state_is_trained_anew(tiny, undisturbed, lost):
    """No state goes back to it; that of more samples must not be taken for it."""
    expected = weights(undisturbed.results)
    (path,) = (undisturbed.states).glob(f"*-16{lost}")
    path.unlink()
    cell = undisturbed.experiment.cells[0]
    _, record, _ = undisturbed.network(cell, 16)
    assert record["samples"].tolist() == [8, 16]
    assert weights(undisturbed.results) == expected
    undisturbed.network(cell, 48)
    assert weights(undisturbed.results) == expected


def test_rows_of_other_settings_are_not_taken_for_done(tiny, undisturbed):
    plain = undisturbed.experiment.cells[0]
    assert all(undisturbed.is_done(plain, n) for n in plain.readouts)
    # Killed after the rows, before the line of the manifest.
    rows = undisturbed.output / "rows/plain-1-16.csv"
    rows.write_text(rows.read_text().replace("0", "1"))
    assert [undisturbed.is_done(plain, n) for n in plain.readouts] == [False, True]
    overview = undisturbed.overview()
    assert overview["state"].tolist() == ["begun", "done"]
    assert overview["hours"].tolist()[1] == 0
    record = (undisturbed.output / "logs/plain-1.csv").read_bytes()
    undisturbed.do(plain)
    assert (undisturbed.output / "logs/plain-1.csv").read_bytes() == record


def test_hashes_that_look_like_numbers_stay(tiny):
    run = tiny.run()
    numbers = {"hash": "0123456789012345", "protocol": "123e45678901", "commit": "000000000012"}
    line = {"variant": "plain", "random_seed": 1, "samples": 4, "photos": "validation"}
    line |= {**numbers, "rows_sha256": "99e9999999999999", "minutes": 1.5}
    for seed in (1, 2, 1):
        run._note({**line, "random_seed": seed})
    for _, found in run.manifest().iterrows():
        assert {k: found[k] for k in numbers} == numbers
    assert run.manifest()["random_seed"].tolist() == [1, 2]


def test_a_loss_that_is_no_number_is_noted_and_not_tried_again(tiny, monkeypatch):
    tiny.write(variants={"plain": {}, "wild": {"stages.stage1.learning_rate": 1e12}})
    run = tiny.run()
    do(run)
    notes = run.manifest().set_index(["variant", "samples"])["note"]
    assert notes["wild"].str.startswith("the loss is ").all()
    assert notes["plain"].isna().all()
    assert pd.read_csv(run.output / "rows/wild-1-16.csv").columns.tolist() == experiment.KEY
    monkeypatch.setattr(experiment, "train", None)
    do(run)
    assert set(run.overview()["state"]) == {"done"}


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True)])
def test_a_frozen_norm_stays_as_it_was_after_the_stage_before(tiny, first, second):
    stages = [{**STAGE, "samples": 16, "freeze_encoder_norm": f} for f in (first, second)]
    variant = {"stages.stage1": stages[0], "stages.finetune": stages[1]}
    run = [tiny.write(variants={"v": variant}, samples=[16, 32]), tiny.run()][1]
    (cell,) = run.experiment.cells
    before, after = (run.network(cell, n)[0] for n in (16, 32))
    assert (before.encoder_norm_frozen, after.encoder_norm_frozen) == (first, True)
    name = "running_mean"
    old, new = ([getattr(n, name) for n in net._encoder_norms()] for net in (before, after))
    assert len(old) > 0
    assert all(torch.equal(a, b) for a, b in zip(old, new, strict=True))


def test_other_photographs_are_measured_of_the_same_weights_or_not_at_all(tiny):
    photographs = {**BASE["photographs"], "test": {"root": "here", "folders": ["val"]}}
    measured = {"validation": {"crops": 1}, "test": {"crops": 1}}
    base = {"photographs": photographs, "measures": measured}
    (cell,) = tiny.write(base=base, samples=[16], variants={"plain": {}}).cells
    run = tiny.run()
    with pytest.raises(ValueError, match="plain-1 at 16: test is measured of weights that"):
        run.do(cell, "test")
    run.do(cell)
    run.do(cell, "test")
    assert sorted(run.manifest()["photos"]) == ["test", "validation"]
    (run.output / "rows" / "plain-1-16-test.csv").unlink()
    next(run.states.glob("*.safetensors")).unlink()
    with pytest.raises(ValueError, match="they are not there"):
        run.do(cell, "test")


def test_weights_are_written_as_others_load_them(tiny):
    run = tiny.run()
    cell, path = run.experiment.cells[0], tiny.folder / "plain.safetensors"
    with pytest.raises(ValueError, match="plain-1 at 48 samples is not done"):
        run.export(cell, path)
    run.do(cell)
    run.export(cell, path)
    net, trained = checkpoints.network(checkpoints.read_exported(path), path), run.network(cell, 48)
    image, mask = torch.full((1, 3, 32, 32), 0.4), torch.ones(1, 1, 32, 32)
    mask[..., 8:20, 8:20] = 0
    assert torch.allclose(net(image, mask), trained[0](image, mask), atol=5e-3)  # of float16


def test_weights_of_the_package_are_a_method_known_by_its_file(tiny, monkeypatch):
    (cell,) = tiny.write(methods=["shipped weights"], variants={}, seeds=[]).cells
    run = tiny.run()
    run.do(cell)
    assert run.is_done(cell, 0)
    photos, net = data.embedded("test"), weights_of_package.load("shipped")
    image, mask = data.Samples(photos, 150, 1)[0]
    picture, hole = image.permute(1, 2, 0).numpy(), mask[0].numpy() == 0
    filled = experiment.method(cell.variant)(image[None], mask[None])[0].permute(1, 2, 0).numpy()
    expected = inpainting.inpaint(net, picture, hole)
    np.testing.assert_allclose(filled[hole], expected[hole], atol=1e-4)
    monkeypatch.setattr(weights_of_package, "path", lambda _: run.output / "manifest.csv")
    assert not run.is_done(cell, 0)


def test_a_precision_without_instructions_waits(tiny, monkeypatch):
    tiny.write(base={"precision": "bfloat16"}, methods=["mean fill"], samples=[16])
    run = tiny.run()
    monkeypatch.setattr(experiment.hardware, "precision", lambda *_: "float32")
    assert run.overview()["state"].tolist() == ["to do", "waits", "waits"]
    with pytest.raises(ValueError, match=r"plain-1 is trained in bfloat16, for which this proc"):
        run.do(run.experiment.cells[1])
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "precision_is_here", lambda *_: True)
        run.network(run.experiment.cells[1], 16)
    # Trained elsewhere: to be measured here.
    assert run.overview()["state"].tolist() == ["to do", "to do", "to do"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["small", "--export", "a.safetensors"], "weights of one cell; name it by --cell"),
        (["small", "--photos", "here"], "--photos is 'here'; it should be ROOT=DIR"),
        (["small"], "photographs 'pretrain' lie in 'here': say where, here=DIR"),
        (["small", "--photos", "here=photos", "--cell", "plane-1"], "did you mean 'plain-1'?"),
        (["smal"], "no experiment is named 'smal'; did you mean 'small'?"),
    ],
)
def test_errors_are_one_line(command, capsys, arguments, message):
    assert experiment.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_an_unreadable_photograph_is_named_and_nothing_is_noted(tiny, command, capsys):
    (tiny.folder / "photos/train/3.png").write_text("no picture")
    assert command("--cell", "plain-1") == 2
    assert "cannot read " in capsys.readouterr().err.splitlines()[-1]
    assert not (tiny.folder / "results/small/manifest.csv").exists()


# --- measures --------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [{"crops": 2, "disc": 3, "lama": 1}, {"crops@48": 1}])
def test_rows_name_the_photograph_that_they_were_measured_on(tiny, wanted):
    """Each photograph has a colour of its own, which the method that is measured sees."""
    photos, seen = data.folder(tiny.folder / "photos"), []

    def fill(images, masks):
        pairs = zip(images, masks, strict=True)
        seen.extend((image.mean((1, 2)), image.shape[-1], mask) for image, mask in pairs)
        return images

    rows = measures.measure(None, fill, photos, 32, (0.5, 1.0), wanted)
    assert len(rows) == len(seen) > 0
    colours = torch.tensor([colour(k) for k in range(COLOURS)]) / 255
    for (_, row), (mean, size, mask) in zip(rows.iterrows(), seen, strict=True):
        nearest = int((colours - mean).abs().sum(1).argmin())
        assert Path(row["photograph"]).stem == str(nearest)
        side = 48 if "crops@48" in wanted else 32
        assert row["size"] == size == (256 if row["masks"] == "disc" else side)
        assert row["ratio"] == pytest.approx(1 - mask.mean().item())
    for masks, of_masks in rows.groupby("masks"):
        assert of_masks["crop"].tolist() == list(range(len(of_masks))), masks
    counts = Counter(rows["masks"])
    expected = {"occlusion": 24, "disc": 3} if "disc" in wanted else {"occlusion": 12}
    assert {k: counts[k] for k in expected} == expected
    assert (rows["psnr"] == 100).all()


def test_discs_lie_within_the_picture_and_have_their_share(tiny):
    masks = []

    def fill(images, mask):
        masks.append(mask[0, 0].numpy())
        return images

    measures.discs(fill, data.folder(tiny.folder / "photos"), 12)
    for mask in masks:
        down, right = np.nonzero(mask == 0)
        assert len(down) / mask.size == pytest.approx(0.0084, abs=0.0004)
        middle = (down.min() + down.max()) / 2, (right.min() + right.max()) / 2
        radius = np.hypot(down - middle[0], right - middle[1]).max()
        assert np.pi * radius**2 / mask.size == pytest.approx(0.0084, abs=0.0004)
        assert min(down.min(), right.min()) > 0
        assert max(down.max(), right.max()) < 255
    assert len({mask.tobytes() for mask in masks}) == 12
