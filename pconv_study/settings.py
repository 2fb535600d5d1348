"""What an experiment is: settings read from YAML, expanded for a cell, and their hashes.

experiments/NAME.yaml names a base (experiments/base/BASE.yaml, which names every setting), random
seeds and variants, which change some of them.  A cell is a variant with a random seed.
"""

import difflib
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

FOLDER = Path("experiments")
PROTOCOL = "PROTOCOL.md"
# What decides neither the weights nor the rows.
_BESIDE = ("record_every", "photographs", "measures", "device")


@dataclass(frozen=True)
class Cell:
    """A variant with a random seed: `settings`, expanded, and the samples at which it is read."""

    variant: str
    seed: int | None  # of a method that is not trained, None
    settings: Mapping
    readouts: tuple[int, ...]

    @property
    def name(self) -> str:
        """As files and the command line have it: the variant in small letters, and the seed."""
        kept = "".join(c if c.isalnum() else "-" for c in self.variant.lower())
        slug = "-".join(part for part in kept.split("-") if part)
        return slug if self.seed is None else f"{slug}-{self.seed}"

    @property
    def stages(self) -> list[tuple[str, dict]]:
        """Names and settings of the stages, in order."""
        return list(self.settings["stages"].items())

    def ends(self) -> list[int]:
        """Samples seen at the end of each stage."""
        ends, seen = [], 0
        for _, stage in self.stages:
            seen += stage["samples"]
            ends.append(seen)
        return ends

    def trajectory(self, stage: int, facts: Mapping) -> str:
        """Hash of all that decides the weights of a stage at any number of its samples.

        With a constant learning rate the end of the last stage is not among it: a longer run goes
        on from a shorter one.  Cells of one trajectory share its weights.

        Parameters
        ----------
        stage : int
            Number of the stage, from 0.
        facts : mapping
            What is not in the settings but decides: see `experiment.facts`.
        """
        names = [name for name, _ in self.stages[: stage + 1]]
        stages = deepcopy([settings for _, settings in self.stages[: stage + 1]])
        if not stages[-1]["cosine"]:
            del stages[-1]["samples"]
        common = {k: v for k, v in self.settings.items() if k not in (*_BESIDE, "stages")}
        used = {s["photos"] for s in stages}
        return digest(
            {
                **common,
                "stages": [[n, s] for n, s in zip(names, stages, strict=True)],
                "random_seed": self.seed,
                "definitions": facts["definitions"],
                "photographs": {name: facts["photographs"][name] for name in sorted(used)},
            }
        )

    def wanted(self, photos: str) -> dict[str, int]:
        """What is measured on the photographs `photos`: see `measures.measure`."""
        return pick(self.settings["measures"], photos, "set of photographs that is measured")

    def row_hash(self, samples: int, photos: str, facts: Mapping) -> str:
        """Hash of all that decides the rows measured at `samples` on the photographs `photos`."""
        if self.seed is None:
            made = {"method": self.variant, "span": self.settings["span"]}
            made |= {key: facts[key] for key in ("weights",) if key in facts}
        else:
            made = {"trajectory": self.trajectory(self.stage_of(samples), facts)}
        return digest(
            {
                **made,
                "samples": samples,
                "size": self.settings["size"],
                "measures": self.wanted(photos),
                "photographs": facts["photographs"][photos],
                "definition": facts["measures"],
            }
        )

    def check(self) -> None:
        """Refuse read-outs that no training would come to: ValueError."""
        batch, ends = self.settings["batch_size"], self.ends()
        if not self.readouts:
            raise ValueError(f"{self.name} has no read-out up to its end at {ends[-1]} samples")
        for n in self.readouts:
            number = self.stage_of(n)
            first = ends[number - 1] if number else 0
            if (n - first) % batch:
                raise ValueError(f"{self.name} is read at {n} samples, not after a step of {batch}")
            # A cosine up to here would not be the beginning of one that goes on.
            if self.stages[number][1]["cosine"] and n != ends[number]:
                raise ValueError(f"{self.name} is read at {n} samples, within a cosine")

    def stage_of(self, samples: int) -> int:
        """Number of the stage that has seen `samples` at its end or on the way there."""
        for number, end in enumerate(self.ends()):
            if samples <= end:
                return number
        raise ValueError(
            f"{self.name} is to be read at {samples} samples; its stages end at {self.ends()[-1]}"
        )


