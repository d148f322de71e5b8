"""A job by its name, its folder or its recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from consilium.errors import ConfigurationError
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job, read_exported_job
from consilium.recipes.job_folder import job_folder, resolve_job


def test_a_name_has_a_folder_for_as_long_as_it_is_used():
    with job_folder("brain_tumor_fedavg") as folder:
        assert read_exported_job(folder).rounds == build_recipe("brain_tumor_fedavg").settings.rounds
    assert not folder.exists()


def test_a_folder_is_given_as_it_is(tmp_path):
    own = export_job(build_recipe("brain_tumor_fedavg", {"rounds": 3}), tmp_path)
    with job_folder(str(own)) as folder:
        assert folder == own
    assert own.is_dir()


def test_a_folder_comes_before_a_job_of_its_name(tmp_path, monkeypatch):
    export_job(build_recipe("brain_tumor_fedavg", {"rounds": 3}), tmp_path)
    monkeypatch.chdir(tmp_path)
    with job_folder("brain_tumor_fedavg") as folder:
        assert read_exported_job(folder).rounds == 3


@pytest.mark.parametrize("job", ["jobs/gone", "/gone", Path("jobs/gone")])
def test_a_folder_that_is_not_there_is_no_name(job):
    with pytest.raises(ConfigurationError, match=f"there is no folder {job}; .*`consilium jobs list`"):
        resolve_job(job)


def test_a_name_that_nothing_has_names_the_jobs():
    with pytest.raises(ConfigurationError, match="no job is named 'brain_tumor'; known: brain_tumor_fedavg"):
        resolve_job("brain_tumor")


@pytest.mark.parametrize(
    ("name", "meant"), [("ditto", "brain_tumor_ditto"), ("brain_tumor_swrm", "brain_tumor_swarm")]
)
def test_a_name_that_is_nearly_a_job_s_is_answered_with_that_job(name, meant):
    with pytest.raises(ConfigurationError, match=f"no job is named '{name}'; did you mean '{meant}'"):
        resolve_job(name)
