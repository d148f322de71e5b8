"""The statistics job in FLARE's simulator, with a hospital that has no usable case."""

import shutil
from pathlib import Path

import pytest

from consilium.cli.jobs import export_jobs
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job, read_exported_job
from consilium.records.statistics import StatisticsRecord

from .studies import Study, simulate

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def study(hospitals, tmp_path_factory) -> Study:
    folder = tmp_path_factory.mktemp("statistics")
    job = export_job(build_recipe("brain_tumor_stats", {"min_count": 2}), folder / "jobs")
    sites = {name: hospitals[name] for name in ("north", "clinic")}
    sites["hapless"] = folder / "pacs_of_hapless"
    shutil.copytree(hospitals["hapless"], sites["hapless"])
    (only,) = sites["hapless"].iterdir()
    (only / f"{only.name}_t2.nii.gz").write_bytes(b"no image")
    return simulate(job, sites, folder / "out")


@pytest.fixture(scope="module")
def record(study) -> StatisticsRecord:
    return StatisticsRecord.load(study.out / "result")


def test_a_site_without_usable_data_costs_the_others_nothing(study, record):
    assert study.code == 0, study.stderr
    assert record.status == "finished"
    assert record.missing.keys() == {"hapless"}
    for feature in record.features.values():
        assert feature.sites.keys() <= {"north", "clinic"}
        if feature.group != "absence":  # a share of one patient is not sent
            assert feature.reported.keys() == {"north", "clinic"}
    assert (record.sites["north"].patients, record.sites["clinic"].patients) == (5, 2)


def test_the_reasons_are_on_the_page_and_in_what_the_user_sees(study, record):
    page = (study.out / "report/index.html").read_text()
    assert study.stdout.strip().endswith("report/index.html")
    for site, reason in record.missing.items():
        assert f"{site} is missing from these statistics" in page
        assert f"{site} is not part of the statistics: {reason}" in study.stderr.replace("NOT", "not")
    # One case is of fewer patients than the job's minimum of two: not even its number leaves.
    assert record.sites["hapless"].left_out == {"unreadable": None}


def test_the_sites_own_log_says_what_is_not_sent_to_the_server(study):
    assert "is left out: unreadable" in study.log_of("hapless")
    assert "pacs_of_hapless" in study.log_of("hapless")


def test_no_case_and_no_path_of_a_hospital_is_in_anything_that_the_server_has(study, hospitals):
    secrets = {str(hospitals[name]) for name in ("north", "clinic")} | {"pacs_of_"}
    for name in ("north", "clinic", "hapless"):
        secrets |= {path.name for path in hospitals[name].iterdir() if path.is_dir()}
    assert len(secrets) > 6
    files = [
        path
        for place in (study.server, study.out / "result", study.out / "report")
        for path in place.rglob("*")
        if path.is_file()
    ]
    assert {path.name for path in files} >= {"log.txt", "statistics.json", "progress.json", "index.html"}
    found = [(secret, path) for path in files for secret in secrets if secret.encode() in path.read_bytes()]
    assert found == []


def test_the_next_job_is_shaped_by_the_result(study, capsys):
    export_jobs(
        "brain_tumor_fedavg",
        to=study.out / "jobs",
        fingerprint=[study.out / "result/statistics.json"],
        change=["learning.batch_size=3"],
    )
    stdout, stderr = capsys.readouterr()
    assert "learning.spacing_mm=4.0: the median voxel of all patients is 4.0 x 4.0 x 4.0 mm" in stderr
    assert "(not taken: --set learning.batch_size wins)" in stderr
    learning = read_exported_job(Path(stdout.strip())).learning
    assert (learning.spacing_mm, learning.batch_size) == ((4.0, 4.0, 4.0), 3)
