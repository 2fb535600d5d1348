"""All trainings on photographs: every network with several random seeds, for hours or days.

python -m pconv_core.study.trainings --set name=trainings --set pretrain_photos=DIR ...

It says what is done, what runs and what is left, and starts what is left, some side by side.  Cut
off at any moment, the same command goes on.  SIGTERM and Ctrl-C end it within a step of each
training, all saved, with exit code 75.
"""

import argparse
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from pconv_core import evaluation
from pconv_core.files import checkpoints, weights
from pconv_core.study import preflight, trained
from pconv_core.study.profile import Profile, claim, load_profile, overrides_of
from pconv_core.study.run import STAGES, Study
from pconv_core.study.tables import SHIPPED
from pconv_core.training import Preempted

RANDOM_SEEDS = 3
SIDE_BY_SIDE = 2
METHODS = "methods"  # what needs no training, measured on the same crops
_PAUSE = 0.5  # seconds between two looks at what runs


@dataclass(frozen=True)
class Training:
    """One network with one random seed; or, its model `METHODS`, what needs no training."""

    model: str
    size: int
    seed: int

    @property
    def name(self) -> str:
        """As files are named."""
        return METHODS if self.model == METHODS else f"{self.model}{self.size}"

    def __str__(self) -> str:
        return f"{self.name}, random seed {self.seed}"


def all_trainings(profile: Profile, seeds: int = RANDOM_SEEDS) -> list[Training]:
    """List the trainings: random seed by random seed, so that what is done compares."""
    entrants = Study(profile).entrants.values()
    return [
        Training(METHODS, profile.size, profile.seed),
        *(Training(*e, profile.seed + k) for k in range(seeds) for e in entrants),
    ]


def study_of(profile: Profile, training: Training, results: Path) -> Study:
    """The study of a training's random seed: results/NAME/SEED."""
    name = f"{profile.name}/{training.seed}"
    return Study(replace(profile, seed=training.seed, name=name), results)


def do(profile: Profile, training: Training, results: Path) -> None:
    """Train a network through all stages and measure it; what is done already is not done again.

    Raises
    ------
    RuntimeError
        If another process does it.
    Preempted, KeyboardInterrupt
        As `training.train`; all is saved.
    """
    study = study_of(profile, training, results)
    with _locked(_file(study, training, "lock"), patience=2.0) as locked:
        if not locked:
            raise RuntimeError(f"{training}: another process trains it")
        if is_done(profile, training, results):
            return
        first = Study(profile, results)
        if training.model == METHODS:
            net = weights.load_network(weights.SHIPPED)
            shipped = evaluation.network_fill(net, coarse_to_fine=True)
            trained.measure_methods(first, {**evaluation.BASELINES, SHIPPED: shipped}, METHODS)
        else:
            trained.measure(study, first, training.model, training.size)


def is_done(profile: Profile, training: Training, results: Path) -> bool:
    """Whether a training has been measured to its end."""
    if training.model == METHODS:
        return trained.path(Study(profile, results), trained.PICTURES, METHODS).is_file()
    study = study_of(profile, training, results)
    return trained.is_measured(study, training.model, training.size)


def overview(profile: Profile, trainings: Sequence[Training], results: Path) -> pd.DataFrame:
    """Say how far each training is.

    Returns
    -------
    DataFrame
        A row a training: training, state ("done", "runs", "begun", "to do"), steps (done, of all
        stages), of, and hours, those to go on this machine at the speed of what was done so far,
        empty where nothing of that network was.
    """
    speeds = _speeds(profile, trainings, results)
    rows = []
    for training in trainings:
        study = study_of(profile, training, results)
        of = 0 if training.model == METHODS else sum(study.steps(s) for s in STAGES)
        done = is_done(profile, training, results)
        steps = of if done else _steps(study, training)
        state = "done" if done else "begun" if steps else "to do"
        if not done and _is_locked(_file(study, training, "lock")):
            state = "runs"
        left = (of - steps) * speeds.get((training.model, training.size), float("nan")) / 60
        hours = 0.0 if of == steps else left
        rows.append((str(training), state, steps, of, hours))
    return pd.DataFrame(rows, columns=["training", "state", "steps", "of", "hours"])


def say(table: pd.DataFrame, side_by_side: int) -> str:
    """Put an overview into lines, with the hours to go."""
    lines = [table.to_string(index=False, na_rep="?", float_format="%.1f")]
    known, unknown = table["hours"].sum(), int(table["hours"].isna().sum())
    more = f", and {unknown} whose speed is not known yet" if unknown else ""
    states = ", ".join(f"{n} {state}" for state, n in table["state"].value_counts().items())
    lines.append(f"{states}; {known / side_by_side:.1f} hours to go{more}")
    return "\n".join(lines)


