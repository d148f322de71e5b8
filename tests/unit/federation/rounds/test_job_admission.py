import time

import pytest

from consilium.federation.rounds.job_admission import AdmissionSettings, rejection
from federation.readiness import readiness, site

ALL = ["north", "south", "east"]


@pytest.fixture
def refuse(tmp_path):
    def refuse(record, *, connected=ALL, **demands):
        path = tmp_path / "consilium/readiness_brain_tumor.json"
        path.parent.mkdir(exist_ok=True)
        if record is not None:
            record.save(path)
        return rejection(path, AdmissionSettings(**demands), connected, "brain_tumor")

    return refuse


def test_enough_ready_sites_are_admitted(refuse):
    record = readiness(north="train", south="train", east="nothing")
    assert refuse(record) is None
    assert refuse(record, connected=["north", "south"]) is None


def test_too_few_are_rejected_with_every_other_site_and_its_codes(refuse):
    record = readiness(
        north="train",
        south=site("evaluate", reason="one usable case"),
        east=site("nothing", reason="no usable case", left_out={"truncated": 3, "non_finite": None}),
    )
    assert refuse(record) == (
        "admission: 1 of 2 required sites are ready; "
        "east: no usable case (left out: 3 truncated, few non_finite); south: one usable case"
    )


def test_a_ready_site_counts_only_if_it_is_connected(refuse):
    reason = refuse(readiness(north="train", south="train"), connected=["north", "east"])
    assert reason == (
        "admission: 1 of 2 required sites are ready; east: not in the check; ready, but not connected: south"
    )


def test_without_a_check_nobody_is_admitted(refuse):
    assert "no readiness check on this server; submit the job brain_tumor_check first" in refuse(None)


@pytest.mark.parametrize("hours", [25, -1])
def test_a_check_of_another_day_or_of_the_future_admits_nobody(refuse, hours):
    record = readiness(north="train", south="train")
    record.created = time.time() - hours * 3600
    assert "hours old, and 24 are allowed" in refuse(record)
    assert (refuse(record, max_age_hours=48) is None) == (hours > 0)


@pytest.mark.parametrize("content", ["", "{}", '{"job": 1}', "\x00"])
def test_a_check_that_cannot_be_read_admits_nobody(tmp_path, content):
    path = tmp_path / "readiness.json"
    path.write_text(content)
    assert "can't be read" in rejection(path, AdmissionSettings(), ALL, "brain_tumor")
