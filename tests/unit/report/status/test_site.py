import os

import pytest

from consilium.records.site_status import SiteStatus, read_site_status


def status(number, **changes):
    return SiteStatus(
        job_id=f"job-{number}", job="brain_tumor_fedavg", log="log.txt", since=number, updated=number
    ).model_copy(update=changes)


def test_the_last_job_comes_first(tmp_path):
    for number in (2, 3, 1):
        status(number).save(tmp_path)
    assert [one.job_id for one in read_site_status(tmp_path)] == ["job-3", "job-2", "job-1"]


def test_a_site_without_any_job_has_nothing_to_say(tmp_path):
    assert read_site_status(tmp_path) == []


def test_fifty_jobs_are_kept(tmp_path):
    for number in range(55):
        status(number, ended=float(number)).save(tmp_path)
        os.utime(tmp_path / f"consilium/jobs/job-{number}.json", (number, number))
    kept = [one.job_id for one in read_site_status(tmp_path)]
    assert len(kept) == 50
    assert kept[0] == "job-54"


def test_a_file_of_another_version_is_passed_over(tmp_path):
    status(1).save(tmp_path)
    (tmp_path / "consilium/jobs/other.json").write_text('{"job_id": 7}')
    assert [one.job_id for one in read_site_status(tmp_path)] == ["job-1"]


@pytest.mark.parametrize(("host", "lost"), [(None, True), ("elsewhere", False)])
def test_only_the_machine_that_ran_it_can_tell_that_a_process_is_gone(host, lost):
    gone = status(1, process_started=0.0)
    assert (gone.model_copy(update={"host": host}) if host else gone).lost == lost
