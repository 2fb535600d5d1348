"""What a run will take: the arithmetic on made-up costs, and a small measurement."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from pconv_core import evaluation
from pconv_core.masks import KINDS
from pconv_core.study import plan
from pconv_core.study.profile import load_profile
from pconv_core.study.run import STAGES, Study

ROOT = Path(__file__).parents[1]
NAMES = sorted(p.stem for p in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
DEMO = load_profile("demo")
SMALL = {"name": "small", "size": 32, "small_size": 32, "base_channels": 2, "batch_size": 2}
SMALL |= {"features": "random", "feature_width": 0.0625, "test_per_cell": 1}


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def costs(profile, step=0.0, **rest):
    """Costs that are 0 but for those given."""
    one = {"step": dict.fromkeys(STAGES, step), "start": 0.0, "save": 0.0}
    one |= {"weights": 4e6, "checkpoint": 12e6, "memory": 2e9}
    methods = [*Study(profile).models, *evaluation.BASELINES]
    none = {"picture": dict.fromkeys(methods, 0.0), "mask": dict.fromkeys(KINDS, 0.0)}
    none["shape"] = dict.fromkeys(KINDS, 0.0)
    none |= {"towards": 0.0, "figure": 0.0, "photograph": 0.0, "deviations": 0.0, "memory": 1e9}
    training = dict.fromkeys(Study(profile).entrants.values(), one)
    return plan.Costs(training, none | rest, 0.0, dict.fromkeys(NAMES, 1000))


def seconds(profile, found):
    return plan.estimate(profile, found).set_index("chapter")["seconds"]


def test_training_is_where_the_notebooks_train():
    chapters = seconds(DEMO, costs(DEMO, step=1.0))
    stages = [DEMO.stage1_steps, DEMO.stage2_steps, DEMO.finetune_steps]
    steps = dict(zip(("02", "03", "04"), (2 * n for n in stages), strict=True))
    steps["05"] = sum(stages)
    for name in NAMES:
        assert chapters[name] == steps.get(name[:2], 0)
    full = load_profile("full")
    chapters = seconds(full, costs(full, step=1.0))
    assert chapters["02_pretrain_stage1"] == 3 * 4508650
    assert "08_deviations" not in chapters


def test_what_each_chapter_trains_is_what_its_notebook_says():
    for name in NAMES:
        source = (ROOT / f"notebooks/{name}.ipynb").read_text()
        assert bool(list(plan._trainings(DEMO, name[:2]))) == ("study.train(" in source)


@pytest.mark.parametrize("length", ["stage1_steps", "stage2_steps", "finetune_steps"])
def test_hours_are_linear_in_the_steps(length):
    found = costs(DEMO, step=0.25, figure=1.0, towards=0.5)
    hours = [
        seconds(replace(DEMO, **{length: times * getattr(DEMO, length)}), found).sum()
        for times in (1, 2, 3)
    ]
    assert hours[2] - hours[1] == pytest.approx(hours[1] - hours[0])
    # Two networks at the size, and the small one.
    assert hours[1] - hours[0] == pytest.approx(3 * 0.25 * getattr(DEMO, length))


def test_saves_count():
    found = costs(DEMO)
    for one in found.training.values():
        one["save"] = 10.0
    chapters = seconds(replace(DEMO, checkpoint_every=100), found)
    assert chapters["02_pretrain_stage1"] == 2 * (DEMO.stage1_steps // 100) * 10
    assert chapters["04_finetune_coco"] == 0


def test_the_last_row_is_the_sum_of_the_chapters():
    found = costs(DEMO, step=3.0, figure=2.0)
    table = plan.estimate(DEMO, found)
    lines = plan.told(DEMO, table, found).splitlines()
    assert len(lines) == len(table) + 3
    rows = [line.rsplit(maxsplit=3) for line in lines[1:-1]]
    assert rows[-1][0].strip() == "the whole study"
    numbers = pd.DataFrame([row[1:] for row in rows]).astype(float)
    length = 60 if "minutes" in lines[0] else 3600
    assert numbers[0].iloc[-1] == pytest.approx(table["seconds"].sum() / length, abs=0.05)
    assert numbers[0].iloc[-1] == pytest.approx(numbers[0].iloc[:-1].sum(), abs=0.5)
    assert numbers[1].iloc[-1] == pytest.approx(table["disk"].sum() / 1e9, abs=0.005)
    assert numbers[2].iloc[-1] == table["memory"].max() / 1e9 == 2.0
    assert lines[-1].endswith("0.04 GB more.")


def test_long_runs_are_told_in_hours():
    found = costs(DEMO, step=1.0)
    table = plan.estimate(DEMO, found)
    assert "minutes" in plan.told(DEMO, table, found)
    found = costs(DEMO, step=100.0)
    assert "hours" in plan.told(DEMO, plan.estimate(DEMO, found), found)


def test_a_profile_that_does_not_exist_is_one_error(capsys):
    assert plan.main(["--profile", "huge"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: no profile named 'huge'; there are: demo")
    assert len(told.err.splitlines()) == 1


def test_what_is_missing_is_said_and_stood_in_for(tmp_path):
    gone = {name: str(tmp_path / name) for name in ("pretrain_photos", "test_photos")}
    profile = replace(DEMO, **gone, features="none.pt", feature_width=1.0)
    measured, said = plan.stand_ins(profile, tmp_path / "new")
    assert [line.partition(";")[0] for line in said[:2]] == [
        f"no folder at {folder}" for folder in gone.values()
    ]
    assert all("embedded photographs stand in for" in line for line in said[:2])
    assert "random features" in said[2]
    assert (measured.features, measured.feature_width) == ("random", 1.0)
    assert measured.finetune_photos == "embedded"
    assert len(list(Path(measured.pretrain_photos).iterdir())) == 7
    assert len(list(Path(measured.test_photos).iterdir())) == 2
    assert plan.stand_ins(DEMO, tmp_path / "none") == (DEMO, [])


def files():
    return {p for top in ("results", "notebooks") for p in (ROOT / top).rglob("*") if p.is_file()}


def test_a_plan_of_a_small_study(tmp_path, capsys):
    """All of it is measured, missing photographs are said, and nothing is left behind."""
    before = files()
    settings = {**SMALL, "pretrain_photos": str(tmp_path / "none")}
    options = [part for k, v in settings.items() for part in ("--set", f"{k}={v}")]
    out = tmp_path / "plan.csv"
    assert plan.main([*options, "--out", str(out)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("measured on ")
    assert told[1].startswith(f"no folder at {tmp_path / 'none'};")
    table = pd.read_csv(out)
    assert table["chapter"].tolist() == NAMES
    assert (table[["seconds", "disk", "memory"]] > 0).all(axis=None)
    assert files() == before
