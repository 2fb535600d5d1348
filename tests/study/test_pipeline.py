"""The Makefile and its worker, on copies in a temporary folder."""

import os
import subprocess
from pathlib import Path

import nbformat
import pytest

from pconv_study import pipeline

ROOT = Path(__file__).parents[2]
PARAMETERS = 'profile = "demo"\noverrides = {}'
FIRST_CELL = """
import os, pathlib
table = pathlib.Path(os.environ["PCONV_OUTPUT"]) / "tables" / "t.csv"
table.parent.mkdir()
table.write_text(f"{profile}\\n{overrides}\\n")
"""


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """A notebook of given cells in a project folder of its own, which becomes the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PCONV_OUTPUT", "")  # so that it is put back afterwards
    monkeypatch.delenv("PCONV_OUTPUT")

    def make(*cells):
        path = tmp_path / "notebooks" / "01_small.ipynb"
        path.parent.mkdir(exist_ok=True)
        code = [nbformat.v4.new_code_cell(c) for c in (PARAMETERS, *cells)]
        code[0].metadata["tags"] = ["parameters"]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(nbformat.v4.new_notebook(cells=code, metadata={"kernelspec": kernel}), path)
        return path.relative_to(tmp_path)

    yield make
    os.environ.pop("PCONV_OUTPUT", None)


def left(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_notebook_that_runs_is_published_with_its_parameters(notebook, tmp_path):
    path = notebook(FIRST_CELL, "import sys; print('bar', file=sys.stderr); print('result')")
    assert pipeline.main(["run", str(path), "--set", "name=mine", "--set", "size=32"]) == 0
    mine = tmp_path / "results/mine"
    assert left(tmp_path / "results") == ["mine/notebooks/01_small.ipynb", "mine/tables/t.csv"]
    assert (mine / "tables/t.csv").read_text() == "demo\n{'name': 'mine', 'size': 32}\n"
    executed = nbformat.read(mine / "notebooks/01_small.ipynb", 4)
    assert [o["text"] for o in executed.cells[-1].outputs] == ["result\n"]
    assert "papermill" not in str(executed)


def test_a_disagreement_fails_the_command_names_the_cell_and_publishes_nothing(
    notebook, tmp_path, capsys
):
    fails = "from pconv_study.notebook import Disagreement\nraise Disagreement('psnr of row 1')"
    assert pipeline.main(["run", str(notebook(FIRST_CELL, fails, "print('never')"))]) == 2
    assert left(tmp_path / "results") == ["demo/failed/01_small.ipynb"]
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("error: notebooks/01_small.ipynb failed at 'from pconv_study")
    assert "Disagreement: psnr of row 1; see results/demo/failed/01_small.ipynb" in message


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "none.ipynb"], "no notebook at none.ipynb"),
        (["run", "notebooks/01_small.ipynb", "--profile", "none"], "no base is named 'none'"),
        (["run", "notebooks/01_small.ipynb", "--set", "sise=1"], "did you mean 'size'"),
        (["run", "notebooks/01_small.ipynb", "--set", "size"], "it should be NAME=VALUE"),
        (["run", "notebooks/01_small.ipynb", "--profile", "full"], "say where, places365=DIR"),
        (["store"], "results/demo lacks the chapters 01_small"),
        (["report"], "holds no executed notebook"),
    ],
)
def test_bad_calls_end_with_one_line(notebook, arguments, said, capsys):
    notebook()
    assert pipeline.main(arguments) == 2
    assert said in capsys.readouterr().err


def test_values_are_read_as_yaml_and_rates_as_numbers():
    found = pipeline.overrides_of(["a=1e-3", "b=2", "c=word", "d=[1, 2]", "e=0.5"])
    assert found == {"a": 0.001, "b": 2, "c": "word", "d": [1, 2], "e": 0.5}


def test_a_run_is_stored_with_its_outputs_and_what_it_left(notebook, tmp_path):
    path = notebook(FIRST_CELL, "print(6 * 7)")
    assert pipeline.main(["run", str(path)]) == 0
    reference = tmp_path / "results/reference/demo"
    (reference / "tables").mkdir(parents=True)
    (reference / "tables/old.csv").touch()
    assert pipeline.main(["store"]) == 0
    assert left(reference) == ["tables/t.csv"]
    cells = nbformat.read(path, 4).cells
    assert [c.source for c in cells] == [PARAMETERS, FIRST_CELL, "print(6 * 7)"]
    assert [c.execution_count for c in cells] == [1, 2, 3]
    assert cells[-1].outputs[0].text == "42\n"


def commands(*arguments):
    command = ["make", "--no-print-directory", "-n", "-o", ".venv/.ready", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [" ".join(x.split()) for x in done.stdout.replace("\\\n", " ").splitlines()]


def test_make_runs_every_chapter_with_what_it_is_told():
    said = commands("all", "SET=a.b=1 c=2", "NAME=mine", "SCENES=/s", "PLACES365=/p")
    found = [line for line in said if "pipeline run" in line]
    names = [p.name for p in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))]
    names.sort(key=lambda name: name.startswith("10_"))  # the one that takes times, alone
    assert [line.split()[4] for line in found] == [f"notebooks/{name}" for name in names]
    ending = "--set name=mine --set a.b=1 --set c=2 --set roots.places365=places365:/p "
    assert all(line.endswith(f"{ending}--set roots.scenes=/s") for line in found)


def test_make_experiment_hands_on_its_folders():
    told = ("NAME=comparison", "SCENES=/s", "BSDS=/b", "ON=test", "LIST=1")
    assert "--on test --photos scenes=/s --photos bsds=/b" in commands("experiment", *told)[0]
