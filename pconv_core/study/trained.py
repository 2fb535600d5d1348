"""What is measured of a network on photographs, once, when its training has ended.

The files that it leaves are small and stay when the weights are gone: every table and figure of the
trainings comes from them.  Test photographs are looked at here and nowhere else.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from pconv_core import evaluation
from pconv_core.files.writing import whole
from pconv_core.study import disc
from pconv_core.study.run import STAGES, Study

PICTURES = "pictures"  # folder of a random seed's measures, a row a picture
MANIFEST = "manifest"  # folder of what the networks were: a row a stage
ORIGINS = "origins"  # file beside the methods' pictures: a row a test crop
CASES = "cases"  # folder of single numbers of the finished networks


def measure(study: Study, first: Study, model: str, size: int) -> None:
    """Train a network, if it is not yet, measure it after every stage, and write what it is.

    Parameters
    ----------
    study : Study
        Of the network's random seed; the files lie in its folder.
    first : Study
        Whose test crops all random seeds share.
    model, size
        As `Study.network` takes them.

    Notes
    -----
    pictures/NAME_STAGE.csv has a row a test crop, as `evaluation.evaluate` makes it; partial U-Nets
    are measured at both training sizes after the last stage.  cases/NAME.csv has the measures of
    `disc` and `evaluation.towards_input`.  manifest/NAME.csv, written last, says that all of it is
    there: for each stage the SHA-256 of the file of weights, steps, samples, hardware, minutes.
    """
    p, name = first.profile, f"{model}{size}"
    study.network(model, size, STAGES[-1])
    for stage in STAGES:
        # As stored: a network that was just trained differs in its memory order, and rounds so.
        net = study.network(model, size, stage)
        fill = evaluation.network_fill(net)
        sizes = {p.size, p.small_size} if (model, stage) == ("pconv", STAGES[-1]) else {p.size}
        _save(study, PICTURES, f"{name}_{stage}", _pictures(first, fill, sizes))
    colour = evaluation.hole_colour(net)
    moved = evaluation.towards_input(fill, first.evaluation_set(p.size), colour)
    numbers = {"towards_input": moved, **disc.measure(fill)}
    _save(study, CASES, name, pd.DataFrame([numbers]))
    _save(study, MANIFEST, name, _manifest(study, model, size))


def measure_methods(first: Study, methods: dict[str, Callable], file: str) -> None:
    """Measure methods that need no training on the same crops: pictures/FILE.csv, cases/FILE.csv.

    Both have the column `model` before the others.  pictures/origins.csv has a row a test crop, in
    the order of evaluation, which is the same at every size: `photograph`, its number among the
    test photographs.
    """
    _save(first, PICTURES, ORIGINS, _origins(first))
    tables, numbers = [], []
    for name, fill in methods.items():
        table = _pictures(first, fill, {first.profile.size})
        table.insert(0, "model", name)
        tables.append(table)
        numbers.append({"model": name, **disc.measure(fill)})
    _save(first, CASES, file, pd.DataFrame(numbers))
    _save(first, PICTURES, file, pd.concat(tables, ignore_index=True))


def is_measured(study: Study, model: str, size: int) -> bool:
    """Whether `measure` has been done."""
    return path(study, MANIFEST, f"{model}{size}").is_file()


def path(study: Study, kind: str, name: str) -> Path:
    """Where a file of `measure` or `measure_methods` lies."""
    return study.output / kind / f"{name}.csv"


def _pictures(first: Study, fill: evaluation.Fill, sizes: set[int]) -> pd.DataFrame:
    tables = []
    for size in sorted(sizes):
        table = evaluation.evaluate(fill, first.evaluation_set(size))
        table.insert(0, "evaluated_at", size)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _origins(first: Study) -> pd.DataFrame:
    cells = first.evaluation_cells(first.profile.size)
    photographs = [s.origin(number)[0] for _, _, s, numbers in cells for number in numbers]
    return pd.DataFrame({"photograph": photographs})


def _manifest(study: Study, model: str, size: int) -> pd.DataFrame:
    p, rows = study.profile, []
    for stage in STAGES:
        file = study.output / "checkpoints" / f"{model}{size}_{stage}.pt"
        steps = study.steps(stage)
        time = study.training_time(model, size, stage)
        rows.append(
            {
                "model": model,
                "size": size,
                "random_seed": p.seed,
                "stage": stage,
                "weights_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
                "steps": steps,
                "samples": steps * p.batch_size * p.processes,
                "features": study.features_label,
                "hardware": time["hardware"],
                "minutes": time["minutes"],
            }
        )
    return pd.DataFrame(rows)


def _save(study: Study, kind: str, name: str, table: pd.DataFrame) -> None:
    with whole(path(study, kind, name)) as unfinished:
        table.to_csv(unfinished, index=False, float_format="%.4f")
