"""The Makefile's DAG and its worker, on copies in a temporary folder."""

import ast
import os
import shutil
import subprocess
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from pconv_core.study import pipeline

ROOT = Path(__file__).parents[1]
NAMES = sorted(p.stem for p in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
PARAMETERS = 'profile = "demo"\noverrides = {}'

FIRST_CELL = """
import os, pathlib
out = pathlib.Path(os.environ["PCONV_OUTPUT"])
(out / "tables").mkdir()
(out / "tables" / "t.csv").write_text(f"{profile}\\n{overrides}\\n")
"""


@pytest.fixture
def notebook(tmp_path):
    """A notebook of given cells in a project folder of its own, which becomes the current one."""

    def make(*cells):
        path = tmp_path / "notebooks" / "01_small.ipynb"
        path.parent.mkdir()
        code = [nbformat.v4.new_code_cell(c) for c in (PARAMETERS, *cells)]
        code[0].metadata["tags"] = ["parameters"]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        metadata = {"kernelspec": kernel}
        nbformat.write(nbformat.v4.new_notebook(cells=code, metadata=metadata), path)
        return path.relative_to(tmp_path)

    old = Path.cwd()
    os.chdir(tmp_path)
    before = dict(os.environ)
    yield make
    os.chdir(old)
    os.environ.clear()
    os.environ.update(before)


def left(tmp_path, name="demo"):
    results = tmp_path / "results" / name
    files = sorted(str(p.relative_to(results)) for p in results.rglob("*") if p.is_file())
    return [f for f in files if f not in ("settings.yaml", "times.csv")]


def test_a_notebook_that_runs_is_published_with_the_profiles_parameters(notebook, tmp_path):
    path = notebook(FIRST_CELL, "import sys; print('bar', file=sys.stderr); print('result')")
    assert pipeline.main(["run", str(path)]) == 0
    assert left(tmp_path) == ["notebooks/01_small.ipynb", "tables/t.csv"]
    assert (tmp_path / "results/demo/tables/t.csv").read_text() == "demo\n{}\n"
    executed = nbformat.read(tmp_path / "results/demo/notebooks/01_small.ipynb", 4)
    assert [o["text"] for o in executed.cells[-1].outputs] == ["result\n"]
    assert "papermill" not in str(executed)


def test_a_notebook_that_fails_names_the_cell_and_publishes_nothing(notebook, tmp_path, capsys):
    path = notebook(FIRST_CELL, "1 / 0", "print('never')")
    assert pipeline.main(["run", str(path)]) == 2
    assert left(tmp_path) == ["failed/01_small.ipynb"]
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("error: notebooks/01_small.ipynb failed in code cell 3 ('1 / 0'): ")
    assert "ZeroDivisionError" in message


def test_overrides_make_another_run(notebook, tmp_path, capsys):
    path = notebook(FIRST_CELL)
    assert pipeline.main(["run", str(path), "--set", "seed=1"]) == 2
    assert "the run has no name of its own" in capsys.readouterr().err
    mine = ["run", str(path), "--set", "name=mine", "--set"]
    assert pipeline.main([*mine, "seed=1"]) == 0
    assert left(tmp_path) == []
    assert left(tmp_path, "mine") == ["notebooks/01_small.ipynb", "tables/t.csv"]
    written = (tmp_path / "results/mine/tables/t.csv").read_text()
    assert written == "demo\n{'name': 'mine', 'seed': 1}\n"
    assert pipeline.main([*mine, "seed=2"]) == 2
    assert "results/mine holds another run (seed 1 instead of 2)" in capsys.readouterr().err


def test_the_terminal_tells_what_happens(notebook, tmp_path, capsys):
    path = notebook("import sys; print('noise', file=sys.stderr)")
    book = nbformat.read(path, 4)
    text = "# 1. Small\n\n**Question.** Some words. Is it\nsmall?\n\n**Method.** None?"
    book.cells.insert(0, nbformat.v4.new_markdown_cell(text))
    nbformat.write(book, path)
    shutil.copy(path, path.with_name("02_next.ipynb"))
    reference = tmp_path / "results/reference/demo"
    reference.mkdir(parents=True)
    (reference / "times.csv").write_text("chapter,seconds\n01_small,40\n02_next,600\n")
    assert pipeline.main(["run", str(path)]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "chapter 1 of 2: Small",
        "  Is it small?",
        "  about 40 s; 1 more after it, 10 min",
    ]
    assert told.err == ""
    times = pd.read_csv(tmp_path / "results/demo/times.csv")
    assert times["chapter"].tolist() == ["01_small"]


def test_relative_folders_start_where_the_notebooks_run(notebook, tmp_path):
    path = notebook("import pathlib; assert pathlib.Path(overrides['pretrain_photos']).is_dir()")
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.png").touch()
    run = ["run", str(path), "--set", "name=mine", "--set", "pretrain_photos=../photos"]
    assert pipeline.main(run) == 0
    photos.rename(tmp_path / "notebooks" / "photos")
    assert pipeline.main(run) == 2


def test_bad_calls(notebook, tmp_path, capsys):
    notebook()
    assert pipeline.main(["run", "notebooks/none.ipynb"]) == 2
    assert "no notebook at notebooks/none.ipynb" in capsys.readouterr().err
    assert pipeline.main(["run", "notebooks/01_small.ipynb", "--profile", "none"]) == 2
    assert "no profile named 'none'" in capsys.readouterr().err


def test_promoted_results_are_stored_with_the_outputs(notebook, tmp_path, monkeypatch):
    path = notebook(FIRST_CELL, "print(6 * 7)")
    monkeypatch.setattr(pipeline.readme, "write", lambda *_: None)
    assert pipeline.main(["promote", "demo"]) == 2  # nothing has been run
    assert pipeline.main(["run", str(path)]) == 0
    old = tmp_path / "results/reference/demo/tables/old.csv"
    old.parent.mkdir(parents=True)
    old.touch()
    assert pipeline.main(["promote", "demo"]) == 0
    reference = tmp_path / "results/reference/demo"
    promoted = {str(p.relative_to(reference)) for p in reference.rglob("*") if p.is_file()}
    assert promoted == {"tables/t.csv", "times.csv"}
    assert pipeline.main(["store"]) == 0
    stored = nbformat.read(path, 4)
    assert [c.source for c in stored.cells][::2] == [PARAMETERS, "print(6 * 7)"]
    assert [c.execution_count for c in stored.cells] == [1, 2, 3]
    assert stored.cells[-1].outputs[0]["text"] == "42\n"
    executed = tmp_path / "results/demo/notebooks/01_small.ipynb"
    assert executed.stat().st_mtime_ns >= path.stat().st_mtime_ns


def test_pictures_of_other_peoples_photographs_are_not_promoted(notebook, tmp_path):
    notebook()
    figures = tmp_path / "results/photographs/figures"
    (tmp_path / "results/photographs/notebooks").mkdir(parents=True)
    (tmp_path / "results/photographs/notebooks/01_small.ipynb").touch()
    figures.mkdir()
    for name in ("02_examples", "05_examples_odd_size", "06_loss_curves", "09_photo"):
        (figures / f"{name}.png").touch()
    reference = pipeline.promote("photographs")
    assert [p.name for p in reference.rglob("*.png")] == ["06_loss_curves.png"]


@pytest.mark.parametrize(
    ("name", "left", "command"),
    [("trainings", "2018/pictures/a.csv", "make tables"), ("deviations", "kept/a.csv", "make dev")],
)
def test_what_single_trainings_left_is_promoted_with_the_tables(
    tmp_path, monkeypatch, name, left, command
):
    monkeypatch.chdir(tmp_path)
    for run in (tmp_path / "results" / name, tmp_path / "results/reference" / name):
        (run / left).parent.mkdir(parents=True)
        (run / left).touch()
    old = tmp_path / "results/reference" / name / "tables/old.csv"
    old.parent.mkdir()
    old.touch()
    with pytest.raises(ValueError, match=f"lacks tables of all that it holds; {command}"):
        pipeline.promote(name)
    assert old.is_file()
    (tmp_path / "results" / name / "tables").mkdir()
    (tmp_path / "results" / name / "tables/new.csv").touch()
    reference = pipeline.promote(name)
    found = {str(p.relative_to(reference)) for p in reference.rglob("*.csv")}
    assert found == {left, "tables/new.csv"}
    # One more training, of which the tables do not tell.
    later = (tmp_path / "results" / name / left).with_name("b.csv")
    later.touch()
    os.utime(later, ns=(2**62, 2**62))
    with pytest.raises(ValueError, match="lacks tables of all"):
        pipeline.promote(name)


@pytest.fixture
def finished_run(tmp_path):
    """A copy of the project in which everything has been made, sources older than results."""
    files = ("Makefile", "pyproject.toml", "constraints.txt", "trained.txt")
    for name in (*files, "pconv_core", "notebooks"):
        source, target = ROOT / name, tmp_path / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    shutil.copytree(ROOT / "results/reference", tmp_path / "results/reference")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/.ready").touch()
    done = tmp_path / "results/demo/notebooks"
    done.mkdir(parents=True)
    for path in tmp_path.rglob("*"):
        os.utime(path, (1000, 1000))
    for k, name in enumerate(NAMES):
        (done / f"{name}.ipynb").touch()
        os.utime(done / f"{name}.ipynb", (2000 + k, 2000 + k))
    os.utime(tmp_path / ".venv/.ready", (1500, 1500))
    return tmp_path


def would_run(project):
    command = ["make", "--no-print-directory", "-n", "all"]
    lines = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout
    return [name[:2] for name in NAMES if f"run notebooks/{name}.ipynb" in lines]


def test_nothing_to_do_when_all_is_made(finished_run):
    assert would_run(finished_run) == []


@pytest.mark.parametrize(
    ("touched", "rerun"),
    [
        ("notebooks/01_mask_generation.ipynb", ["01"]),
        ("notebooks/02_pretrain_stage1.ipynb", ["02", "03", "04", "05", "06", "07", "08", "09"]),
        ("notebooks/05_size_study_224_vs_256.ipynb", ["05", "06", "07", "08"]),
        ("notebooks/06_loss_curves.ipynb", ["06", "08"]),
        ("notebooks/07_psnr_table.ipynb", ["07", "08"]),
        ("notebooks/08_deviations.ipynb", ["08"]),
        ("notebooks/09_inpaint_a_photo.ipynb", ["09"]),
        ("notebooks/10_benchmarks.ipynb", ["10"]),
        ("pconv_core/study/profiles/demo.yaml", [name[:2] for name in NAMES]),
        ("pconv_core/study/profiles/full.yaml", []),
        ("pconv_core/study/published.csv", ["07", "08", "09"]),
        ("pconv_core/study/pconv_curves.csv", ["06", "08"]),
        ("results/reference/shipped/tables/bins.csv", ["09"]),
        ("pconv_core/study/summary.py", []),
        ("pconv_core/study/readme.py", []),
        ("pconv_core/study/pipeline.py", []),
        ("results/reference/deviations/tables/runs.csv", ["08"]),
        ("results/reference/trials/tables/trials.csv", ["08"]),
        (
            "results/reference/trainings/tables/differences.csv",
            ["02", "03", "04", "05", "06", "07", "08", "09"],
        ),
        ("results/reference/demo/tables/psnr_overall.csv", []),
    ],
)
def test_touching_a_file_reruns_what_depends_on_it(finished_run, touched, rerun):
    (finished_run / touched).touch()
    assert would_run(finished_run) == rerun


def imports(source: str) -> set[str]:
    """Modules of ours that a piece of code names in its imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pconv_core"):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    for name in list(found):
        # Public names of the study live in modules of their own.
        if name in ("pconv_core.study.Study", "pconv_core.study.label", "pconv_core.study.STAGES"):
            found.add("pconv_core.study.run")
    return found


def files_behind(source: str) -> set[str]:
    """Files of ours that run when this code does."""
    waiting, seen = imports(source), set()
    while waiting:
        parts = waiting.pop().split(".")
        for path in ("/".join(parts) + ".py", "/".join([*parts, "__init__.py"])):
            if path not in seen and (ROOT / path).is_file():
                seen.add(path)
                waiting |= imports((ROOT / path).read_text())
        if len(parts) > 1:
            waiting |= {".".join(parts[:-1])} - {"pconv_core"}
    return seen


def test_the_makefile_lists_what_the_notebooks_import(finished_run):
    """Every file of the library, touched alone, reruns the chapters that import it."""
    behind = {}
    for name in NAMES:
        cells = nbformat.read(ROOT / f"notebooks/{name}.ipynb", 4).cells
        code = [c.source for c in cells if c.cell_type == "code"]
        behind[name[:2]] = set().union(*(files_behind(c) for c in code))
    downstream = {"02": "03 04 05 06 07 08 09", "03": "04 05 06 07 08 09", "04": "05 06 07 08 09"}
    downstream |= {"05": "06 07 08", "06": "08", "07": "08"}
    for path in sorted((ROOT / "pconv_core").rglob("*.py")):
        relative = str(path.relative_to(ROOT))
        chapters = {n for n, found in behind.items() if relative in found}
        rerun = chapters.union(*(downstream.get(n, "").split() for n in chapters))
        if relative == "pconv_core/__init__.py":
            rerun = set(behind)
        os.utime(finished_run / relative, (9000, 9000))
        assert set(would_run(finished_run)) == rerun, relative
        os.utime(finished_run / relative, (1000, 1000))


def test_help_lists_every_target():
    command = ["make", "--no-print-directory", "help"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("all", "deviations", "test", "lab", "clean", "notebooks", "install", "help"):
        assert f"\n{target} " in f"\n{listed}"


def test_make_style_has_a_profile_of_its_own():
    command = ["make", "-n", "style", "PRETRAIN=a", "TEST=b"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "style_effect --profile style --set pretrain_photos=" in " ".join(done.stdout.split())
