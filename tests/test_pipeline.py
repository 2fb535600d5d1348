"""The Makefile's DAG and its worker, on copies in a temporary folder."""

import os
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest

from pconv_core.study import pipeline

ROOT = Path(__file__).parents[1]
NAMES = sorted(p.stem for p in (ROOT / "notebooks").glob("[0-9]*.ipynb"))

FIRST_CELL = """
import os, pathlib
out = pathlib.Path(os.environ["PCONV_OUTPUT"])
(out / "tables").mkdir()
(out / "tables" / "t.csv").write_text(f"size\\n{size}\\n")
"""


@pytest.fixture
def notebook(tmp_path):
    """A notebook of given cells in a project folder of its own, which becomes the current one."""

    def make(*cells):
        path = tmp_path / "notebooks" / "01_small.ipynb"
        path.parent.mkdir()
        code = [nbformat.v4.new_code_cell(c) for c in ("size = 1", *cells)]
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


def left(tmp_path):
    results = tmp_path / "results" / "demo"
    return sorted(str(p.relative_to(results)) for p in results.rglob("*") if p.is_file())


def test_a_notebook_that_runs_is_published_with_the_profiles_parameters(notebook, tmp_path):
    path = notebook(FIRST_CELL, "import sys; print('bar', file=sys.stderr); print('result')")
    assert pipeline.main(["run", str(path)]) == 0
    assert left(tmp_path) == ["notebooks/01_small.ipynb", "tables/t.csv"]
    assert (tmp_path / "results/demo/tables/t.csv").read_text() == "size\n64\n"
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


def test_relative_folders_start_where_the_notebooks_run(notebook, tmp_path):
    path = notebook("import pathlib; assert pathlib.Path(pretrain_photos).is_dir()")
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.png").touch()
    run = ["run", str(path), "--set", "pretrain_photos=../photos"]
    assert pipeline.main(run) == 0
    photos.rename(tmp_path / "notebooks" / "photos")
    assert pipeline.main(run) == 2


def test_bad_calls(notebook, tmp_path, capsys):
    notebook()
    assert pipeline.main(["run", "notebooks/none.ipynb"]) == 2
    assert "no notebook at notebooks/none.ipynb" in capsys.readouterr().err
    assert pipeline.main(["run", "notebooks/01_small.ipynb", "--profile", "none"]) == 2
    assert "no profile named 'none'" in capsys.readouterr().err


def test_store_copies_outputs_and_leaves_sources_older(notebook, tmp_path):
    path = notebook(FIRST_CELL, "print(6 * 7)")
    assert pipeline.main(["run", str(path)]) == 0
    assert pipeline.main(["store"]) == 0
    stored = nbformat.read(path, 4)
    assert [c.source for c in stored.cells][::2] == ["size = 1", "print(6 * 7)"]
    assert [c.execution_count for c in stored.cells] == [1, 2, 3]
    assert stored.cells[-1].outputs[0]["text"] == "42\n"
    executed = tmp_path / "results/demo/notebooks/01_small.ipynb"
    assert executed.stat().st_mtime_ns >= path.stat().st_mtime_ns


@pytest.fixture
def finished_run(tmp_path):
    """A copy of the project in which everything has been made, sources older than results."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "pconv_core", "notebooks"):
        source, target = ROOT / name, tmp_path / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
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
    return [name[:2] for name in NAMES if f"notebooks/{name}.ipynb" in lines]


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
        ("pconv_core/layers.py", [name[:2] for name in NAMES]),
        ("pconv_core/profiles/demo.yaml", [name[:2] for name in NAMES]),
    ],
)
def test_touching_a_file_reruns_what_depends_on_it(finished_run, touched, rerun):
    (finished_run / touched).touch()
    assert would_run(finished_run) == rerun


def test_help_lists_every_target():
    command = ["make", "--no-print-directory", "help"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("all", "deviations", "test", "lab", "clean", "notebooks", "install", "help"):
        assert f"\n{target} " in f"\n{listed}"
