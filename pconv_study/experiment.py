"""Train and measure the cells of an experiment: what is done is not done again.

python -m pconv_study.experiment NAME --photos ROOT=DIR ... [--cell CELL] [--on PHOTOS]

A cell, a variant with a random seed, is trained to each of its read-outs and measured there.  It
leaves rows, its loss record, one picture to look at and a line of the manifest, written last:
results/NAME/.  What it needs to go on, and weights, lie in results/states, under the hash of all
that decides them, so that variants and experiments share what they have in common.  Cut off at any
moment, the same command goes on; SIGTERM and Ctrl-C end it within a step of each cell, all saved.
"""

import argparse
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torchvision.utils import save_image

from pconv_core import baselines, checkpoints, data, evaluation, hardware, inpainting, weights
from pconv_core.models import MODELS, composite
from pconv_core.training import Keeper, Preempted, Stage, Switches, reestimate_norm, train
from pconv_core.writing import whole
from pconv_study import deviations, measures, settings
from pconv_study.settings import Cell, Experiment

RESULTS = Path("results")
CHECKPOINT_EVERY = 100  # steps
VALIDATION = "validation"
SHIPPED = " weights"  # ends the name of a method that is one of the networks of the package
# Of a manifest.
KEY = ["variant", "random_seed", "samples", "photos"]
_HEX = ["hash", "protocol", "rows_sha256", "commit"]


