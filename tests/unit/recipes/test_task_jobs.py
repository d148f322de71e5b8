"""The jobs of every task: those that come with Consilium, and those of installed packages."""

import pytest
from tasks.packages import installed, is_imported, toy

from consilium.default_task import DEFAULT
from consilium.errors import ConfigurationError
from consilium.recipes.catalog import CATALOG, build_recipe, find_job, task_jobs
from consilium.recipes.exported_job import export_job, job_task
from consilium.tasks import get_task


def test_the_catalog_is_that_of_the_tasks_that_come_with_consilium():
    assert list(CATALOG) == list(task_jobs(get_task(DEFAULT)))
    assert next(iter(CATALOG)) == f"{DEFAULT}_fedavg"


def test_a_task_of_another_package_has_jobs_by_its_name(tmp_path):
    with installed(tmp_path, toy()):
        assert find_job(f"{DEFAULT}_fedavg")
        assert not is_imported()
        names = list(task_jobs(get_task("toy_tumor")))
        endings = [name.removeprefix(f"{DEFAULT}_") for name in CATALOG]  # it inherits what that task states
        assert {"fedavg", "fedavg_gpu", "fedprox", "check", "stats", "evaluate"} <= {*endings}
        assert names == [f"toy_tumor_{one}" for one in endings]
        for name in names:
            job = export_job(build_recipe(name, {"min_sites": 3}), tmp_path / "jobs")
            assert job_task(job) == "toy_tumor"


def test_an_unknown_job_names_those_that_the_task_has(tmp_path):
    with pytest.raises(ConfigurationError, match="known: brain_tumor_fedavg, brain_tumor_fedavg_gpu"):
        find_job("brain_tumor_gossip")
    with pytest.raises(ConfigurationError, match="no job is named 'chest_ct_fedavg'"):
        find_job("chest_ct_fedavg")
    with installed(tmp_path, ("broken-package", "broken", "raise RuntimeError('no')")):
        with pytest.raises(ConfigurationError, match="broken-package"):
            find_job("broken_fedavg")
        assert find_job(f"{DEFAULT}_stats")


def test_settings_of_a_job_that_nothing_builds_are_an_error(tmp_path):
    name, task, source = toy()
    odd = source + "    jobs = {'gossip': {}}\n"
    with installed(tmp_path, (name, task, odd)), pytest.raises(ConfigurationError, match="ends in 'gossip'"):
        task_jobs(get_task(task))
