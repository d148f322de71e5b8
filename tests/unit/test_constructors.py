"""Building a component does nothing outside it: a job names classes, and each is built before it has run."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from recipes.any_settings import largest_recipes
from sources import PACKAGE, modules, nodes

from consilium.recipes.classes import CLIENT_CLASSES, SERVER_CLASSES

ROOT = Path(__file__).parents[2]
BUILD = """
import importlib, json, os, sys
import consilium
parts = json.load(sys.stdin)
kinds = [getattr(importlib.import_module(module), name) for module, name, _ in parts]
EFFECTS = ("open", "os.", "shutil.", "subprocess.", "socket.", "tempfile.")
def refuse(event, arguments):
    code = (sys.prefix, sys.base_prefix, os.path.dirname(consilium.__file__))  # a task loads when it is named
    reads_code = event in ("open", "os.listdir") and str(arguments[0]).startswith(code)
    if event.startswith(EFFECTS) and not reads_code:
        raise AssertionError(f"a constructor does {event}{arguments}")
sys.addaudithook(refuse)
for kind, (_, _, arguments) in zip(kinds, parts):
    kind(**arguments)
print("built", len(parts))
"""
EFFECTS = {
    "bind", "chmod", "close", "connect", "kill", "link_to", "makedirs", "mkdir", "mkdtemp", "mkstemp", "open",
    "popen", "posix_fallocate", "remove", "rename", "rmdir", "rmtree", "run", "save", "start", "symlink_to",
    "system", "touch", "truncate", "unlink", "write", "write_atomically", "write_bytes", "write_text",
    "Popen", "TemporaryDirectory", "TemporaryFile", "NamedTemporaryFile", "Thread", "ZipFile",
}  # fmt: skip
"""Calls that do something outside the object."""


def components(config):
    if isinstance(config, dict):
        if "path" in config:
            yield config["path"], config.get("args", {})
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from components(value)


def build(parts, folder):
    """Build components in a new process whose folder nobody can write to."""
    request = [(*path.rpartition(".")[::2], arguments) for path, arguments in parts]
    return subprocess.run(
        [sys.executable, "-c", BUILD], input=json.dumps(request), capture_output=True, text=True,
        check=False, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT / "custom")},
    )  # fmt: skip


def written_by_recipes():
    """Every component of every recipe, with the arguments that it writes."""
    written = [recipe.files() for recipe in largest_recipes()]
    return [
        part for files in written for config in (files.server, files.client) for part in components(config)
    ]


def test_every_class_that_a_job_can_name_is_built_without_any_effect(tmp_path):
    parts = written_by_recipes()
    assert {path for path, _ in parts} == {*SERVER_CLASSES, *CLIENT_CLASSES}
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/file").write_text("must stay")
    tmp_path.chmod(0o500)
    try:
        done = build(parts, tmp_path)
    finally:
        tmp_path.chmod(0o700)
    assert done.stdout.startswith(f"built {len(parts)}"), done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "victim"]


def constructors():
    """Every constructor of the packages whose classes run in FLARE's processes."""
    for package in ("federation", "guard"):
        for path in (path for path in modules() if path.is_relative_to(PACKAGE / package)):
            for kind in nodes(path):
                for method in kind.body if isinstance(kind, ast.ClassDef) else []:
                    if isinstance(method, ast.FunctionDef) and method.name in (
                        "__init__",
                        "__post_init__",
                        "__new__",
                    ):
                        yield f"{path.stem}.{kind.name}", method


@pytest.mark.parametrize("method", [pytest.param(method, id=name) for name, method in constructors()])
def test_no_constructor_calls_what_has_an_effect(method):
    """The classes that no job can name as well: a list may grow."""
    called = {
        ast.unparse(node.func).rpartition(".")[2] for node in ast.walk(method) if isinstance(node, ast.Call)
    }
    assert not called & EFFECTS