class Run:
    """An experiment with its photographs and its folders.

    Parameters
    ----------
    experiment : Experiment
    roots : mapping of str to str
        Where the photographs are that the base names: "scenes" -> folder, as `data.open_photos`
        takes it.
    results : Path
        Folder of all results.
    """

    def __init__(self, experiment: Experiment, roots: Mapping[str, str], results: Path = RESULTS):
        self.experiment, self.roots, self.results = experiment, dict(roots), results
        self.output, self.states = results / experiment.name, results / "states"
        self._photos, self._digests = cache(self._open), cache(self._digest)

    # --- photographs -----------------------------------------------------------------------

    def photos(self, name: str) -> data.Photos:
        """Open a set of photographs that the base names."""
        return self._photos(name)

    def _open(self, name: str) -> data.Photos:
        chosen = settings.pick(self.experiment.photographs, name, "set of photographs")
        root, split = chosen["root"], chosen.get("split", "train")
        source = "embedded" if root == "embedded" else self.roots.get(root)
        if source is None:
            raise ValueError(f"photographs {name!r} lie in {root!r}: say where, {root}=DIR")
        every = data.open_photos(source, split)
        folders = tuple(f"{f}/" for f in chosen.get("folders", []))
        listed = {key: self._list(chosen[key]) for key in ("only", "without") if key in chosen}
        labels = [every.label(k) for k in range(len(every))]
        kept = [
            k
            for k, label in enumerate(labels)
            if (not folders or label.startswith(folders))
            and label not in listed.get("without", ())
            and label in listed.get("only", labels[k : k + 1])
        ]
        # Of what is left out as well: a list that does not fit would leave out nothing.
        if missing := set().union(*listed.values()) - set(labels):
            raise ValueError(f"photographs {name!r}: {source} lacks {sorted(missing)[0]}")
        return every.subset(kept, name)

    def _list(self, file: str) -> set[str]:
        return set((self.experiment.folder / file).read_text(encoding="utf-8").splitlines())

    def _digest(self, name: str) -> str:
        photos, content = self.photos(name), hashlib.sha256()
        for index in range(len(photos)):
            of_file = hashlib.sha256(Path(photos.path(index)).read_bytes()).hexdigest()
            content.update(f"{photos.label(index)} {of_file}\n".encode())
        return content.hexdigest()[:16]

    def facts(self, cell: Cell, photos: str | None = None) -> dict:
        """What decides weights or rows beside the settings: definitions and photographs."""
        used = {stage["photos"] for _, stage in cell.stages} | ({photos} if photos else set())
        if cell.seed is None:
            used = {photos}
        return facts(cell, {name: self._digests(name) for name in sorted(used)})

    # --- training --------------------------------------------------------------------------

    def network(self, cell: Cell, samples: int) -> tuple[torch.nn.Module, pd.DataFrame, float]:
        """Train a cell to a number of samples, or read what was trained before.

        Returns
        -------
        InpaintingNet, DataFrame, float
            The network as it is measured, its loss record, and the minutes that it took, those
            that are shared with other cells included.
        """
        number, path = cell.stage_of(samples), self._weights(cell, samples)
        with locked(path.with_name(f"{path.stem.rpartition('-')[0]}.lock")):
            if not all(path.with_suffix(e).is_file() for e in (".csv", ".minutes", path.suffix)):
                self._train(cell, number, samples, path)
        net = deviations.network(cell.settings, cell.seed)
        net.load_state_dict(load_file(path))
        for _, stage in cell.stages[: number + 1]:
            if stage["freeze_encoder_norm"]:
                net.freeze_encoder_norm()
        record = pd.read_csv(path.with_suffix(".csv"))
        minutes = float(path.with_suffix(".minutes").read_text())
        if number:
            _, before, earlier = self.network(cell, cell.ends()[number - 1])
            record = pd.concat([before, record], ignore_index=True)
            minutes += earlier
        return net.eval().to(_device(cell.settings)), record, minutes

    def export(self, cell: Cell, path: Path) -> None:
        """Write the network of a cell's last read-out as `pconv export` does, to be shipped.

        Raises
        ------
        ValueError
            If it is none of `models.MODELS`, or was not measured on validation.
        """
        known, samples = {kind.__name__: name for name, kind in MODELS.items()}, cell.readouts[-1]
        if not self.is_done(cell, samples):
            raise ValueError(f"{cell.name} at {samples} samples is not done; it should be before")
        what = {k: cell.settings[k] for k in ("base_channels", "size")}
        what["model"] = settings.pick(known, str(cell.settings["network"]), "network of the core")
        checkpoints.export(path, self.network(cell, samples)[0].state_dict(), what)

    def _weights(self, cell: Cell, samples: int) -> Path:
        trajectory = cell.trajectory(cell.stage_of(samples), self.facts(cell))
        return self.states / f"{trajectory}-{samples}.safetensors"

    def _train(self, cell: Cell, number: int, samples: int, path: Path) -> None:
        s, (name, of_stage) = cell.settings, cell.stages[number]
        first = cell.ends()[number - 1] if number else 0
        net = self.network(cell, first)[0] if number else deviations.network(s, cell.seed)
        self._need_precision(cell)
        loss = deviations.loss(s, cell.seed)
        of_stage = {k: v for k, v in of_stage.items() if k not in ("photos", "samples")}
        stage = Stage(name, first, samples - first, average=s["average"], **of_stage)
        photos = self.photos(cell.stages[number][1]["photos"])
        stream = data.Samples(
            photos, s["size"], cell.seed, span=tuple(s["span"]), kind=s["mask_kind"]
        )
        switches = Switches(precision=s["precision"], fused_adam=True, accumulate=s["accumulate"])
        trajectory = path.stem.rpartition("-")[0]
        state = self.states / f"{trajectory}.pt"
        if state.is_file() and checkpoints.read(state)["samples"] > samples:
            # No state goes back: what lies before it is trained anew, beside it.
            state = path.with_suffix(".pt")
        keeper = Keeper(state, CHECKPOINT_EVERY, {"trajectory": trajectory})
        times, batch = [], s["batch_size"]
        record = train(
            net.to(place := _device(s)),
            loss.to(place),
            stream,
            stage,
            batch,
            s["record_every"],
            0,
            switches,
            keeper,
            lambda step: times.append((step, time.monotonic())),
        )
        if s["average"]:
            reestimate_norm(net, stream, s["norm_samples"], batch, s["precision"])
        with whole(path.with_suffix(".csv")) as unfinished:
            record.to_csv(unfinished, index=False, float_format="%.6f")
        path.with_suffix(".minutes").write_text(f"{_minutes(times, stage.samples / batch):.3f}")
        with whole(path) as unfinished:
            save_file({k: v.cpu().contiguous() for k, v in net.state_dict().items()}, unfinished)

    def _need_precision(self, cell: Cell) -> None:
        wanted = cell.settings["precision"]
        if not precision_is_here(wanted, _device(cell.settings)):
            raise ValueError(
                f"{cell.name} is trained in {wanted}, for which this processor has no "
                "instructions; it waits for one that has"
            )

    # --- measuring -------------------------------------------------------------------------

    def do(self, cell: Cell, photos: str = VALIDATION) -> None:
        """Train a cell to each read-out and measure it there, unless it was done before."""
        with locked(self.states / f"{self.experiment.name}-{cell.name}.lock"):
            for samples in cell.readouts:
                if not self.is_done(cell, samples, photos):
                    self._need_weights(cell, samples, photos)
                    self._measure(cell, samples, photos)

    def _need_weights(self, cell: Cell, samples: int, photos: str) -> None:
        """Raise ValueError where measuring other photographs would train weights of its own."""
        if photos == VALIDATION or cell.seed is None:
            return
        path = self._weights(cell, samples)
        if not self.is_done(cell, samples) or not path.is_file():
            raise ValueError(
                f"{cell.name} at {samples}: {photos} is measured of weights that validation was "
                f"measured of, {path}; they are not there"
            )

    def _measure(self, cell: Cell, samples: int, photos: str) -> None:
        s, net, minutes, note = cell.settings, None, 0.0, ""
        rows = pd.DataFrame()
        try:
            if cell.seed is not None:
                net, _, minutes = self.network(cell, samples)
                # An earlier read-out that is measured anew leaves the record whole.
                last = max(n for n in cell.readouts if self._weights(cell, n).is_file())
                self._write("logs", f"{cell.name}.csv", self.network(cell, last)[1])
            fill = method(cell.variant) if net is None else evaluation.network_fill(net)
            where = (self.photos(photos), s["size"], tuple(s["span"]))
            rows = measures.measure(net, fill, *where, cell.wanted(photos))
            self._picture(self.rows_name(cell, samples, photos), fill, *where[1:])
        except FloatingPointError as error:
            note = str(error).partition(";")[0]
        seed = -1 if cell.seed is None else cell.seed
        key = dict(zip(KEY, (cell.variant, seed, samples, photos), strict=True))
        for place, (name, value) in enumerate(key.items()):
            rows.insert(place, name, value)
        rows_hash = self._write("rows", self.rows_name(cell, samples, photos), rows)
        line = {
            **key,
            "hash": cell.row_hash(samples, photos, self.facts(cell, photos)),
            "protocol": settings.protocol(self.experiment.folder),
            "rows_sha256": rows_hash,
            "minutes": round(minutes, 2),
            "hardware": hardware.describe(_device(s), s["precision"]),
            "commit": _commit(),
            "note": note,
        }
        self._note(line)

    def _picture(self, rows: str, fill: evaluation.Fill, size: int, span: tuple) -> None:
        """Leave a crop of a package photograph, a third of it hole: given, I_comp and truth."""
        photos = data.open_photos("embedded", "test")
        crops = data.evaluation_set(photos, size, 1, measures.SEED, span)
        image, mask = next((i, m) for (lo, _), _, i, m in crops if lo == 0.3)
        shown = torch.cat([image * mask, composite(fill(image, mask), image, mask), image])
        with whole(self.output / "pictures" / f"{Path(rows).stem}.png") as unfinished:
            save_image(shown, unfinished, format="png", padding=0)

    def rows_name(self, cell: Cell, samples: int, photos: str) -> str:
        """Name of the file of rows of a read-out."""
        ending = "" if photos == VALIDATION else f"-{photos}"
        return f"{cell.name}{f'-{samples}' if cell.seed is not None else ''}{ending}.csv"

    def is_done(self, cell: Cell, samples: int, photos: str = VALIDATION) -> bool:
        """Whether rows of a read-out are there, made by what is asked for now."""
        manifest = self.manifest()
        wanted = cell.row_hash(samples, photos, self.facts(cell, photos))
        lines = manifest[manifest["hash"] == wanted]
        file = self.output / "rows" / self.rows_name(cell, samples, photos)
        # Other rows lie there if the process was killed before it noted them.
        return file.is_file() and _digest_of(file) in set(lines["rows_sha256"])

    def manifest(self) -> pd.DataFrame:
        """What was done: a line a read-out and set of photographs."""
        if not (self.output / "manifest.csv").is_file():
            return pd.DataFrame(columns=[*KEY, *_HEX])
        return manifest(self.output)

    def _note(self, line: dict) -> None:
        with locked(self.output / ".manifest.lock"):
            before = self.manifest()
            same = (before[KEY] == pd.Series({k: line[k] for k in KEY})).all(axis=1)
            lines = [*before[~same].to_dict("records"), line]
            table = pd.DataFrame(lines).sort_values(KEY, ignore_index=True)
            self._write("", "manifest.csv", table, "%.2f")
            sets = filter(self._is_here, self.experiment.photographs)
            known = [(k, len(self.photos(k)), self._digests(k)) for k in sets]
            about = pd.DataFrame(known, columns=["photos", "photographs", "digest"])
            if (path := self.output / "photographs.csv").is_file():
                earlier = pd.read_csv(path, dtype={"digest": str})
                earlier = earlier[~earlier["photos"].isin(about["photos"])]
                about = pd.concat([earlier, about]).sort_values("photos")
            self._write("", "photographs.csv", about)

    def _is_here(self, name: str) -> bool:
        root = self.experiment.photographs[name]["root"]
        return root == "embedded" or root in self.roots

    def _write(self, kind: str, name: str, table: pd.DataFrame, digits: str = "%.6f") -> str:
        path = self.output / kind / name
        with whole(path) as unfinished:
            table.to_csv(unfinished, index=False, float_format=digits)
        return _digest_of(path)

    # --- overview --------------------------------------------------------------------------

    def overview(self, photos: str = VALIDATION) -> pd.DataFrame:
        """How far each cell is: cell, state, samples (read out), of, hours to go on this machine.

        States are "done", "begun", "to do" and, where a precision lacks instructions, "waits".
        """
        rows, speeds = [], self._speeds()
        for cell in self.experiment.cells:
            of = cell.readouts[-1]
            done = [n for n in cell.readouts if self.is_done(cell, n, photos)]
            seen = max(done, default=0)
            state = "done" if len(done) == len(cell.readouts) else "begun" if done else "to do"
            if state != "done" and self._waits(cell):
                state = "waits"
            hours = 0.0 if state == "done" else (of - seen) * speeds.get(cell.variant, float("nan"))
            rows.append((cell.name, state, seen, of, hours))
        return pd.DataFrame(rows, columns=["cell", "state", "samples", "of", "hours"])

    def _waits(self, cell: Cell) -> bool:
        """Whether it is still to be trained, and this processor cannot."""
        s = cell.settings
        if cell.seed is None or precision_is_here(s["precision"], _device(s)):
            return False
        return not all(self._weights(cell, n).is_file() for n in cell.readouts)

    def _speeds(self) -> dict[str, float]:
        """Hours a sample, by variant, of what was done."""
        done = self.manifest()
        if "minutes" not in done:
            return {}
        done = done[done["minutes"] > 0]
        return dict(zip(done["variant"], done["minutes"] / 60 / done["samples"], strict=True))


