"""Scripts that no test runs: what they import of the package exists, though most take minutes to run."""

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    path
    for folder in ("benchmarks", "tools", "provision", "tests/drills")
    for path in (ROOT / folder).rglob("*.py")
)


def imported(script):
    """Names that a script imports of the package, as module and name; the name is None for a whole module."""
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "consilium":
            yield from ((node.module, one.name) for one in node.names)
        elif isinstance(node, ast.Import):
            yield from ((one.name, None) for one in node.names if one.name.split(".")[0] == "consilium")


def missing(module, name):
    """Whether there is no such module, or nothing of this name in it."""
    if importlib.util.find_spec(module) is None:
        return True
    if name is None or hasattr(importlib.import_module(module), name):
        return False
    return importlib.util.find_spec(f"{module}.{name}") is None


@pytest.mark.quick_cases(25)
@pytest.mark.parametrize("script", SCRIPTS, ids=[str(path.relative_to(ROOT)) for path in SCRIPTS])
def test_what_a_script_imports_exists(script):
    assert [f"{module}: {name}" for module, name in imported(script) if missing(module, name)] == []


def test_a_name_that_was_moved_is_found():
    assert missing("consilium.data", "foreground")
    assert not missing("consilium.data", "cohort")
    assert not missing("consilium.data.cohort", "read_cohort")


STARTED_BY_PROGRAMS = {"worker.py", "healthcheck.py", "line_end.py"}
COMMANDS = [path for path in SCRIPTS if path.name not in STARTED_BY_PROGRAMS]


@pytest.mark.quick_cases(25)
@pytest.mark.parametrize("script", COMMANDS, ids=[str(path.relative_to(ROOT)) for path in COMMANDS])
def test_a_script_parses_its_arguments_and_so_has_a_help(script):
    """One that takes its first argument as a path would write a file named `--help`."""
    taken = [
        node.lineno
        for node in ast.walk(ast.parse(script.read_text()))
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "sys.argv"
    ]
    assert taken == [], f"lines {taken} read sys.argv: use argparse"
