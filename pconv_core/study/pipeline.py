"""The Makefile's worker: run a chapter through papermill, promote a run, join the report.

python -m pconv_core.study.pipeline run notebooks/02_pretrain_stage1.ipynb --profile demo
"""

import argparse
import contextlib
import os
import re
import shutil
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import papermill
from nbclient.exceptions import DeadKernelError

from pconv_core.study import deviation_runs, preflight, readme, report, summary
from pconv_core.study.profile import Profile, claim, load_profile, overrides_of
from pconv_core.study.run import OUTPUT_VARIABLE, STAGING

NOTEBOOKS, RESULTS = Path("notebooks"), Path("results")
REFERENCE = RESULTS / "reference"
TIMES = "times.csv"
# Of other people's photographs tables and curves may be shown, not the pictures.
_PICTURES = ("*examples*.png", "09_photo.png", "09_repaired.png")
_RESULTS = ("*.csv", "*.png", "tables/*.csv", "figures/*.png", "logs/*.csv", "steps/*.csv")
# What stays when the weights are gone.
_LEFT = {
    "deviations": ("kept/*.csv", "kept/*.png"),
    "trainings": (
        *("pictures/*.csv", "cases/*.csv", "*/pictures/*.csv", "*/cases/*.csv"),
        *("*/manifest/*.csv", "*/logs/*.csv"),
    ),
}
_NO_CHAPTERS = ("bench", "deviations", "style", "thin", "trials", "shipped", "trainings")
_INJECTED = "injected-parameters"


def run_notebook(notebook: Path, profile: Profile, overrides: dict) -> None:
    """Execute a notebook with a profile, its overrides injected, and publish what it made.

    It writes into a staging folder; only when its last cell has run are the files moved into
    results/NAME, the executed notebook last.  If a cell fails nothing is published, and the
    notebook with the error is left in results/NAME/failed.

    Raises
    ------
    RuntimeError
        If a cell fails, naming it.
    ValueError
        If something is missing that the run will need, naming all of it.
    """
    # A profile's relative paths start where its notebooks run.
    with contextlib.chdir(notebook.parent):
        preflight.check(profile)
    results = (RESULTS / profile.name).resolve()
    claim(results, profile)
    print(_announcement(notebook, results, REFERENCE / profile.profile), flush=True)
    staging = results / STAGING / notebook.stem
    shutil.rmtree(staging, ignore_errors=True)
    executed = staging / "notebooks" / notebook.name
    executed.parent.mkdir(parents=True)
    os.environ[OUTPUT_VARIABLE] = str(staging)
    # Or the kernel warns of Python's own modules, which nobody wants to step through.
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    began = time.monotonic()
    try:
        papermill.execute_notebook(
            notebook,
            executed,
            parameters={"profile": profile.profile, "overrides": overrides},
            kernel_name="python3",
            # It warns that others on this machine could listen, in every chapter.
            extra_arguments=["--log-level=ERROR"],
            cwd=notebook.parent,
            progress_bar=False,
            stderr_file=_Bars(),
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
        _note_time(results / TIMES, notebook.stem, time.monotonic() - began)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


class _Bars:
    """Of what a kernel prints on standard error the progress bars, for a person at a terminal."""

    def write(self, text: str) -> None:
        if sys.stderr.isatty() and text.startswith("\r"):
            sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


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


def store_outputs(executed: Path) -> None:
    """Copy the outputs of a run into the notebooks it was made from.

    The executed copies are touched afterwards, so that make does not find the sources newer.
    """
    for source in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        notebook = nbformat.read(executed / source.name, as_version=4)
        notebook.cells = [c for c in notebook.cells if not _is_injected(c)]
        code = [c for c in notebook.cells if c.cell_type == "code"]
        for number, cell in enumerate(code, start=1):
            cell.execution_count = number
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = number
        nbformat.write(notebook, source)
        (executed / source.name).touch()


def promote(name: str) -> Path:
    """Make the tables, figures and records of results/NAME the committed reference of that name.

    Raises
    ------
    ValueError
        If there is no such run, or it is not finished.
    """
    run, reference = RESULTS / name, REFERENCE / name
    patterns = (*_RESULTS, *_LEFT.get(name, ()))
    kept = [p for pattern in patterns for p in sorted(run.glob(pattern))]
    chapters = set()
    if name not in _NO_CHAPTERS:
        chapters = {p.name for p in NOTEBOOKS.glob("[0-9]*.ipynb")}
        if load_profile(name).test_photos != "embedded":
            chapters -= {"08_deviations.ipynb"}
            kept = [p for p in kept if not any(p.match(pattern) for pattern in _PICTURES)]
    missing = sorted(chapters - {p.name for p in (run / "notebooks").glob("*")})
    if missing or not kept:
        what = f"lacks the chapters {', '.join(missing)}" if missing else "holds no results"
        raise ValueError(f"{run} {what}; it can be promoted when it has been run to its end")
    if name in _LEFT and not _has_tables(run):
        command = "make tables" if name == "trainings" else f"make {name}"
        raise ValueError(f"{run} lacks tables of all that it holds; {command} writes them")
    fresh = reference.with_name(f".{name}")
    shutil.rmtree(fresh, ignore_errors=True)
    for path in kept:
        target = fresh / path.relative_to(run)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    shutil.rmtree(reference, ignore_errors=True)
    os.replace(fresh, reference)
    return reference


def _has_tables(run: Path) -> bool:
    """Whether there are tables, and none is older than what single trainings left."""
    tables = [path.stat().st_mtime_ns for path in run.glob("tables/*.csv")]
    left = [path for pattern in _LEFT[run.name] for path in run.glob(pattern)]
    return bool(tables) and min(tables) >= max((p.stat().st_mtime_ns for p in left), default=0)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pconv_core.study.pipeline", description=__doc__
    )
    tasks = {"run": _run, "deviations": _deviations, "promote": _promote, "store": _store}
    tasks |= {"report": _report}
    parser.add_argument("task", choices=tasks)
    parser.add_argument("names", nargs="*", help="run: a notebook; promote: names of runs")
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE")
    given = parser.parse_args(arguments)
    try:
        overrides = overrides_of(given.set)
        tasks[given.task](given.names, load_profile(given.profile, overrides), overrides)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _run(names: list[str], profile: Profile, overrides: dict) -> None:
    if len(names) != 1 or not Path(names[0]).is_file():
        raise ValueError(f"no notebook at {' '.join(names)}; name one in {NOTEBOOKS}/")
    run_notebook(Path(names[0]), profile, overrides)