def facts(cell: Cell, digests: Mapping[str, str]) -> dict:
    """What decides weights or rows beside the settings: definitions, digests of photographs."""
    known = {
        "definitions": deviations.definitions(cell.settings),
        "photographs": digests,
        "measures": measures.DEFINITION,
    }
    if cell.seed is None and cell.variant.endswith(SHIPPED):
        known["weights"] = _digest_of(weights.path(cell.variant.removesuffix(SHIPPED)))
    return known


def manifest(folder: Path) -> pd.DataFrame:
    """The manifest that an experiment left in a folder; some of its hashes look like numbers."""
    return pd.read_csv(folder / "manifest.csv", dtype=dict.fromkeys(_HEX, str))


def method(name: str) -> evaluation.Fill:
    """A method that is not trained here, by its name in tables.

    A classical one, or "NAME weights" of the package, coarse to fine, as they repair a photograph.
    """
    if not name.endswith(SHIPPED):
        return settings.pick(baselines.BASELINES, name, "method")
    net = weights.load(name.removesuffix(SHIPPED)).folded()

    def fill(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        pairs = zip(images, masks[:, 0].numpy() == 0, strict=True)
        outs = [
            inpainting.coarse_to_fine(net, evaluation.picture_of(image), hole)
            for image, hole in pairs
        ]
        return torch.stack([evaluation.tensor_of(out) for out in outs])

    return fill


def precision_is_here(wanted: str, device: torch.device) -> bool:
    """Whether a device has instructions for a precision; emulated, it takes far too long."""
    return wanted == "float32" or hardware.precision("auto", device) == wanted


def _device(settings: Mapping) -> torch.device:
    """The processor, or what a base says that has the setting `device`."""
    return hardware.device(settings.get("device", "cpu"))


def _minutes(times: Sequence[tuple[int, float]], steps: float) -> float:
    """Minutes of a stage, at the speed of the steps that this process made."""
    if len(times) < 2:
        return float("nan")
    (first, start), (last, end) = times[0], times[-1]
    return (end - start) / (last - first) * steps / 60


def _digest_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "none"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, however it ends; wait for it if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pconv_study.experiment")
    parser.add_argument("name", help="of experiments/NAME.yaml")
    parser.add_argument("--photos", action="append", default=[], metavar="ROOT=DIR")
    parser.add_argument("--cell", metavar="NAME", help="do this one; without, say how far all are")
    parser.add_argument("--left", action="store_true", help="say the cells' names that are left")
    help_on = "which photographs to measure (default validation); test: after the last choice"
    parser.add_argument("--on", default=VALIDATION, metavar="PHOTOS", help=help_on)
    parser.add_argument("--export", type=Path, metavar="FILE", help="write weights of --cell")
    given = parser.parse_args(arguments)
    try:
        for pair in given.photos:
            if "=" not in pair:
                raise ValueError(f"--photos is {pair!r}; it should be ROOT=DIR")
        if given.export and not given.cell:
            raise ValueError("--export writes the weights of one cell; name it by --cell")
        roots = dict(pair.split("=", 1) for pair in given.photos)
        run = Run(Experiment(given.name), roots)
        if given.cell:
            _do_one(run, given.cell, given.on, given.export)
            return 0
        table = run.overview(given.on)
        if given.left:
            for cell in table.loc[table["state"].isin(["begun", "to do"]), "cell"]:
                print(cell)
            return 0
        print(table.to_string(index=False, na_rep="?", float_format="%.2f"))
        print(f"{table['hours'].sum():.1f} hours to go on one core, beside what has no speed yet")
        return 0
    except Preempted as notice:
        print(notice, file=sys.stderr)
        return notice.exit_code
    except KeyboardInterrupt as notice:
        print(notice, file=sys.stderr)
        return 130
    except (OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _do_one(run: Run, name: str, photos: str, export: Path | None) -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    # Beside the steps of a training, which see to it themselves, all is saved or done anew.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(Preempted.exit_code))
    cell = settings.pick({c.name: c for c in run.experiment.cells}, name, "cell")
    if export is None:
        run.do(cell, photos)
    else:
        run.export(cell, export)


if __name__ == "__main__":
    sys.exit(main())
