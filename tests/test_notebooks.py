"""What must hold of the notebooks as stored, without running them."""

import re
from pathlib import Path

import nbformat
import pytest

from pconv_core.profiles import load_profile

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


def test_parameters_are_the_demo_profiles(notebook):
    cells = [c for c in code_cells(notebook) if "parameters" in tags(c)]
    assert len(cells) == 1
    values = {}
    exec(cells[0].source, {}, values)
    assert values == load_profile("demo").settings()


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
