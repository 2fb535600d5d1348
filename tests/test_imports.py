"""Imports run one way: masks, files, layers -> models -> ... -> study, bench -> commands."""

import ast
import importlib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import pconv_core

ROOT = Path(pconv_core.__file__).parent
MOST_CORE_FILES = 11
# The lowest first; a module that is not named here is on the level of its room.
LEVELS = (
    ("", "masks", "files", "layers", "hardware"),
    ("models",),
    ("files.foreign", "files.onnx", "files.weights", "losses", "data", "distributed"),
    ("training", "evaluation", "inpainting"),
    ("study", "bench"),
    ("commands", "__main__"),
)
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}


def named(path):
    """Name of a module within the package; "" is the package itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {named(path): path for path in sorted(ROOT.rglob("*.py"))}


def imported(source, modules):
    """Names of the modules that a source text imports, at its top or within functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            full = [(f"{node.module}.{alias.name}", node.module) for alias in node.names]
        elif isinstance(node, ast.Import):
            full = [(alias.name,) for alias in node.names]
        else:
            continue
        for candidates in full:
            inner = [c.removeprefix("pconv_core").removeprefix(".") for c in candidates]
            ours = candidates[-1].split(".")[0] == "pconv_core"
            found |= {next(name for name in inner if name in modules)} if ours else set()
    return found


IMPORTS = {name: imported(path.read_text(), MODULES) for name, path in MODULES.items()}


def level(name):
    return LEVEL[name] if name in LEVEL else LEVEL[name.partition(".")[0]]


def room(name):
    """The folder of a module; "" is the core, to which the entry point of the commands belongs."""
    path = MODULES[name]
    return "commands" if name == "__main__" else "/".join(path.relative_to(ROOT).parts[:-1])


def allowed(name, other):
    below = level(other) < level(name)
    return below or (level(other) == level(name) and room(other) == room(name))


def test_every_import_is_one_level_down_or_within_a_room():
    wrong = [(a, b) for a, others in IMPORTS.items() for b in others if not allowed(a, b)]
    assert wrong == []


def test_what_is_wrong_would_be_found():
    source = (
        "import torch\ndef f():\n    from pconv_core.study import run\n    import pconv_core.data\n"
    )
    assert imported(source, MODULES) == {"study.run", "data"}
    assert imported("from pconv_core.masks import BINS, sets", MODULES) == {"masks", "masks.sets"}
    assert [level(n) for n in ("masks.sets", "files.listing", "files.weights")] == [0, 0, 2]
    for name, other in (("training", "study.run"), ("study.run", "bench.table")):
        assert not allowed(name, other)
    for name, other in (("files.weights", "models"), ("__main__", "commands.train")):
        assert allowed(name, other)


def test_there_is_no_cycle():
    TopologicalSorter(IMPORTS).prepare()


def test_the_core_is_small():
    assert len(list(ROOT.glob("*.py"))) <= MOST_CORE_FILES


OFFERED = ["layers", "models", "losses", "masks", "data", "training"]
OFFERED += ["evaluation", "inpainting", "study"]


@pytest.mark.parametrize("name", OFFERED)
def test_what_a_public_module_offers_is_named_and_there(name):
    module = importlib.import_module(f"pconv_core.{name}")
    assert len(set(module.__all__)) == len(module.__all__) > 0
    assert [n for n in module.__all__ if not hasattr(module, n)] == []