def run(
    command: Sequence[str],
    trainings: Sequence[Training],
    log: Callable[[Training], Path],
    side_by_side: int,
) -> int:
    """Start trainings in processes of their own, `side_by_side` at a time, and wait for them.

    Parameters
    ----------
    command : sequence of str
        Of one training; model, size and random seed are added.
    log : callable
        Names the file that takes what a training prints.

    Returns
    -------
    int
        0 if all are done; 75 if SIGTERM or SIGINT came, and was passed on; or else 1.
    """
    waiting, running, failed = list(trainings), {}, []
    with _told_to_stop() as told:
        while running or (waiting and not told):
            while waiting and len(running) < side_by_side and not told:
                training = waiting.pop(0)
                words = [training.model, str(training.size), str(training.seed)]
                running[training] = _begin([*command, *words], log(training))
                print(f"begun: {training}", flush=True)
            for process in running.values() if told else ():
                # Again and again: one that has just begun could not listen yet.
                process.terminate()
            for training in [t for t, p in running.items() if p.poll() is not None]:
                code = running.pop(training).returncode
                if code == 0:
                    print(f"done: {training}", flush=True)
                elif not told:
                    failed.append(training)
                    why = _last_line(log(training))
                    print(f"{training} ended with exit code {code}: {why}", file=sys.stderr)
            time.sleep(_PAUSE)
    if told:
        return Preempted.exit_code
    return 1 if failed else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pconv_core.study.trainings")
    parser.add_argument("one", nargs="*", metavar="MODEL SIZE SEED", help="only this one, here")
    parser.add_argument("--profile", default="photographs")
    parser.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE")
    parser.add_argument("--list", action="store_true", help="say how far all are, start nothing")
    parser.add_argument("--side-by-side", type=int, default=SIDE_BY_SIDE, metavar="N")
    parser.add_argument("--random-seeds", type=int, default=RANDOM_SEEDS, metavar="N")
    given = parser.parse_args(arguments)
    results = Path("results")
    try:
        for name in ("side_by_side", "random_seeds"):
            if getattr(given, name) < 1:
                raise ValueError(
                    f"--{name.replace('_', '-')} is {getattr(given, name)}; it should be at least 1"
                )
        profile = load_profile(given.profile, overrides_of(given.set))
        trainings = all_trainings(profile, given.random_seeds)
        if given.one:
            chosen = _named(given.one, trainings)
            if is_done(profile, chosen, results):
                print(f"{chosen} was done before; nothing is left to do")
            do(profile, chosen, results)
            return 0
        if not given.list:
            preflight.check(profile, given.random_seeds, given.side_by_side)
            claim(results / profile.name, profile)
        table = overview(profile, trainings, results)
        print(say(table, given.side_by_side), flush=True)
        # What runs already was begun by another call, which waits for it.
        waits = table["state"].isin(["begun", "to do"])
        left = [t for t, waiting in zip(trainings, waits, strict=True) if waiting]
        if given.list or not left:
            return 0

        def log(training: Training) -> Path:
            return _file(study_of(profile, training, results), training, "txt")

        return run(_command(given), left, log, given.side_by_side)
    except Preempted as notice:
        print(notice, file=sys.stderr)
        return notice.exit_code
    except KeyboardInterrupt as notice:
        print(notice, file=sys.stderr)
        return 130
    except (FloatingPointError, OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _command(given: argparse.Namespace) -> list[str]:
    command = [sys.executable, "-m", "pconv_core.study.trainings", "--profile", given.profile]
    command += ["--random-seeds", str(given.random_seeds)]
    return [*command, *(word for change in given.set for word in ("--set", change))]


def _named(words: Sequence[str], trainings: Sequence[Training]) -> Training:
    for training in trainings:
        if [training.model, str(training.size), str(training.seed)] == list(words):
            return training
    listed = "; ".join(f"{t.model} {t.size} {t.seed}" for t in trainings)
    raise ValueError(f"no training is named {' '.join(words)!r}; there are: {listed}")


def _begin(command: Sequence[str], log: Path) -> subprocess.Popen:
    """Begin a process, of one thread unless told otherwise: side by side they are quickest so."""
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    with open(log, "w") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").split("\n")
    return next((line for line in reversed(lines) if line.strip()), f"see {log}")


def _steps(study: Study, training: Training) -> int:
    """Steps of all stages that are done and saved."""
    if training.model == METHODS:
        return 0
    steps = 0
    for stage in STAGES:
        file = f"{training.name}_{stage}.pt"
        if (study.output / "checkpoints" / file).is_file():
            steps = sum(study.steps(s) for s in STAGES[: STAGES.index(stage) + 1])
        elif (unfinished := study.root / "unfinished" / file).is_file():
            return checkpoints.read(unfinished)["step"]
    return steps


def _speeds(profile: Profile, trainings: Sequence[Training], results: Path) -> dict:
    """Minutes a step, by (model, size), of the finished stages."""
    speeds: dict = {}
    for training in trainings:
        study = study_of(profile, training, results)
        for stage in STAGES:
            file = study.output / "logs" / f"{training.name}_{stage}_time.csv"
            if file.is_file():
                minutes = pd.read_csv(file)["minutes"][0] / study.steps(stage)
                speeds.setdefault((training.model, training.size), minutes)
    return speeds


def _file(study: Study, training: Training, ending: str) -> Path:
    return study.root / "unfinished" / f"{training.name}.{ending}"


@contextmanager
def _locked(path: Path, patience: float = 0.0) -> Iterator[bool]:
    """Hold a lock that ends with the process, however it ends: whether it was free.

    With some seconds of patience: an overview holds it for a moment, to see whether it is free.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + patience
    with open(path, "w") as file:
        while not (free := _lock(file)) and time.monotonic() < until:
            time.sleep(0.1)
        yield free


def _lock(file) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_locked(path: Path) -> bool:
    if not path.is_file():
        return False
    with _locked(path) as free:
        return not free


@contextmanager
def _told_to_stop() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT instead of ending by them."""
    told: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {n: signal.signal(n, lambda number, _: told.append(number)) for n in numbers}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
