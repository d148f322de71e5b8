"""What a user imports from `consilium` itself: every name loads, is typed and is documented."""

import ast
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import consilium

SOURCE = Path(consilium.__file__)
ROOT = Path(__file__).parents[2]


def names_for_type_checkers():
    """Return each name imported under `TYPE_CHECKING` with its module."""
    (block,) = (node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module for node in imports for alias in node.names}


def test_type_checkers_see_the_names_that_programs_get():
    assert names_for_type_checkers() == consilium._MODULES
    assert sorted(consilium._MODULES) == sorted(consilium.__all__)


@pytest.mark.parametrize("name", consilium.__all__)
def test_every_name_loads_and_is_documented(name):
    thing = getattr(consilium, name)
    assert thing.__module__ == consilium._MODULES[name]
    assert inspect.getdoc(thing)
    assert name in dir(consilium)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        consilium.simulat  # noqa: B018


def test_the_package_alone_loads_nothing_else():
    program = "import json, sys, consilium; print(json.dumps([m for m in sys.modules if 'consilium.' in m]))"
    words = [sys.executable, "-c", program]
    ended = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    assert json.loads(ended.stdout) == []


def documented_programs():
    """Return each Python program of a page, and each code cell of a notebook, with where it stands."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    programs = [
        (page.name, program)
        for page in pages
        for program in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    for notebook in (ROOT / "examples").glob("*.ipynb"):
        cells = json.loads(notebook.read_text())["cells"]
        programs += [(notebook.name, "".join(one["source"])) for one in cells if one["cell_type"] == "code"]
    return programs


def test_documented_programs_import_only_what_users_may_rely_on():
    programs = documented_programs()
    assert len(programs) > 5
    internal = [
        (name, node.module)
        for name, program in programs
        for node in ast.walk(ast.parse(program))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("consilium.")
    ]
    assert internal == []


def test_every_name_stands_in_the_reference():
    page = (ROOT / "docs/api.md").read_text()
    assert [name for name in consilium.__all__ if f"::: consilium.{name}\n" not in page] == []
