"""docs/security.md names a test for every line; each must be there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text()
TESTS = {
    name: path
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^(?:    )?def (test_\w+)", path.read_text(), re.MULTILINE)
}
TABLES = [
    line
    for block in re.findall(r"\n\| threat \|.*?\n\n", PAGE + "\n\n", re.DOTALL)
    for line in block.strip().splitlines()[2:]
]


def test_the_page_has_its_tables():
    assert len(TABLES) > 40


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", PAGE))))
def test_every_test_that_the_page_names_exists(name):
    assert name in TESTS


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(?:tests/[\w/]*/)?(test_\w+\.py)`", PAGE))))
def test_every_test_file_that_the_page_names_exists(name):
    assert list((ROOT / "tests").rglob(name))


@pytest.mark.parametrize("line", TABLES)
def test_every_threat_has_a_test(line):
    assert re.search(r"`[\w/]*test_\w+(\.py)?`|the same", line.rstrip("| ").rpartition("|")[2]), line


def named_by(line):
    """The tests that a threat's line names, other than by their file."""
    return re.findall(r"`(test_\w+)`", line.rstrip("| ").rpartition("|")[2])


def is_long(name):
    """Whether a test with all of its cases, or with its module, is left to `make test-long`."""
    module = ast.parse(TESTS[name].read_text())
    marks = [one for one in module.body if isinstance(one, ast.Assign) and "pytestmark" in ast.unparse(one)]
    functions = [one for one in ast.walk(module) if isinstance(one, ast.FunctionDef) and one.name == name]
    decorators = [ast.unparse(mark) for function in functions for mark in function.decorator_list]
    return "pytest.mark.long" in decorators or any("mark.long" in ast.unparse(one) for one in marks)


@pytest.mark.parametrize("line", [line for line in TABLES if named_by(line)])
def test_every_threat_has_a_test_that_is_not_long(line):
    """`make test` attacks; `make test-long` attacks in more ways."""
    assert not all(is_long(name) for name in named_by(line)), line


@pytest.mark.parametrize(("name", "mark"), sorted(set(re.findall(r"`(test_\w+)`(°?)", PAGE))))
def test_tests_against_real_processes_are_marked(name, mark):
    assert (mark == "°") == ("integration" in TESTS[name].parts)
