"""pyproject.toml is the one list of dependencies; the other files hold to it."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import pconv_core
from pconv_core.files import packaged
from pconv_core.study import readme

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements():
    extra = [r for group in PROJECT["optional-dependencies"].values() for r in group]
    return [Requirement(r) for r in PROJECT["dependencies"] + extra]


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {r.name.lower().replace("_", "-"): r for r in found}


def test_constraints_pin_every_dependency_within_its_range():
    for wanted in requirements():
        (pin,) = pins()[wanted.name.lower()].specifier
        assert pin.operator == "=="
        assert wanted.specifier.contains(pin.version), wanted.name


def test_constraints_are_exact_and_from_the_index():
    for pin in pins().values():
        assert pin.url is None
        assert [s.operator for s in pin.specifier] == ["=="]


def test_trained_weights_are_those_the_errors_name():
    lines = (ROOT / "trained.txt").read_text().splitlines()
    listed = {line.split()[0] for line in lines if line and not line.startswith("#")}
    named = {w.install.rpartition(" ")[2] for w in (packaged.HED, packaged.LITE0)}
    assert named < listed
    (definition,) = listed - named
    assert definition in (ROOT / "pconv_core/files/lite0.py").read_text()


def test_every_dependency_says_why():
    text = (ROOT / "pyproject.toml").read_text()
    for wanted in requirements():
        (line,) = [x for x in text.splitlines() if x.strip().startswith(f'"{wanted.name}>=')]
        assert len(line.partition("#")[2].strip()) > 10


def test_conda_environment_lists_nothing_twice():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert [c.partition("=")[0] for c in conda] == ["python", "pip"]
    python = conda[0].partition("=")[2]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python)
    assert pip == {"pip": ["--constraint constraints.txt", "--editable .[dev,onnx]"]}
    makefile = (ROOT / "Makefile").read_text()
    assert "-c constraints.txt -e '.[dev,onnx]'" in makefile


def test_readme_shows_the_committed_results():
    text = (ROOT / "README.md").read_text()
    written = readme.blocks(ROOT / "results" / "reference")
    assert written.keys() == {
        "answer",
        "chapters",
        "summary",
        "photographs",
        "demo",
        "core",
    }
    for name, body in written.items():
        assert f"`make notebooks` -->\n\n{body}\n\n<!-- end of {name} -->" in text


def test_readme_lacks_no_mark(tmp_path):
    text = (ROOT / "README.md").read_text()
    broken = tmp_path / "README.md"
    broken.write_text(text.replace("<!-- end of demo -->", ""))
    with pytest.raises(ValueError, match="lacks the mark <!-- end of demo -->"):
        readme.write(broken, ROOT / "results" / "reference")
    assert broken.read_text() == text.replace("<!-- end of demo -->", "")


def test_readme_pictures_and_links_are_there():

    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        if "://" not in target:
            assert (ROOT / target).exists(), target


def test_citation_is_of_this_version_and_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == pconv_core.__version__
    assert citation["license"] == PROJECT["license"] == "BSD-3-Clause"
    assert (ROOT / "LICENSE").read_text().startswith("BSD 3-Clause License")
    assert "https://arxiv.org/abs/1804.07723" in [r.get("url") for r in citation["references"]]


def test_the_workflow_begins_with_the_oldest_python_and_calls_make():
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
    job = workflow["jobs"]["test"]
    oldest = job["strategy"]["matrix"]["python"][0]
    assert PROJECT["requires-python"] == f">={oldest}"
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == [f"make {target} PYTHON=python" for target in ("install", "test")]


def test_what_contributors_are_told_to_type_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name in ("CONTRIBUTING.md", "README.md"):
        text = (ROOT / name).read_text()
        assert set(re.findall(r"^make ([a-z]+)", text, re.MULTILINE)) <= targets
        assert set(re.findall(r"`make\s([a-z]+)", text)) <= targets


def test_one_name_for_what_is_reproduced():
    files = [*ROOT.glob("*.md"), *ROOT.glob("pconv_core/**/*.py"), *ROOT.glob("pconv_core/**/*.md")]
    files += ROOT.glob("pconv_core/study/profiles/*.yaml")
    for path in files:
        found = re.search(r"\b[Tt]he seed\b|(?<!random )\bseed's", path.read_text())
        assert not found, f"{path.name}: {found}"


def test_contributing_maps_what_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
    for path in (ROOT / "pconv_core").glob("[a-z]*"):
        assert (f"{path.name}/" if path.is_dir() else path.name) in text
