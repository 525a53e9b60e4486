"""The shape of the code: small files, small functions, names that say something, a start-up that loads little."""

import ast
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "tidegate"
FILES = sorted(SOURCE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
#: Names that say where something was put and not what it is.
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc", "tools"}
HEAVY = {"redis", "celery", "kombu", "rich", "django", "msgspec", "billiard"}


def name_of(path):
    return str(path.relative_to(ROOT))


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]


def lines_of(function):
    return (function.end_lineno or function.lineno) - function.lineno + 1


def public(tree):
    """Functions and classes that other modules may use."""
    return [n for n in tree.body if isinstance(n, (*FUNCTIONS, ast.ClassDef)) and not n.name.startswith("_")]


@pytest.mark.parametrize("path", [*FILES, *TESTS], ids=name_of)
def test_no_file_is_longer_than_400_lines(path):
    assert len(path.read_text().splitlines()) <= 400


def test_half_of_all_functions_have_at_most_eight_lines_and_nearly_all_at_most_forty():
    lengths = sorted(lines_of(f) for path in FILES for f in functions(ast.parse(path.read_text())))

    assert statistics.median(lengths) <= 8
    assert lengths[int(0.95 * len(lengths))] <= 40


def test_every_module_is_named_for_its_subject():
    assert [name_of(path) for path in FILES if {path.stem, path.parent.name} & SAYS_NOTHING] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_module_and_everything_public_in_it_says_what_it_is(path):
    tree = ast.parse(path.read_text())

    assert ast.get_docstring(tree) or not tree.body
    assert [node.name for node in public(tree) if not ast.get_docstring(node)] == []


def loaded_by(module):
    """The top-level packages that importing the module loads, in a fresh interpreter."""
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["tidegate", "tidegate.cli.main", "tidegate.model.judgement"])
def test_start_up_loads_nothing_heavy(module):
    """`celery worker` imports the group of commands at every start, and so does every completion of a shell."""
    assert loaded_by(module) & HEAVY == set()
