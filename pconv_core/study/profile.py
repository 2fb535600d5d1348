"""Profiles: the numbers of a run.  profiles/demo.yaml names them all, the others what differs."""

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, make_dataclass
from importlib.resources import files
from pathlib import Path

import yaml

from pconv_core.masks import KINDS

_FOLDER = files("pconv_core.study") / "profiles"
_CHOICES = {
    "recipe": ("P-Conv", "paper"),
    "mask_kind": KINDS,
    "precision": ("float32", "bfloat16", "auto"),
    "device": ("cpu", "auto"),
    "compare_with": ("reference", "itself"),
}
PHOTOS = ("pretrain_photos", "finetune_photos", "test_photos")
# What does not decide the results.
_BESIDE = ("about", "checkpoint_every", "compare_with")
SETTINGS = "settings.yaml"
_TAKEN = ("reference", "bench")


class _Checked:
    def __post_init__(self):
        for name, kind in _KINDS.items():
            self._check_kind(name, getattr(self, name), kind)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"profile setting {name} is {getattr(self, name)!r}; it should be one of "
                    f"{', '.join(choices)}"
                )
        if not self.crop_smallest <= self.crop_largest <= 1:
            raise ValueError(
                f"profile settings crop_smallest and crop_largest are {self.crop_smallest} and "
                f"{self.crop_largest}; they should ascend and be at most 1"
            )
        # Of the other sources, training and test images are different ones.
        of_one_kind = self.test_photos == "embedded" or ":" in self.test_photos
        if not of_one_kind and self.test_photos in (self.pretrain_photos, self.finetune_photos):
            raise ValueError(
                f"profile setting test_photos is {self.test_photos!r}, which is trained on; "
                "it should be another folder"
            )

    @staticmethod
    def _check_kind(name: str, value, kind: type) -> None:
        # In Python True is a whole number, too.
        if not isinstance(value, (int, float) if kind is float else kind) or (
            isinstance(value, bool) is not (kind is bool)
        ):
            raise ValueError(
                f"profile setting {name} is {value!r}; it should be of type {kind.__name__}"
            )
        if kind in (int, float) and not value >= (0 if name == "seed" else 1e-12):
            raise ValueError(f"profile setting {name} is {value}; it should be above 0")

    def settings(self) -> dict:
        """Return the settings as a dictionary, in order."""
        return asdict(self)


# All settings of one run: the profile's file, the name of the run's folder, then those of the demo.
_DEMO = yaml.safe_load((_FOLDER / "demo.yaml").read_text(encoding="utf-8"))
_KINDS = {"profile": str, "name": str, **{name: type(value) for name, value in _DEMO.items()}}
Profile = make_dataclass("Profile", _KINDS.items(), bases=(_Checked,), frozen=True)
Profile.__module__ = __name__  # or it could not be sent to other processes


def load_profile(profile: str, overrides: dict | None = None) -> Profile:
    """Read profiles/PROFILE.yaml and change some of its settings.

    Parameters
    ----------
    profile : str
    overrides : dict, optional
        Other values of settings, among them `name`, that of the run.  A run without one has the
        profile's name and may only say where photographs are that the profile cannot know.

    Raises
    ------
    ValueError
        If there is no such profile, a name is unknown, a value is of the wrong kind, or a run that
        differs from the profile has no name of its own.
    """
    path = _FOLDER / f"{profile}.yaml"
    if not path.is_file():
        known = sorted(p.name[:-5] for p in _FOLDER.iterdir() if p.name.endswith(".yaml"))
        raise ValueError(f"no profile named {profile!r}; there are: {', '.join(known)}")
    settings = {"profile": profile, "name": profile, **_DEMO}
    settings |= yaml.safe_load(path.read_text(encoding="utf-8"))
    overrides = overrides or {}
    for name in overrides:
        _check_known(name)
    free = [n for n in PHOTOS if settings[n] != "embedded"] + ["compare_with"]
    changed = [n for n, v in overrides.items() if n not in free and v != settings[n]]
    if changed and overrides.get("name", profile) == profile:
        raise ValueError(
            f"{', '.join(changed)} of profile {profile} {'is' if len(changed) == 1 else 'are'} "
            "changed, but the run has no name of its own for its results; give it one: "
            'NAME=... for make, "name": "..." among the overrides of a notebook'
        )
    settings |= overrides
    _check_run_name(settings["name"], profile)
    return Profile(**settings)


def overrides_of(changes: Sequence[str]) -> dict:
    """Read changes given as "name=value", the value in YAML's notation.

    Raises
    ------
    ValueError
        If one is not of that form or its name is unknown.
    """
    overrides = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise ValueError(f"no setting {change!r}; it should be NAME=VALUE")
        _check_known(name)
        overrides[name] = _parsed(value)
    return overrides


def claim(folder: Path, profile: Profile) -> None:
    """Note in a run's folder which settings its results are of.

    Raises
    ------
    ValueError
        If they are of other settings.
    """
    path = folder / SETTINGS
    wanted = {k: v for k, v in profile.settings().items() if k not in _BESIDE}
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(wanted, sort_keys=False), encoding="utf-8")
        return
    found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    differ = [n for n in wanted | found if wanted.get(n) != found.get(n)]
    if differ:
        listed = ", ".join(f"{n} {found.get(n)!r} instead of {wanted.get(n)!r}" for n in differ)
        raise ValueError(
            f"results/{profile.name} holds another run ({listed}); give this one another NAME, or "
            f"remove that one: make clean NAME={profile.name}"
        )


def _check_run_name(name, profile: str) -> None:
    """Its folder must not be that of something else."""
    taken = (_FOLDER / f"{name}.yaml").is_file() and name != profile
    if taken or name in _TAKEN or not re.fullmatch(r"\w[\w.+-]*", str(name)):
        raise ValueError(
            f"the run is named {name!r}; it should be a name of letters, digits, '-', '_' and '.', "
            f"not that of another profile, nor {' or '.join(_TAKEN)}"
        )


def _check_known(name: str) -> None:
    names = list(_KINDS)[1:]
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        raise ValueError(
            f"no setting is named {name!r}; "
            + (f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}")
        )


def _parsed(text: str):
    """Read a value as YAML does, but take 1e-3 for the number that it is."""
    value = yaml.safe_load(text)
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def main(arguments: list[str] | None = None) -> int:
    """Check, before anything runs, the settings of a run; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pconv_core.study.profile")
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE")
    given = parser.parse_args(arguments)
    try:
        profile = load_profile(given.profile, overrides_of(given.set))
        if (folder := Path("results", profile.name)).is_dir():
            claim(folder, profile)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
