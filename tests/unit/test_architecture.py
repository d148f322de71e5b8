import ast
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest
from sources import PACKAGE, modules, nodes

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text()

QUOTED = sorted(set(re.findall(r"`([\w./]+)`", TEXT)))
ELSEWHERE = {"checks/", "codes.py", "local/", "local/privacy.json"}
"""Of any task's folder, and of a hospital's kit."""

PATHS = [one for one in QUOTED if ("/" in one or one.endswith(".py")) and one not in ELSEWHERE]
NAMES = [one for one in QUOTED if re.fullmatch(r"[a-z_]+(\.[a-z_]+)*\.[A-Z]\w+", one)]


def block(after: str) -> list[str]:
    """The first words of the lines of a block of code."""
    lines = TEXT.split(after, 1)[1].split("```")[1].strip().splitlines()
    return [line.partition("  ")[0] for line in lines]


@pytest.mark.parametrize("path", PATHS)
def test_every_file_and_folder_that_is_named_exists(path):
    assert (PACKAGE / path).exists() or (ROOT / path).exists()


@pytest.mark.parametrize("name", NAMES)
def test_every_class_that_is_named_exists(name):
    module, _, kind = name.rpartition(".")
    text = (PACKAGE / f"{module.removeprefix('consilium.').replace('.', '/')}.py").read_text()
    assert re.search(rf"^(class )?{kind}\b", text, re.MULTILINE)


def test_both_kinds_are_found():
    assert len(PATHS) > 60
    assert len(NAMES) > 2


def test_the_layers_are_those_that_are_enforced():
    contracts = (ROOT / "pyproject.toml").read_text().split("layers = [", 1)[1].split("]", 1)[0]
    enforced = re.findall(r"consilium\.(\w+)", contracts)
    *packages, below = block("Imports point down only")
    assert [*packages, *below.split(", ")] == enforced


def test_every_folder_of_the_federation_has_its_line():
    folders = {path.parent.name for path in (PACKAGE / "federation").glob("*/__init__.py")}
    assert set(block("`federation` has one folder per concern")) == folders


OF_A_PROBLEM = re.compile(
    r"brain|skull|tumou?r|glioma|edema|\b(flair|t1|t1ce|t2|wt|tc|hgg|lgg|lungs?|chest_ct|retin\w+|fundus)\b",
    re.I,
)
MAY_NAME_A_PROBLEM = {
    "default_task.py": "names the default",
    "tasks/registry.py": "lists the tasks that come with Consilium",
}


def test_nothing_outside_its_folder_names_a_problem():
    found = []
    for path in sorted(one for kind in ("py", "j2", "css") for one in PACKAGE.rglob(f"*.{kind}")):
        place = path.relative_to(PACKAGE).as_posix()
        if not place.startswith("tasks/brain_tumor/") and place not in MAY_NAME_A_PROBLEM:
            # Examples use the jobs and the task that come with Consilium.
            text = re.sub(r"\bbrain_tumor\w*", "", path.read_text())
            found += [f"{place}: {match[0]}" for match in OF_A_PROBLEM.finditer(text)]
    assert found == []


OF_A_METRIC_TARGET_OR_INPUT = re.compile(
    r"(?<![a-z])(dice|hd95|wt|regions?|modalit(y|ies)|enhancing)(?![a-z])", re.I
)
WITHOUT_THEM = ("records", "report", "simulation", "federation")
MAY_NAME_AN_IMAGE = ("report/data_check", "report/templates/data_check.html.j2")
"""Findings are by image, as the cases' format names it."""


def test_records_reports_and_federations_know_no_metric_target_or_input_by_name():
    found = []
    for file in sorted(one for package in WITHOUT_THEM for one in (PACKAGE / package).rglob("*")):
        place = file.relative_to(PACKAGE).as_posix()
        if file.suffix in (".py", ".j2", ".css") and not place.startswith(MAY_NAME_AN_IMAGE):
            lines = enumerate(file.read_text().splitlines(), start=1)
            found += [f"{place}:{n}: {line}" for n, line in lines if OF_A_METRIC_TARGET_OR_INPUT.search(line)]
    assert found == []


MAY_NAME_AN_ALGORITHM = re.compile(
    r"default_task\.py|(?:learning|federation)/algorithms/\w+\.py|recipes/\w+\.py|tasks/[a-z_]+/task\.py"
)
"""A task states the settings of its jobs by the ends of their names."""


def test_nothing_but_algorithms_and_recipes_names_an_algorithm():
    names = [path.stem for path in (PACKAGE / "federation" / "algorithms").glob("*.py")]
    algorithms = re.compile("|".join(set(names) - {"__init__", "base"}), re.IGNORECASE)
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        if MAY_NAME_AN_ALGORITHM.fullmatch(place) or not algorithms.search(path.read_text()):
            continue
        if algorithms.search(without_docstrings(path)):
            found.append(place)
    assert found == []
    assert algorithms.search("FedAvg")


def without_docstrings(path: Path) -> str:
    """A module's code without docstrings and comments."""
    tree = ast.parse(path.read_text())
    texts = [
        one for one in ast.walk(tree) if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)
    ]
    for one in texts:
        one.value = ast.Constant(None)
    return ast.unparse(tree)


def test_no_two_folders_or_modules_below_one_folder_import_each_other_in_a_circle():
    paths = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in modules()
    }
    imports = {
        name: {
            full if (full := f"{module}.{one}") in paths else module
            for module, one in imported_names(nodes(path))
        }
        for name, path in paths.items()
    }
    for folder in {name.rpartition(".")[0] for name in paths} - {"", "consilium"}:
        rooms = rooms_of(folder, imports)
        assert not circle(rooms), f"{folder}: {circle(rooms)}"


def imported_names(module: Iterable[ast.AST]) -> list[tuple[str, str]]:
    """What the package's own import statements name, also those for types alone and within functions."""
    statements = [one for one in module if isinstance(one, ast.ImportFrom)]
    ours = [one for one in statements if one.module and one.module.startswith("consilium")]
    return [(str(one.module), name.name) for one in ours for name in one.names]


def rooms_of(folder: str, imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """Which modules and folders right below a folder import which others."""
    depth = folder.count(".") + 1
    rooms: dict[str, set[str]] = {}
    for name, targets in imports.items():
        if name.startswith(f"{folder}."):
            room = name.split(".")[depth]
            others = {one.split(".")[depth] for one in targets if one.startswith(f"{folder}.")}
            rooms[room] = rooms.get(room, set()) | (others - {room})
    return rooms


def circle(rooms: dict[str, set[str]]) -> list[str]:
    """What is left once everything that imports nothing else of the rest is taken away."""
    left = dict(rooms)
    while free := [one for one, others in left.items() if not others & left.keys()]:
        for one in free:
            del left[one]
    return sorted(left)


def test_no_two_public_classes_have_one_name():
    places = defaultdict(list)
    for path in modules():
        for node in nodes(path)[0].body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path.relative_to(PACKAGE).as_posix())
    assert len(places) > 300
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
