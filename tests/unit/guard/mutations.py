"""Single changes of a job's JSON, of every kind that an attacker could make."""

from __future__ import annotations

import ast
import importlib.util
from copy import deepcopy
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(
        ["{$HOME}", "{WORKSPACE}", "${secret:TOKEN}", "/etc/passwd", " /etc/passwd", "..", ".", "startup",
         "local", "~", "https://collector.example.org", "@ALL", ""]
    ),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
KEYS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["path", "class_path", "args", "name", "id", "config_type", "disabled", "handlers", "filters",
         "tasks", "direction", "components", "@def", "executors", "workflows", "server", "heart_beat_timeout",
         "default_task_fetch_interval", "task_data_filters", "job_id", "byoc", "launcher_spec", "scope",
         "mandatory_clients", "stats_pool_config", "custom_props", "output_path"]
    ),
)  # fmt: skip


@cache
def _modules() -> tuple[tuple[str, Path], ...]:
    found = []
    for package in ("consilium", "nvflare"):
        root = Path(next(iter(importlib.util.find_spec(package).submodule_search_locations)))
        found += [
            (".".join((package, *path.relative_to(root).with_suffix("").parts)), path)
            for path in sorted(root.rglob("*.py"))
        ]
    return tuple(found)


@cache
def _classes_of(module: str, path: Path) -> tuple[str, ...]:
    names = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.ImportFrom):
            names += [alias.asname or alias.name for alias in node.names]
    return tuple(f"{module}.{name}" for name in names if name[:1].isupper())


importable_classes = (
    st.deferred(lambda: st.sampled_from(_modules()))
    .map(lambda one: _classes_of(*one))
    .filter(bool)
    .flatmap(st.sampled_from)
)
"""Any class of consilium and of nvflare, by any path under which a module has it, imported or own.

Only the modules that are drawn are read: to read all takes seconds.
"""


def places(value, place=()):
    """Every place in a JSON value, the whole first."""
    yield place
    if isinstance(value, dict):
        for key, child in value.items():
            yield from places(child, (*place, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from places(child, (*place, index))


def at(value, place):
    for key in place:
        value = value[key]
    return value


@st.composite
def mutated(draw, content):
    """A JSON object with one change."""
    content = deepcopy(content)
    place = draw(st.sampled_from(list(places(content))[1:]))
    parent, key = at(content, place[:-1]), place[-1]
    value = parent[key]
    kinds = ["change", "remove"]
    if isinstance(value, dict):
        kinds += ["add"]
    if isinstance(value, list):
        kinds += ["reorder", "append"]
    if key == "path":
        kinds = ["class"]
    kind = draw(st.sampled_from(kinds))
    if kind == "change":
        parent[key] = draw(VALUES)
    elif kind == "remove":
        del parent[key]
    elif kind == "add":
        value[draw(KEYS)] = draw(VALUES)
    elif kind == "reorder":
        parent[key] = draw(st.permutations(value))
    elif kind == "append":
        value.append(draw(st.sampled_from(value) if value else VALUES))
    else:
        parent[key] = draw(importable_classes)
    return content
