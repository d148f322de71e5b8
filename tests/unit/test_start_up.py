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
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted(set(sys.modules) & set(json.loads(sys.argv[2])))))
"""


def loaded(*modules):
    """The heavy packages in a new process that has imported these modules."""
    words = (json.dumps(modules), json.dumps(sorted(HEAVY)))
    ended = subprocess.run(
        [sys.executable, "-c", IMPORT, *words], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(json.loads(ended.stdout.splitlines()[-1]))


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


@pytest.mark.parametrize(
    "module",
    [
        "consilium.guard.flare_app_validator",
        "consilium.guard.server_guard",
        "consilium.guard.site_guard",
        "consilium.federation.server.continuation",
        "consilium.federation.monitoring.job_outcomes",
        "consilium.federation.server.site_return",
    ],
)
def test_what_runs_beside_jobs_loads_nothing_that_only_jobs_need(module):
    assert not loaded(module)


@pytest.mark.parametrize("job", ["brain_tumor_fedavg", "brain_tumor_check"])
def test_the_server_s_side_of_a_job_loads_neither_torch_nor_monai(job):
    assert not loaded(*modules_of(job, "server"))


@pytest.mark.parametrize("side", ["server", "client"])
def test_statistics_are_gathered_without_torch_and_monai(side):
    assert not loaded(*modules_of("brain_tumor_stats", side)) & {"torch", "monai", "matplotlib", "pandas"}


@pytest.mark.parametrize(
    "module",
    [
        "consilium.cli.main",
        "consilium.federation.server.user_session",  # `status`
        "consilium.poc.federation",  # `poc status`, `poc stop`
        "consilium.poc.project",
        "consilium.provisioning.builder",  # `nvflare provision`
        "consilium.records.site_status",
        "consilium.report.status.site",  # `status --site`
    ],
)
def test_commands_that_only_ask_load_nothing_that_only_training_needs(module):
    assert not loaded(module)


def test_jobs_are_written_and_checked_without_anything_that_only_running_them_needs():
    """Every hospital's own process checks jobs by writing them again."""
    modules = sorted(path.stem for path in (ROOT / "custom/consilium/recipes").glob("[a-z]*.py"))
    assert {"catalog", "fedavg", "readiness", "recognition", "statistics"} <= set(modules)
    assert not loaded(*(f"consilium.recipes.{name}" for name in modules))


def test_reports_are_written_without_torch_and_monai():
    assert not loaded("consilium.report.write") & {"torch", "monai"}


def test_cases_are_checked_without_torch_and_monai():
    """In each of the processes among which a check divides them."""
    assert not loaded("consilium.data.cohort_pass", "consilium.tasks.brain_tumor.cases") & {"torch", "monai"}
