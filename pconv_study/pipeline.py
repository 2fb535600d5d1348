"""The Makefile's worker: run a chapter, make a run the reference, join the chapters in a report.

python -m pconv_study.pipeline run notebooks/02_pretrain_stage1.ipynb --profile demo --set name=mine
"""

import argparse
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
import papermill
import yaml
from nbclient.exceptions import DeadKernelError

from pconv_study import report
from pconv_study.notebook import OUTPUT_VARIABLE, Study

NOTEBOOKS, RESULTS = Path("notebooks"), Path("results")
REFERENCE = RESULTS / "reference"
LEFT = ("tables", "figures", "logs")  # what a run leaves, beside its notebooks
_INJECTED = "injected-parameters"


def run(notebook: Path, profile: str, overrides: Mapping) -> None:
    """Execute a chapter with its two parameters and publish what it made.

    It writes into a staging folder; when its last cell has run, the files are moved into
    results/NAME, the executed notebook last.  If a cell fails nothing is published, and the
    notebook with the error is left in results/NAME/failed.

    Raises
    ------
    RuntimeError
        If a cell fails, naming it, or the kernel dies.
    ValueError
        If a setting is unknown, or photographs are not there.
    """
    if not notebook.is_file():
        raise ValueError(f"no notebook at {notebook}; name one in {NOTEBOOKS}/")
    study = Study(profile, overrides)
    for name in study.settings["photographs"]:
        study.run.photos(name)
    results = (RESULTS / study.name).resolve()
    staging = results / ".staging" / notebook.stem
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    executed = staging.with_suffix(".ipynb")
    os.environ[OUTPUT_VARIABLE] = str(staging)
    # Or the kernel warns of Python's own modules, which nobody wants to step through.
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    began = time.monotonic()
    try:
        papermill.execute_notebook(
            notebook,
            executed,
            parameters={"profile": profile, "overrides": dict(overrides)},
            kernel_name="python3",
            # It warns that others on this machine could listen, and of being told to end.
            extra_arguments=["--log-level=CRITICAL"],
            cwd=notebook.parent,
            progress_bar=False,
            # Bars of trainings, for a person at a terminal.
            stderr_file=sys.stderr if sys.stderr.isatty() else None,
        )
        _tidy(executed)
        shutil.copytree(staging, results, dirs_exist_ok=True, copy_function=os.replace)
        _move(executed, results / "notebooks" / notebook.name)
        print(f"{notebook.stem}: {time.monotonic() - began:.0f} s, results/{study.name}")
    except papermill.PapermillExecutionError as error:
        _move(executed, failed := results / "failed" / notebook.name)
        first = next((line for line in error.source.splitlines() if line.strip()), "")
        said = f"{error.ename}: {error.evalue}; see {os.path.relpath(failed)}"
        raise RuntimeError(f"{notebook} failed at {first!r}: {said}") from None
    except DeadKernelError as error:
        raise RuntimeError(f"{notebook}: its kernel died, for want of memory? ({error})") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        executed.unlink(missing_ok=True)


def _move(file: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    os.replace(file, target)


def _tidy(path: Path) -> None:
    """Wipe what is no result from an executed notebook: progress bars, times, paths."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    nbformat.write(notebook, path)


def store(profile: str) -> None:
    """Make the run of a profile the committed one: outputs, tables, figures and records.

    Raises
    ------
    ValueError
        If a chapter lacks: the run is not finished.
    """
    made = RESULTS / profile
    chapters = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
    missing = [p.stem for p in chapters if not (made / "notebooks" / p.name).is_file()]
    if missing or not chapters:
        raise ValueError(f"{made} lacks the chapters {', '.join(missing)}")
    for path in chapters:
        notebook = nbformat.read(made / "notebooks" / path.name, as_version=4)
        notebook.cells = [c for c in notebook.cells if _INJECTED not in c.metadata.get("tags", [])]
        for number, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), 1):
            for place in (cell, *(o for o in cell.outputs if "execution_count" in o)):
                place["execution_count"] = number
        nbformat.write(notebook, path)
    for kind in LEFT:
        shutil.rmtree(REFERENCE / profile / kind, ignore_errors=True)
        if (made / kind).is_dir():
            shutil.copytree(made / kind, REFERENCE / profile / kind)
    print(f"stored: outputs in {NOTEBOOKS}/, tables, figures and records in {REFERENCE / profile}")


def overrides_of(changes: Sequence[str]) -> dict:
    """Read changes given as "name=value", the value in YAML's notation; ValueError if not so."""
    overrides = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise ValueError(f"no setting {change!r}; it should be NAME=VALUE")
        # YAML takes 1e-3 for a word, 1.0e-3 for a number.
        overrides[name] = yaml.safe_load(re.sub(r"^(\d+)e", r"\1.0e", text))
    return overrides


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pconv_study.pipeline")
    parser.add_argument("task", choices=("run", "store", "report"))
    parser.add_argument("notebook", nargs="?", type=Path, help="of run")
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE")
    given = parser.parse_args(arguments)
    try:
        overrides = overrides_of(given.set)
        if given.task == "run":
            run(given.notebook or Path(), given.profile, overrides)
        elif given.task == "store":
            store(given.profile)
        else:
            made = RESULTS / Study(given.profile, overrides).name
            notebooks = sorted((made / "notebooks").glob("[0-9]*.ipynb"))
            report.write_report(notebooks, made / "report.html", "Partial convolutions")
            print(f"written: {made / 'report.html'}")
    except (OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
