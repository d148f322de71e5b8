"""The jobs that the repository ships: what the recipes write, and nothing that a hospital would refuse."""

import json
import re
from pathlib import Path

import pytest

from consilium.guard.job_rules import check_app, check_job
from consilium.provisioning.policy import allowed_classes
from consilium.recipes.catalog import CATALOG, build_recipe
from consilium.recipes.exported_job import export_job

JOBS = Path(__file__).parents[2] / "jobs"


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def values(content):
    """Every key and value in a job's configuration."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield "key", key
            yield from (("class", value),) if key in ("path", "class_path") else values(value)
    elif isinstance(content, list):
        for value in content:
            yield from values(value)
    else:
        yield "value", content


def configurations():
    return sorted(JOBS.rglob("*.json"))


def test_every_job_of_the_catalog_is_there_and_no_other():
    assert sorted(path.name for path in JOBS.iterdir()) == sorted(CATALOG)


@pytest.mark.parametrize("name", CATALOG)
def test_jobs_are_what_the_recipes_write(name, tmp_path):
    written = files(export_job(build_recipe(name), tmp_path))
    shipped = files(JOBS / name)
    assert sorted(shipped) == sorted(written)
    differing = [path for path, content in written.items() if shipped[path] != content]
    assert not differing, f"jobs/{name} is not in step with its recipe: run `make jobs`"


def test_no_job_brings_code():
    assert configurations()
    assert not [path for path in JOBS.rglob("*") if path.name == "custom" or path.suffix in (".py", ".pyc")]
    assert {path.suffix for path in JOBS.rglob("*") if path.is_file()} == {".json"}


@pytest.mark.parametrize("path", configurations(), ids=lambda path: str(path.relative_to(JOBS)))
def test_no_job_names_a_path_a_variable_or_a_secret(path):
    for kind, text in values(json.loads(path.read_text())):
        if isinstance(text, str) and kind != "class":
            assert ".." not in text
            assert "$" not in text
            assert not re.match(r"[/~\\]|[A-Za-z]:", text)
            assert "/" not in text
            assert not re.search(r"password|secret|token|dataset|cache_dir", text, re.IGNORECASE)


@pytest.mark.parametrize("side", ["server", "client"])
def test_every_class_in_a_job_is_on_the_allow_list_of_who_builds_it(side):
    named = {
        text
        for path in configurations()
        if path.name == f"config_fed_{side}.json"
        for kind, text in values(json.loads(path.read_text()))
        if kind == "class"
    }
    assert any(name.startswith("consilium.") for name in named)
    assert named <= set(allowed_classes(side)), "it would be refused by every site"


@pytest.mark.quick_cases(5)
@pytest.mark.parametrize("name", CATALOG)
def test_every_job_is_taken_by_the_server_and_by_every_site(name):
    contents = files(JOBS / name)
    check_job(contents, lambda path: None)
    app = {key.removeprefix("app/"): value for key, value in contents.items() if key.startswith("app/")}
    for side in ("server", "client"):
        check_app(app, lambda path: None, side)
