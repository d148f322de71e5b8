"""What a process starts without: most use neither torch nor MONAI, which take seconds to import."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "monai", "scipy", "nibabel", "matplotlib", "pandas"}
IMPORT = """
import importlib, json, sys
heavy = set(json.loads(sys.argv[2]))
for modules in json.loads(sys.argv[1]):
    before = heavy & set(sys.modules)
    for name in modules:
        importlib.import_module(name)
    print(json.dumps(sorted((heavy & set(sys.modules)) - before)))
"""


def classes(content):
    """The class paths in a job's or a kit's configuration."""
    if isinstance(content, dict):
        path = content.get("path")
        return ([path] if isinstance(path, str) else []) + classes(list(content.values()))
    if isinstance(content, list):
        return [path for value in content for path in classes(value)]
    return []


def modules_of(job, side):
    config = json.loads((ROOT / f"jobs/{job}/app/config/config_fed_{side}.json").read_text())
    return sorted({path.rpartition(".")[0] for path in classes(config)})


BESIDE_JOBS = [
    "consilium.guard.flare_app_validator",
    "consilium.guard.server_guard",
    "consilium.guard.site_guard",
    "consilium.federation.server.continuation",
    "consilium.federation.monitoring.job_outcomes",
    "consilium.federation.server.site_return",
]
ASKING = [
    "consilium.cli.main",
    "consilium.federation.server.user_session",  # `status`
    "consilium.poc.federation",  # `poc status`, `poc stop`
    "consilium.poc.project",
    "consilium.provisioning.builder",  # `nvflare provision`
    "consilium.records.site_status",
    "consilium.report.status.site",  # `status --site`
]
JOBS = ["brain_tumor_fedavg", "brain_tumor_check"]
RECIPES = sorted(path.stem for path in (ROOT / "custom/consilium/recipes").glob("[a-z]*.py"))
STARTS = {
    **{one: [one] for one in (*BESIDE_JOBS, *ASKING)},
    **{one: modules_of(one, "server") for one in JOBS},
    "recipes": [f"consilium.recipes.{name}" for name in RECIPES],
    # From here on something heavy may be loaded, more and more of it.
    **{f"statistics of a {side}": modules_of("brain_tumor_stats", side) for side in ("server", "client")},
    "cases": ["consilium.data.cohort_pass", "consilium.tasks.brain_tumor.cases"],
    "reports": ["consilium.report.write"],
}


@pytest.fixture(scope="module")
def loaded():
    """What each start loads of the heavy packages that none before it did: all in one new process."""
    words = (json.dumps(list(STARTS.values())), json.dumps(sorted(HEAVY)))
    ended = subprocess.run(
        [sys.executable, "-c", IMPORT, *words], capture_output=True, text=True, check=True, cwd=ROOT
    )
    lines = ended.stdout.splitlines()[-len(STARTS) :]
    return {name: set(json.loads(line)) for name, line in zip(STARTS, lines, strict=True)}


@pytest.mark.parametrize("module", BESIDE_JOBS)
def test_what_runs_beside_jobs_loads_nothing_that_only_jobs_need(loaded, module):
    assert not loaded[module]


@pytest.mark.parametrize("job", JOBS)
def test_the_server_s_side_of_a_job_loads_neither_torch_nor_monai(loaded, job):
    assert not loaded[job]


@pytest.mark.parametrize("side", ["server", "client"])
def test_statistics_are_gathered_without_torch_and_monai(loaded, side):
    assert not loaded[f"statistics of a {side}"] & {"torch", "monai", "matplotlib", "pandas"}


@pytest.mark.parametrize("module", ASKING)
def test_commands_that_only_ask_load_nothing_that_only_training_needs(loaded, module):
    assert not loaded[module]


def test_jobs_are_written_and_checked_without_anything_that_only_running_them_needs(loaded):
    """Every hospital's own process checks jobs by writing them again."""
    assert {"catalog", "fedavg", "readiness", "recognition", "statistics"} <= set(RECIPES)
    assert not loaded["recipes"]


def test_reports_are_written_without_torch_and_monai(loaded):
    assert not loaded["reports"] & {"torch", "monai"}


def test_cases_are_checked_without_torch_and_monai(loaded):
    """In each of the processes among which a check divides them."""
    assert not loaded["cases"] & {"torch", "monai"}
