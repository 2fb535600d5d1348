"""What a chapter calls, and whether its checks can fail."""

import ast
import shutil
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pandas as pd
import pytest

from pconv_study.experiment import Run
from pconv_study.notebook import ROOT, Disagreement, Study

CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
DEMO = ROOT / "results/reference/demo"
TINY = {"stages.stage1.samples": 16, "stages.stage2.samples": 8, "stages.finetune.samples": 8}
TINY |= {"norm_samples": 8, "base_channels": 4, "size": 32}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the experiments of ours and no results, beside the real one."""
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    monkeypatch.delenv("PCONV_OUTPUT", raising=False)
    monkeypatch.delenv("PCONV_RESULTS", raising=False)
    return tmp_path


def code(path):
    return [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


# --- parameters ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "overrides", "said"),
    [
        ("dmo", {}, "no base is named 'dmo'; did you mean 'demo'"),
        ("demo", {"sise": 1}, "no setting is named 'sise'; did you mean 'size'"),
        ("demo", {"stages.stage1.sample": 1}, "'sample'; did you mean 'samples'"),
        ("demo", {"stage1.samples": 1}, "no setting is named 'stage1'"),
    ],
)
def test_unknown_names_are_errors_with_the_nearest_name(profile, overrides, said, project):
    with pytest.raises(ValueError, match=said):
        Study(profile, overrides, project)


def test_unknown_variants_and_stages_are_errors(project):
    study = Study("demo", {}, project)
    with pytest.raises(ValueError, match="no variant is named 'pconv'; there are: partial"):
        study.cell("pconv")
    with pytest.raises(ValueError, match="no stage is named 'stage3'; did you mean 'stage"):
        study.train("partial", "stage3")


def test_a_run_of_other_settings_has_a_folder_of_its_own(project):
    names = {
        Study("demo", changes, project).name
        for changes in ({}, {"size": 32}, {"size": 48}, {"random_seed": 1}, {"name": "mine"})
    }
    assert len(names) == 5
    assert {"demo", "mine"} < names
    assert Study("demo", {"roots.scenes": "/x", "compare": False}, project).name == "demo"
    assert Study("demo", {"random_seed": 1}, project).cell("partial").seed == 1


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_any_of_the_first_cells_can_be_run_again_in_a_live_kernel(path):
    cells = code(path)
    count = next(k for k, source in enumerate(cells) if source.startswith("study = Study("))
    names: dict = {}
    for source in cells[: count + 1]:
        exec(source, names)
    names["overrides"], names["plain"] = {"size": 32}, 1
    for source in cells[: count + 1][::-1]:
        exec(source, names)


# --- training --------------------------------------------------------------------------------


def test_settings_decide_what_is_trained_again(project, monkeypatch):
    trained, train = [], Run._train

    def noted(self, cell, number, *rest):
        trained.append((cell.variant, number))
        return train(self, cell, number, *rest)

    monkeypatch.setattr(Run, "_train", noted)
    study = Study("demo", TINY, project)
    net, record = study.train("partial", "stage2")
    assert sorted(trained) == [("partial", 0), ("partial", 1)]
    assert record["stage"].tolist() == ["stage1", "stage1", "stage2"]
    assert sorted(p.name for p in (study.output / "logs").iterdir()) == ["partial-stage2.csv"]
    rows = study.measure({"net": net}, {"crops": 1})
    assert set(rows["samples"]) == {24}
    assert list(rows)[:4] == ["variant", "random_seed", "samples", "photos"]
    (project / "experiments" / "study.yaml").touch()
    trained.clear()
    Study("demo", {**TINY, "record_every": 5}, project).train("partial", "stage2")
    assert trained == []
    Study("demo", {**TINY, "stages.stage2.lambda_style": 2.0}, project).train("partial", "stage2")
    assert trained == [("partial", 1)]


# --- checks ----------------------------------------------------------------------------------


@pytest.fixture
def compared(project):
    """Save a table as a run's and another as the committed one; returns the study."""

    def make(new, old, profile="demo", **overrides):
        study = Study(profile, overrides, project)
        with ThreadPoolExecutor(8) as pool:  # as chapters side by side may do
            list(pool.map(study.save_table, [new] * 40, ["t"] * 40))
        folder = project / "results/reference/demo/tables"
        folder.mkdir(parents=True, exist_ok=True)
        old.round(4).to_csv(folder / "t.csv", index=False)
        return study

    return make


TABLE = pd.DataFrame({"variant": ["a", "b"], "psnr": [20.0, 22.0], "pictures": [3, 3]})