class Experiment:
    """experiments/NAME.yaml.

    Parameters
    ----------
    name : str
    folder : Path
        Where experiments lie.
    overrides : mapping, optional
        Changes of settings for all variants, by dotted names.
    base : str, optional
        Another base than the experiment's own.

    Raises
    ------
    ValueError
        If there is no such file, or a name in it is unknown.
    """

    _KEYS = (
        *("question", "base", "seeds", "samples", "baseline", "variants", "methods", "settings"),
        *("pairs", "interactions", "continues"),  # of its tables
    )

    def __init__(
        self,
        name: str,
        folder: Path = FOLDER,
        overrides: Mapping | None = None,
        base: str | None = None,
    ):
        self.name, self.folder = name, folder
        self.raw = _read(folder / f"{name}.yaml", "experiment")
        _refuse_unknown(self.raw, self._KEYS, f"experiments/{name}.yaml")
        self.base = _read(folder / "base" / f"{base or self.raw['base']}.yaml", "base")
        self.overrides = {**self.raw.get("settings", {}), **(overrides or {})}

    @property
    def methods(self) -> list[str]:
        """Methods that are not trained, measured on the same crops."""
        return list(self.raw.get("methods", []))

    @cached_property
    def photographs(self) -> dict[str, dict]:
        """Sets of photographs by name, the same for all variants."""
        return self.expanded({})["photographs"]

    @cached_property
    def cells(self) -> list[Cell]:
        """All cells, random seed by random seed, so that what is done first can be compared."""
        variants, seeds = self.raw["variants"], self.raw["seeds"]
        own = {name: (v or {}).get("seeds", seeds) for name, v in variants.items()}
        every = sorted({seed for chosen in own.values() for seed in chosen})
        trained = [
            self._cell(name, seed) for seed in every for name in variants if seed in own[name]
        ]
        settings = self.expanded({})
        cells = [Cell(method, None, settings, (0,)) for method in self.methods] + trained
        for name, count in Counter(cell.name for cell in cells).items():
            if count > 1:
                raise ValueError(f"experiments/{self.name}.yaml: {count} cells are named {name!r}")
        return cells

    def expanded(self, changes: Mapping) -> dict:
        """The base with the experiment's own changes and those of a variant."""
        settings = deepcopy(self.base)
        for name, value in {**self.overrides, **changes}.items():
            _set(settings, name, value)
        known = next(iter(self.base["stages"].values()))
        for name, stage in settings["stages"].items():
            _refuse_unknown(stage, known, f"stages.{name}")
            if missing := known.keys() - stage.keys():
                raise ValueError(f"stages.{name} lacks {', '.join(sorted(missing))}")
        return settings

    def _cell(self, variant: str, seed: int) -> Cell:
        settings = self.expanded(self._changes(variant))
        if settings["photographs"] != self.photographs:
            raise ValueError(
                f"{variant} has photographs of its own; variants share the experiment's"
            )
        total = sum(stage["samples"] for stage in settings["stages"].values())
        readouts = tuple(sorted(n for n in self.raw.get("samples", [total]) if n <= total))
        cell = Cell(variant, seed, settings, readouts)
        cell.check()
        return cell

    def _changes(self, variant: str) -> dict:
        """What a variant changes, with what the variant changes that it is `like`."""
        own = dict(pick(self.raw["variants"], variant, "variant") or {})
        own.pop("seeds", None)
        like = own.pop("like", None)
        return own if like is None else {**self._changes(like), **own}


def digest(content) -> str:
    """Hash of plain values: the first 16 hex digits of the SHA-256 of their canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def protocol(folder: Path = FOLDER) -> str:
    """Hash of the protocol as it stands: the first 12 hex digits of its SHA-256."""
    return hashlib.sha256((folder / PROTOCOL).read_bytes()).hexdigest()[:12]


def _set(settings: dict, name: str, value) -> None:
    """Change the setting of a dotted name; of a stage that is new, all at once."""
    *path, last = name.split(".")
    place = settings
    for part in path:
        if not isinstance(place.get(part), dict):
            _refuse_unknown([part], [k for k, v in place.items() if isinstance(v, dict)], name)
        place = place[part]
    if not (path == ["stages"] or path == ["loss_weights"]):
        _refuse_unknown([last], place, name)
    if value is None and path == ["stages"]:
        place.pop(last, None)
    else:
        place[last] = deepcopy(value)


def _refuse_unknown(names: Iterable, known: Iterable, where: str) -> None:
    for name in names:
        pick(dict.fromkeys(known), name, "setting", f"{where}: ")


def pick(known: Mapping, name: str, what: str, where: str = ""):
    """Return known[name]; a ValueError names what is near."""
    if name in known:
        return known[name]
    near = difflib.get_close_matches(str(name), [str(k) for k in known], 1)
    advice = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(map(str, known))}"
    raise ValueError(f"{where}no {what} is named {name!r}; {advice}")


def _read(path: Path, what: str) -> dict:
    known = {p.name.removesuffix(".yaml"): p for p in sorted(path.parent.glob("*.yaml"))}
    path = pick(known, path.name.removesuffix(".yaml"), what)
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def names(folder: Path = FOLDER) -> Iterator[str]:
    """Names of all experiments."""
    return (path.stem for path in sorted(folder.glob("*.yaml")))
