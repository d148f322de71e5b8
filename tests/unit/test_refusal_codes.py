"""Every refusal has a code, every code a remedy, and no program reads the words of a reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from sources import modules, nodes, place_of

from consilium.errors import JobRejected, RefusalCode
from consilium.records.remedies import TASKS_AFTER_ROUNDS, remedy_for

REASONS = frozenset({"reason", "fault", "error", "refusal", "public_reason", "remedy", "message"})
"""Names under which reasons go in this package."""

OTHERS_TEXT = {
    ("federation/server/job_runner.py", "body"): "FLARE's reply has no other place for an error",
    (
        "federation/updates/spool.py",
        "error",
    ): "safetensors gives a system error's number in its text only",
    ("learning/gpu_memory.py", "error"): "CUDA, and torch at times, name a full GPU in their texts only",
    ("data/files.py", "error"): "NumPy names a full disk in its text only",
    ("site_check/network.py", "reason"): "a symbol of OpenSSL's, not a text",
}
"""Texts of other libraries that are read all the same, and why."""


def name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("code", RefusalCode)
@pytest.mark.parametrize("task", ["train", *sorted(TASKS_AFTER_ROUNDS)])
def test_each_code_has_a_remedy(code: RefusalCode, task: str) -> None:
    assert remedy_for(code, task)


def test_each_code_is_used() -> None:
    used = {
        node.attr
        for path in modules()
        if place_of(path) not in ("errors.py", "records/remedies.py")
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and name_of(node.value) == "RefusalCode"
    }
    assert used == {code.name for code in RefusalCode}


def test_a_code_travels_as_a_short_word() -> None:
    assert all(code.value.replace("_", "").isalpha() and len(code.value) <= 30 for code in RefusalCode)


def test_no_rejected_job_goes_without_a_code_of_its_own() -> None:
    """What the guard raises about a job names its code: the default is for what recipes say."""
    without = [
        f"{place_of(path)}:{node.lineno}"
        for path in modules()
        for node in nodes(path)
        if isinstance(node, ast.Call)
        and name_of(node.func) == JobRejected.__name__
        and not any(keyword.arg == "code" for keyword in node.keywords)
    ]
    assert without == []


def test_no_program_looks_at_the_words_of_a_reason() -> None:
    found = {
        (place, name): node.lineno
        for path, place in ((path, place_of(path)) for path in modules())
        for node in nodes(path)
        for name in _texts_looked_into(node)
        if name in REASONS or (place, name) in OTHERS_TEXT
    }
    assert {place: line for place, line in found.items() if place not in OTHERS_TEXT} == {}


def _texts_looked_into(node: ast.AST) -> Iterator[str]:
    """Yield the names of texts that an expression searches, splits or compares."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in ("startswith", "endswith", "split", "partition", "rpartition", "find", "index"):
            yield _subject(node.func.value)
        if name_of(node.func.value) == "re" and len(node.args) > 1:
            yield _subject(node.args[1])
    if isinstance(node, ast.Compare):
        for operator, right in zip(node.ops, node.comparators, strict=True):
            is_word = isinstance(node.left, ast.Constant) and isinstance(node.left.value, str)
            if isinstance(operator, ast.In | ast.NotIn) and (is_word or name_of(node.left).isupper()):
                yield _subject(right)
            if isinstance(operator, ast.Eq | ast.NotEq) and isinstance(right, ast.Constant) and right.value:
                yield _subject(node.left) if isinstance(right.value, str) else ""


def _subject(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        if name_of(node.func) in ("str", "repr") and node.args:
            return _subject(node.args[0])
        return _subject(node.func.value if isinstance(node.func, ast.Attribute) else node.func)
    return name_of(node)
