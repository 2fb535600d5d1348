"""Imports run one way: the study and the tool import the core, and do not know each other."""

import ast
import subprocess
import sys
from pathlib import Path

import pconv_core

ROOT = Path(pconv_core.__file__).parents[1]
FORBIDDEN = {"pconv_core": {"pconv_study", "pconv_cli"}}
FORBIDDEN |= {"pconv_study": {"pconv_cli"}, "pconv_cli": {"pconv_study"}}


def imported(source):
    """Packages that a source text imports, at its top or within functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
    return found


def test_imports_run_one_way():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for package, others in FORBIDDEN.items()
        for path in sorted((ROOT / package).rglob("*.py"))
        for name in imported(path.read_text()) & others
    ]
    assert wrong == []
    source = "def f():\n    from pconv_study import run\n    import os.path"
    assert imported(source) == {"pconv_study", "os"}


def test_the_loss_needs_neither_files_nor_pictures():
    code = "import sys, pconv_core.losses; print(*{'h5py', 'cv2', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr
