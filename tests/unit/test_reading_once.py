"""A start reads each file once, and no file at all where nothing has changed: jobs and `consilium check`."""

import os
import re
import time
from collections import Counter

import pytest
from data.hospital import Hospital
from learning.tiny import LEARNING, site
from openings import count_openings

from consilium.data.sources.file import _CLOCK_MARGIN_NS as MARGIN_NS
from consilium.federation.site.assessment import assess
from consilium.participant.site_cases import examine_cases
from consilium.participant.site_data import prepare_site
from consilium.participant.statistics import gather_statistics
from consilium.site_check.dataset import check_dataset
from consilium.site_check.folder import check_folder
from consilium.site_check.job import SiteJob
from consilium.tasks import get_task
from waiting import wait_until

PATIENTS = ("P1", "P2", "P3")
KINDS = ("t1", "t1ce", "t2", "flair", "seg")
FILES = [f"{patient}/{patient}_{kind}.nii.gz" for patient in PATIENTS for kind in KINDS]
ONCE = Counter(FILES)
JOB = SiteJob(name="job", learning=LEARNING, classes=(), meta={})


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    """Trust files that were written a moment ago, as if the hospital's were of last week."""
    monkeypatch.setattr("consilium.data.sources.file._CLOCK_MARGIN_NS", -(10**18))


@pytest.fixture
def hospital(tmp_path):
    return site(tmp_path, PATIENTS)


def train(settings, learning=LEARNING):
    return prepare_site(settings, learning)


def statistics(settings):
    return gather_statistics(
        settings, get_task("brain_tumor"), progress=lambda *step: None, cancelled=lambda: False
    )


def readiness(settings):
    return assess(examine_cases(settings, get_task("brain_tumor").cases), settings, LEARNING, {})


def check(settings):
    return check_folder(settings.dataset, JOB, state=settings.cache_dir)


def opened(settings, start):
    with count_openings(settings.dataset) as counts:
        start(settings)
    return counts


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("start", [train, statistics, readiness, check])
def test_a_cold_start_reads_each_file_once_and_a_warm_one_none(hospital, start):
    assert opened(hospital, start) == ONCE
    assert opened(hospital, start) == Counter()


def test_another_kind_of_job_reads_each_file_once(hospital):
    train(hospital)
    assert opened(hospital, statistics) == ONCE
    assert opened(hospital, readiness) == Counter()
    coarse = LEARNING.model_copy(update={"spacing_mm": (2.0, 2.0, 2.0)})
    assert opened(hospital, lambda settings: train(settings, coarse)) == ONCE


def test_only_the_case_that_changed_is_read(hospital):
    train(hospital)
    Hospital(hospital.dataset).brats("P2", (0, 1, 2))
    assert opened(hospital, train) == Counter(name for name in FILES if name.startswith("P2"))
    Hospital(hospital.dataset).brats("P4")
    assert {name[:2] for name in opened(hospital, train)} == {"P4"}


def test_a_file_whose_times_alone_have_changed_is_read_to_know_it(hospital):
    before = train(hospital)
    os.utime(hospital.dataset / "P1/P1_t2.nii.gz")
    assert opened(hospital, train) == {"P1/P1_t2.nii.gz": 1}
    assert opened(hospital, train) == Counter()
    assert train(hospital) == before


def test_a_damaged_file_is_read_once_as_well(hospital):
    path = hospital.dataset / "P3/P3_t1.nii.gz"
    path.write_bytes(path.read_bytes()[:60])
    label = hospital.dataset / "P2/P2_seg.nii.gz"
    label.write_bytes(label.read_bytes()[:60])
    lenient = hospital.model_copy(update={"max_left_out": 0.9})
    assert opened(lenient, train) == ONCE
    assert opened(lenient, train) == Counter()
    assert train(lenient).left_out == {"truncated": 2}


def test_the_check_of_a_site_opens_nothing_that_a_job_has_read(hospital, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    train(hospital)
    found = []
    assert opened(hospital, lambda settings: found.append(check_dataset(settings, LEARNING))) == Counter()
    assert found[0][0][0].data["checked"]


@pytest.mark.long
def test_several_processes_leave_nothing_to_read(hospital):
    written = max((hospital.dataset / name).stat().st_ctime_ns for name in FILES)
    # `settled` does not hold in other processes.
    wait_until(lambda: time.time_ns() >= written + MARGIN_NS, "a later time")
    check_folder(hospital.dataset, JOB, state=hospital.cache_dir, workers=2)
    assert opened(hospital, check) == Counter()


def test_labels_that_no_memory_can_hold_are_read_twice(hospital, monkeypatch):
    monkeypatch.setattr("consilium.data.sources.index._HELD_BYTES", 0)
    assert opened(hospital, train) == ONCE + Counter(name for name in FILES if "seg" in name)
    assert opened(hospital, train) == Counter()


def _other_digit(content):
    """JSON as good as before, with another last digit."""
    return re.sub(rb"\d(?=[^\d]*$)", lambda digit: b"%d" % (9 - int(digit[0])), content)


DAMAGES = {
    "cut": lambda content: content[: len(content) // 2],
    "zeroed": lambda content: bytes(len(content)),
    "another digit": _other_digit,
}


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("kept", ["sources", "findings", "statistics"])
@pytest.mark.parametrize("damage", ["cut", "zeroed", "another digit"])
def test_what_is_kept_of_cases_is_made_again_when_it_is_damaged(hospital, kept, damage):
    def answers():
        return [
            statistics(hospital).histogram("volume_wt"),
            readiness(hospital).model_dump(exclude={"hardware"}),
        ]

    before = answers()
    for path in (hospital.cache_dir / kept).iterdir():
        content = path.read_bytes()
        path.write_bytes(DAMAGES[damage](content))
    assert set(opened(hospital, statistics)) == set(FILES)
    assert answers() == before
    assert opened(hospital, statistics) == Counter()