def _deviations(names: list[str], profile: Profile, overrides: dict) -> None:
    folder = RESULTS / profile.name
    claim(folder, profile)
    deviation_runs.write(profile, folder)
    print(f'written: {folder}; make notebooks RUNS="deviations" puts it into chapter 8')


def _promote(names: list[str], profile: Profile, overrides: dict) -> None:
    for name in names:
        print(f"promoted: {promote(name)}")


def _store(names: list[str], profile: Profile, overrides: dict) -> None:
    store_outputs(RESULTS / profile.name / "notebooks")
    readme.write(Path("README.md"), REFERENCE)
    print(f"stored: the outputs in {NOTEBOOKS}/, the tables in README.md")


def _report(names: list[str], profile: Profile, overrides: dict) -> None:
    results = RESULTS / profile.name
    paths = sorted((results / "notebooks").glob("[0-9]*.ipynb"))
    page = report.write_report(
        paths,
        summary.sentences(REFERENCE),
        results / "report.html",
        f"Partial convolutions: {profile.name}",
    )
    print(f"written: {page}")


def _announcement(notebook: Path, results: Path, reference: Path) -> str:
    """Say which chapter begins, what it asks, how long it takes and what is left after it."""
    chapters = sorted(p.stem for p in notebook.parent.glob("[0-9]*.ipynb"))
    title, question = _title_and_question(notebook)
    number = chapters.index(notebook.stem)
    lines = [f"chapter {number + 1} of {len(chapters)}: {title}", f"  {question}"]
    if (reference / TIMES).is_file():
        seconds = pd.read_csv(reference / TIMES).set_index("chapter")["seconds"]
        left = [
            c for c in chapters[number + 1 :] if not (results / "notebooks" / f"{c}.ipynb").exists()
        ]
        rest = f"; {len(left)} more after it, {_duration(seconds.reindex(left).sum())}"
        lines.append(f"  about {_duration(seconds.get(notebook.stem, 0))}{rest if left else ''}")
    return "\n".join(lines)


def _title_and_question(notebook: Path) -> tuple[str, str]:
    text = next(c.source for c in nbformat.read(notebook, as_version=4).cells)
    title = re.search(r"^# (?:\d+\. )?(.+)", text)
    asked = re.search(r"\*\*Question\.\*\*(.+?)(?:\n\n|\Z)", text, re.DOTALL)
    question = " ".join(asked.group(1).split()) if asked else ""
    sentences = re.findall(r"[^.?]*\?", question) or [question]
    return title.group(1) if title else notebook.stem, sentences[0].strip()


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _note_time(path: Path, chapter: str, seconds: float) -> None:
    times = pd.read_csv(path).set_index("chapter")["seconds"].to_dict() if path.exists() else {}
    times[chapter] = round(seconds)
    pd.Series(times, name="seconds").rename_axis("chapter").sort_index().to_csv(path)


def _describe(error: papermill.PapermillExecutionError, notebook: Path, failed: Path) -> str:
    """Name the failed cell as the source notebook counts code cells, and its first line."""
    code = [c for c in nbformat.read(failed, as_version=4).cells if c.cell_type == "code"]
    code = [c for c in code if not _is_injected(c)]
    number = next((k for k, c in enumerate(code, start=1) if c.source == error.source), 0)
    first = next((line for line in error.source.splitlines() if line.strip()), "")
    return (
        f"{notebook} failed in code cell {number} ({first!r}): {error.ename}: "
        f"{error.evalue}; see results/*/failed/{notebook.name}"
    )


def _is_injected(cell) -> bool:
    return _INJECTED in cell.metadata.get("tags", [])


def _publish(staging: Path, results: Path, last: Path) -> None:
    """Move every file of the staging folder to its place in the results."""
    files = [p for p in sorted(staging.rglob("*")) if p.is_file() and p != last]
    for path in [*files, last]:
        target = results / path.relative_to(staging)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)


if __name__ == "__main__":
    sys.exit(main())
