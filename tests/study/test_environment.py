"""pyproject.toml is the one list of dependencies; the other files hold to it."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from pconv_core import features as packaged

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements():
    extra = [r for group in PROJECT["optional-dependencies"].values() for r in group]
    return [Requirement(r) for r in PROJECT["dependencies"] + extra]


def lines(name):
    return [x for x in (ROOT / name).read_text().splitlines() if x and not x.startswith("#")]


def test_constraints_pin_every_dependency_within_its_range():
    pins = [Requirement(line) for line in lines("constraints.txt")]
    assert all(pin.url is None and [s.operator for s in pin.specifier] == ["=="] for pin in pins)
    pinned = {pin.name.lower().replace("_", "-"): next(iter(pin.specifier)) for pin in pins}
    for wanted in requirements():
        assert wanted.specifier.contains(pinned[wanted.name.lower()].version), wanted.name


def test_trained_weights_are_those_the_errors_name():
    listed = {line.split()[0] for line in lines("trained.txt")}
    known = (packaged.HED, packaged.LITE0, packaged.LITE0_CODE)
    assert {f"{weights.package}=={weights.version}" for weights in known} == listed


def test_python_is_the_same_everywhere():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    python = conda[0].removeprefix("python=")
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python)
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
    oldest = workflow["jobs"]["test"]["strategy"]["matrix"]["python"][0]
    assert PROJECT["requires-python"] == f">={oldest}"


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "README.md"])
def test_targets_that_are_named_exist(name):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", (ROOT / name).read_text(), re.MULTILINE))
    assert named
    assert named <= targets
