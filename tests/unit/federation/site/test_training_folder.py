import os

import pytest
from nvflare.apis.job_def import new_job_id

from consilium.federation.site.training_folder import training_folder


def test_a_run_has_a_folder_of_its_own(tmp_path):
    run = new_job_id()
    folder = training_folder(tmp_path / "cache", run)
    assert folder == tmp_path / "cache" / "runs" / run
    assert folder.is_dir()
    assert training_folder(tmp_path / "cache", run) == folder


@pytest.mark.parametrize("run", [None, 7, "", "simulate_job", "..", "../elsewhere", "/etc", ["x"]])
def test_what_is_no_job_id_becomes_no_folder(tmp_path, run):
    assert training_folder(tmp_path, run) is None
    assert not list(tmp_path.iterdir())


def test_the_oldest_runs_are_forgotten(tmp_path):
    runs = [new_job_id() for _ in range(4)]
    for age, run in enumerate(runs[:3]):
        folder = training_folder(tmp_path, run)
        (folder / "round_000001.json").write_text("{}")
        os.utime(folder, (age, age))
    training_folder(tmp_path, runs[3])
    assert {path.name for path in (tmp_path / "runs").iterdir()} == set(runs[1:])
