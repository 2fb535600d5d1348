"""Run one notebook of the study through papermill, whole or not at all: the Makefile's worker.

python -m pconv_core.pipeline run notebooks/02_pretrain_stage1.ipynb --profile demo
python -m pconv_core.pipeline store --profile demo
python -m pconv_core.pipeline readme
python -m pconv_core.pipeline report --profile demo
"""

import argparse
import contextlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from nbconvert import HTMLExporter

from pconv_core import preflight, readme
from pconv_core.files import whole
from pconv_core.profiles import changed, load_profile
from pconv_core.study import OUTPUT_VARIABLE, REFRESH_VARIABLE, UNFINISHED_VARIABLE


def run_notebook(
    notebook: Path, profile: str, refresh: bool = False, changes: Sequence[str] = ()
) -> None:
    """Execute a notebook with a profile's parameters and publish what it made.

    It writes into a staging folder; only when its last cell has run are the files moved into
    results/PROFILE, the executed notebook last.  If a cell fails nothing is published, and the
    notebook with the error is left in results/PROFILE/failed.

    Parameters
    ----------
    notebook : Path
    profile : str
        Name of the profile.
    refresh : bool
        Compare the run with itself, not with the committed tables, which it will replace.
    changes : sequence of str
        Settings other than the profile's, as "name=value".

    Raises
    ------
    RuntimeError
        If a cell fails, naming it.
    ValueError
        If something is missing that the run will need, naming all of it.
    """
    settings = changed(load_profile(profile), list(changes))
    # A profile's relative paths start where its notebooks run.
    with contextlib.chdir(notebook.parent):
        preflight.check(settings)
    results = (notebook.parent / settings.results / profile).resolve()
    staging = results / ".staging" / notebook.stem
    shutil.rmtree(staging, ignore_errors=True)
    executed = staging / "notebooks" / notebook.name
    executed.parent.mkdir(parents=True)
    os.environ[OUTPUT_VARIABLE] = str(staging)
    os.environ[UNFINISHED_VARIABLE] = str(results / "unfinished")
    if refresh:
        os.environ[REFRESH_VARIABLE] = "1"
    try:
        papermill.execute_notebook(
            notebook,
            executed,
            parameters=settings.settings(),
            kernel_name="python3",
            cwd=notebook.parent,
            progress_bar=False,
            stderr_file=sys.stderr,
        )
    except papermill.PapermillExecutionError as error:
        failed = results / "failed" / notebook.name
        failed.parent.mkdir(exist_ok=True)
        os.replace(executed, failed)
        raise RuntimeError(_describe(error, notebook, failed)) from None
    except DeadKernelError as error:
        raise RuntimeError(
            f"{notebook}: its kernel died, perhaps for want of memory ({error})"
        ) from None
    else:
        tidy(executed)
        _publish(staging, results, last=executed)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def tidy(path: Path) -> None:
    """Wipe what is no result from an executed notebook: progress bars, times, machine details."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        for name in ("papermill", "execution"):
            cell.metadata.pop(name, None)
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    nbformat.write(notebook, path)


def store_outputs(folder: Path, profile: str) -> None:
    """Copy the outputs of a run into the notebooks it was made from.

    The executed copies are touched afterwards, so that make does not find the sources newer.
    """
    settings = load_profile(profile)
    for source in sorted(folder.glob("[0-9]*.ipynb")):
        executed = folder / settings.results / profile / "notebooks" / source.name
        notebook = nbformat.read(executed, as_version=4)
        kept = [
            c for c in notebook.cells if "injected-parameters" not in c.metadata.get("tags", [])
        ]
        code = [c for c in kept if c.cell_type == "code"]
        for number, cell in enumerate(code, start=1):
            cell.execution_count = number
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = number
        notebook.cells = kept
        nbformat.write(notebook, source)
        executed.touch()


def write_report(results: Path) -> Path:
    """Join the executed notebooks of a run into one HTML page, figures and all.

    Raises
    ------
    ValueError
        If no notebook has been executed.
    """
    paths = sorted((results / "notebooks").glob("[0-9]*.ipynb"))
    if not paths:
        raise ValueError(f"{results} holds no executed notebook; run `make all` first")
    chapters = [nbformat.read(path, as_version=4) for path in paths]
    book = nbformat.v4.new_notebook(metadata=chapters[0].metadata)
    book.cells = [cell for chapter in chapters for cell in chapter.cells]
    for number, cell in enumerate(book.cells):
        cell.id = f"cell{number}"  # two chapters may have used one name
    exporter = HTMLExporter(exclude_input_prompt=True, exclude_output_prompt=True)
    title = {"metadata": {"name": f"Partial convolutions: {results.name}"}}
    page, _ = exporter.from_notebook_node(book, title)
    report = results / "report.html"
    with whole(report) as unfinished:
        unfinished.write_text(page, encoding="utf-8")
    return report


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pconv_core.pipeline", description=__doc__)
    parser.add_argument("task", choices=("run", "store", "readme", "report"))
    parser.add_argument("notebook", nargs="?", type=Path, help="for run")
    parser.add_argument("--profile", default="demo")
    parser.add_argument(
        "--refresh", action="store_true", help="this run replaces the committed one"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="another setting"
    )
    given = parser.parse_args(arguments)
    folder = Path("notebooks")
    try:
        if given.task == "run":
            if given.notebook is None or not given.notebook.is_file():
                raise ValueError(f"no notebook at {given.notebook}; name one in {folder}/")
            run_notebook(given.notebook, given.profile, given.refresh, given.set)
        elif given.task == "store":
            store_outputs(folder, given.profile)
        elif given.task == "report":
            print(f"written: {write_report(Path('results') / given.profile)}")
        else:
            readme.write(Path("README.md"), Path("results"))
    except (FileNotFoundError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _describe(error: papermill.PapermillExecutionError, notebook: Path, failed: Path) -> str:
    """Name the failed cell as the source notebook counts code cells, and its first line."""
    code = [c for c in nbformat.read(failed, as_version=4).cells if c.cell_type == "code"]
    code = [c for c in code if "injected-parameters" not in c.metadata.get("tags", [])]
    number = next(k for k, c in enumerate(code, start=1) if c.source == error.source)
    first = next((line for line in error.source.splitlines() if line.strip()), "")
    return (
        f"{notebook} failed in code cell {number} ({first!r}): {error.ename}: "
        f"{error.evalue}; see results/*/failed/{notebook.name}"
    )


def _publish(staging: Path, results: Path, last: Path) -> None:
    """Move every file of the staging folder to its place in the results."""
    files = [p for p in sorted(staging.rglob("*")) if p.is_file() and p != last]
    for path in [*files, last]:
        target = results / path.relative_to(staging)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)


if __name__ == "__main__":
    sys.exit(main())
