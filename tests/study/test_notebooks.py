"""What must hold of the chapters as stored, without running them."""

import re
from pathlib import Path

import nbformat
import pytest

PATHS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=PATHS, ids=lambda p: p.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [c for c in notebook.cells if c.cell_type == "code"]


def printed(output):
    data = output.get("data", {})
    return str(output.get("text", "")) + str(data.get("text/plain", ""))


def test_there_are_two_parameters_in_two_lines(notebook):
    (cell,) = [c for c in code_cells(notebook) if "parameters" in c.metadata.get("tags", [])]
    values = {}
    exec(cell.source, {}, values)
    assert values == {"profile": "demo", "overrides": {}}
    assert len(cell.source.splitlines()) == 2


def test_outputs_are_stored_short_and_clean(notebook):
    assert len(notebook.cells) <= 25
    for cell in code_cells(notebook):
        assert len(cell.source.splitlines()) <= 20
        assert cell.execution_count is not None
        assert set(cell.metadata.get("tags", [])) <= {"nbval-ignore-output", "parameters"}
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", "progress bars and warnings stay out"
            assert len(printed(output).splitlines()) <= 15
            assert not re.search(r"(/home|/root|/tmp|/work|/Users)/", printed(output))


def test_checks_are_compared(notebook):
    for cell in code_cells(notebook):
        if "study.agrees(" in cell.source:
            assert "nbval-ignore-output" not in cell.metadata.get("tags", [])
            assert not cell.outputs, "what agrees is silent"