def test_equal_tables_agree_silently(compared, capsys):
    compared(TABLE.assign(psnr=[20.05, 22.0]), TABLE).agrees("t", psnr=0.1)
    compared(TABLE.assign(psnr=[20.05, 22.0]), TABLE).agrees("t", psnr="1%")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("changed", "tolerances", "said"),
    [
        ({"psnr": [20.2, 22.3]}, {"psnr": 0.1}, "psnr of row 1 is 22.3, committed is 22"),
        ({"psnr": [20.2, 22.3]}, {"psnr": "1%"}, "psnr of row 1"),
        ({"psnr": [20.001, 22]}, {}, "psnr of row 0"),
        ({"psnr": [float("nan"), 22]}, {"psnr": 9}, "psnr of row 0 is nan"),
        ({"pictures": [3, 4]}, {"psnr": 0.1}, "pictures of row 1 is 4, committed is 3"),
        ({"variant": ["b", "a"]}, {"psnr": 0.1}, "variant of row 0 is b"),
        ({"more": 1}, {}, "2 rows of variant, psnr, pictures, more; committed are 2 of"),
    ],
)
def test_the_largest_disagreement_is_named(changed, tolerances, said, compared):
    with pytest.raises(Disagreement, match=said):
        compared(TABLE.assign(**changed), TABLE).agrees("t", **tolerances)


def test_what_learns_nothing_is_held_closer(compared):
    table = TABLE.assign(samples=[0, 8])
    compared(table.assign(psnr=[20.0, 22.5]), table).agrees("t", psnr=1.0)
    with pytest.raises(Disagreement, match=r"psnr of row 0 is 20\.01"):
        compared(table.assign(psnr=[20.01, 22.5]), table).agrees("t", psnr=1.0)


def test_a_run_of_ones_own_is_compared_with_nothing(compared, capsys):
    compared(TABLE * 2, TABLE, size=32).agrees("t")
    assert "is a run of its own: nothing is committed" in capsys.readouterr().out
    compared(TABLE * 2, TABLE, compare=False).agrees("t")
    assert capsys.readouterr().out == ""
    with pytest.raises(Disagreement, match="is not there, so that other cannot be compared"):
        compared(TABLE, TABLE).agrees("other")


def checks():
    """Name and tolerances of each table that a chapter compares."""
    for path in CHAPTERS:
        for source in code(path):
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "agrees":
                    name = ast.literal_eval(node.args[0])
                    yield name, {k.arg: ast.literal_eval(k.value) for k in node.keywords}


def test_exchanged_networks_are_seen_in_every_table_that_a_chapter_compares(project):
    """The partial and the traditional network change places in the committed table."""
    exchanged = 0
    for name, tolerances in checks():
        old = pd.read_csv(DEMO / f"tables/{name}.csv")
        folder = project / "results/reference/demo/tables"
        folder.mkdir(parents=True, exist_ok=True)
        study = Study("demo", {}, project)
        study.save_table(old, name)
        shutil.copy(DEMO / f"tables/{name}.csv", folder)
        study.agrees(name, **tolerances)
        if "variant" not in old or not {"partial", "traditional"} <= set(old["variant"]):
            continue
        places = {"partial": "traditional", "traditional": "partial"}
        other = old.assign(variant=old["variant"].replace(places)).sort_values(list(old)[:2])
        other.to_csv(folder / f"{name}.csv", index=False)
        study.save_table(old.sort_values(list(old)[:2]), name)
        with pytest.raises(Disagreement):
            study.agrees(name, **tolerances)
        exchanged += 1
    assert exchanged >= 4


@pytest.mark.parametrize(
    "damage",
    [{"loss_weights.tv": 0.0}, {"loss_weights.perceptual": -0.05}, {"network": "ConvUNet"}],
    ids=["total variation dropped", "a sign flipped", "plain for partial"],
)
def test_the_first_losses_see_damage(damage, tmp_path, monkeypatch):
    monkeypatch.setenv("PCONV_RESULTS", str(tmp_path))
    damaged = Study("demo", damage).first_steps("partial")
    with pytest.raises(Disagreement, match="committed is"):
        Study("demo").agrees_losses(damaged, "partial")


def test_the_first_losses_agree_and_one_that_is_slightly_off_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PCONV_RESULTS", str(tmp_path))
    study = Study("demo")
    record = study.first_steps("partial")
    study.agrees_losses(record, "partial")
    record.loc[0, "tv"] *= 1.01
    with pytest.raises(Disagreement, match="step 1 of row tv is"):
        study.agrees_losses(record, "partial")
    with pytest.raises(Disagreement, match="steps of row total is 19, committed is 20"):
        study.agrees_losses(record.iloc[1:], "partial")
