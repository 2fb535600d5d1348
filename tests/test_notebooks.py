"""What must hold of the notebooks as stored, without running them."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
IGNORED = "nbval-ignore-output"


@pytest.fixture(params=PATHS, ids=lambda p: p.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [c for c in notebook.cells if c.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


def test_the_chapters_are_there():
    assert [p.stem for p in PATHS] == [
        "01_mask_generation",
        "02_pretrain_stage1",
        "03_pretrain_stage2",
        "04_finetune_coco",
        "05_size_study_224_vs_256",
        "06_loss_curves",
        "07_psnr_table",
        "08_deviations",
        "09_inpaint_a_photo",
        "10_benchmarks",
    ]


def test_there_are_two_parameters_in_two_lines(notebook):
    (cell,) = [c for c in code_cells(notebook) if "parameters" in tags(c)]
    assert len(cell.source.splitlines()) <= 4
    values = {}
    exec(cell.source, {}, values)
    assert values == {"profile": "demo", "overrides": {}}


def test_the_study_is_made_before_any_other_variable(notebook):
    """Or `Study.of` would take it for a parameter."""
    cells = code_cells(notebook)
    place = next(k for k, c in enumerate(cells) if c.source.startswith("study = Study.of("))
    before = [c for c in cells[:place] if "parameters" not in tags(c)]
    for cell in before:
        assert all(isinstance(x, ast.Import | ast.ImportFrom) for x in ast.parse(cell.source).body)


@pytest.mark.parametrize("number", ["02", "03", "04"])
def test_the_stages_share_their_cells(number):
    """At most 14 cells, at least half of which no other chapter has."""
    cells = {p.stem[:2]: nbformat.read(p, as_version=4).cells for p in PATHS}
    others = {c.source for n, of_n in cells.items() if n != number for c in of_n}
    own = [c for c in cells[number] if c.source not in others]
    assert len(cells[number]) <= 14
    assert len(own) >= len(cells[number]) / 2


def test_one_name_for_what_is_reproduced(notebook):
    text = "\n".join(c.source for c in notebook.cells)
    assert not re.search(r"\b[Tt]he seed\b", text)


def test_three_of_four_cells_are_compared(notebook):
    cells = code_cells(notebook)
    ignored = [c for c in cells if IGNORED in tags(c)]
    assert len(ignored) <= len(cells) / 4
    for cell in cells:
        assert not re.search(r"#\s*(NBVAL|PYTEST_VALIDATE)", cell.source)
        assert set(tags(cell)) <= {IGNORED, "parameters"}


def test_outputs_are_stored_and_clean(notebook):
    for cell in code_cells(notebook):
        assert cell.execution_count is not None
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", "progress bars and warnings stay out"
            text = str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
            assert not re.search(r"(/home|/root|/tmp|/work|/Users)/", text)


def test_checks_agreed_when_stored(notebook):
    checks = [c for c in code_cells(notebook) if "study.check(" in c.source]
    if any("study.train(" in c.source for c in code_cells(notebook)):
        assert checks
    for cell in checks:
        assert IGNORED not in tags(cell)
        lines = "".join(o.text for o in cell.outputs).strip().splitlines()
        assert lines
        assert all("agree with the committed table" in line for line in lines)


def test_it_is_a_chapter(notebook):
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    for part in ("# ", "**Question.**", "**Method.**", "$$", "## Finding"):
        assert part in text


def test_cells_are_short(notebook):
    cells = [c for c in code_cells(notebook) if "parameters" not in tags(c)]
    assert max(len(c.source.splitlines()) for c in cells) <= 20
