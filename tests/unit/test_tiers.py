"""Every test is in a tier: `make test`, `make test-long` or `make drills`; CI runs the first two."""

import ast
import itertools
import re
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression
from effort import spread

ROOT = Path(__file__).parents[2]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
TIERS = ("test", "test-quick", "test-long", "test-gpu", "drills")


def selects(target: str, marks: set[str]) -> bool:
    """Whether a target of the Makefile by itself runs a test with these marks."""
    recipe = re.search(rf"(?m)^{target}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text())
    assert recipe is not None, target
    words = re.search(r"-m (?:'([^']*)'|(\S+))", recipe[1])
    assert words is not None, target
    return Expression.compile(words[1] or words[2]).evaluate(lambda name, **_: name in marks)


@pytest.mark.parametrize(
    "marks", itertools.product(*((name, "") for name in ("integration", "long", "hypothesis")))
)
def test_a_test_of_any_marks_is_in_one_tier(marks):
    own = set(marks)
    tiers = [one for one in TIERS if selects(one, own)]
    again = {"test-long"} if "hypothesis" in own and "long" not in own else set()  # with more examples
    assert len(tiers) == 1 + len(again)
    assert again < set(tiers)
    assert ("test-long" in tiers) == bool(own & {"long", "hypothesis"})


@pytest.mark.parametrize(
    ("count", "total", "quick"), [(1, 9, {0}), (3, 9, {0, 3, 6}), (2, 5, {0, 2}), (4, 3, {0, 1, 2})]
)
def test_quick_cases_are_spread_over_all(count, total, quick):
    assert spread(count, total) == quick


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    "place", [0, 1, pytest.param(2, marks=pytest.mark.long), 3, 4], ids=lambda place: f"case {place}"
)
def test_cases_that_are_not_quick_are_long(request, place):
    assert (request.node.get_closest_marker("long") is None) == (place in (0, 3))


@pytest.mark.parametrize(("mark", "target"), [("drill", "drills"), ("gpu", "test-gpu")])
def test_what_few_machines_can_do_is_by_itself(mark, target):
    assert selects(target, {mark})
    assert [one for one in TIERS if one != "test-quick" and selects(one, {mark})] == [target]


@pytest.mark.parametrize("folder", ["integration", "drills", "gpu"])
def test_what_is_no_unit_test_is_marked_in_its_module(folder):
    """`make test-quick` reads the unit tests alone."""
    modules = sorted((ROOT / "tests" / folder).rglob("test_*.py"))
    assert len(modules) > 6
    assert [
        path.name
        for path in modules
        if not re.search(r"(?ms)^pytestmark = .{0,200}?(integration|drill|gpu|MARKS)", path.read_text())
    ] == []


def test_ci_runs_all_but_the_drills():
    steps = re.findall(r"(?m)^make (\S+)", (ROOT / ".ci/run").read_text())
    assert steps.index("test") < steps.index("test-long")
    assert re.search(r"(?m)^test: test-quick$", (ROOT / "Makefile").read_text())


def functions_beside_drawings(path: Path) -> list[ast.FunctionDef]:
    text = path.read_text()
    body = ast.parse(text).body if "@given" in text else []
    return [one for one in body if isinstance(one, ast.FunctionDef)]


def draws_inside(function: ast.FunctionDef) -> bool:
    inner = (one for one in ast.walk(function) if isinstance(one, ast.FunctionDef) and one is not function)
    return any("given(" in ast.unparse(mark) for one in inner for mark in one.decorator_list)


def test_a_test_that_draws_examples_inside_says_so():
    """Hypothesis marks only tests whose own arguments are drawn: the others would be in no `make fuzz`."""
    found = [
        f"{path.name}: {one.name}"
        for path in TESTS
        for one in functions_beside_drawings(path)
        if draws_inside(one)
        and not any(ast.unparse(mark) == "pytest.mark.hypothesis" for mark in one.decorator_list)
    ]
    assert found == []


def test_every_number_of_examples_follows_the_factor():
    """See `effort`: a tenth in `make test-quick`, twenty times as many in `make fuzz`."""
    found = [
        f"{path.name}: {number[0]}"
        for path in TESTS
        for number in re.finditer(r"max_examples=\d+", path.read_text())
    ]
    assert found == []


def test_no_attack_on_a_federation_is_left_to_the_long_tests():
    """Hostile jobs, messages and answers, what leaves a hospital, accounts and transport: in `make test`."""
    attacks = sorted((ROOT / "tests/integration/security").glob("test_*.py"))
    assert len(attacks) > 6
    assert [path.name for path in attacks if "mark.long" in path.read_text()] == []
