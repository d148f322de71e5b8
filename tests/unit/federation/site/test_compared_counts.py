"""What the counts of two jobs at one hospital show: nothing about fewer patients than its minimum."""

import json
import shutil

import pytest

from consilium.errors import SiteRefusal
from consilium.participant.register_content import REGISTER_FILE

from .compared_jobs import (
    CHANGES,
    MINIMUM,
    PATIENTS,
    add,
    add_two,
    clear_the_cache,
    described,
    examine_validated_again,
    prepared,
    readiness,
    remove_label_of_validated,
    write,
)


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "minimum", [1, *(pytest.param(more, marks=pytest.mark.long) for more in (2, MINIMUM))]
)
def test_statistics_of_two_jobs_can_t_be_subtracted(hospital, change, minimum):
    """With a patient that has a mean of its own in every histogram, what changes is of whole groups."""
    before = described(hospital)
    change(hospital)
    after = described(hospital, minimum)
    assert after.minimum == MINIMUM
    for feature in ("intensity_t1", "volume_wt"):
        assert abs(after.count(feature) - before.count(feature)) in {0, *range(MINIMUM, 13)}
    if change in (add, add_two, examine_validated_again, remove_label_of_validated, clear_the_cache):
        assert after.histogram("intensity_t1") == before.histogram("intensity_t1")


@pytest.mark.long
def test_a_label_that_comes_later_is_described_with_others(hospital):
    for number in range(MINIMUM):
        write(hospital, f"BraTS-GLI-{number + 500:05}-100", values=None)
    first = described(hospital)
    assert (first.count("intensity_t1"), first.count("volume_wt")) == (15, 12)
    counts = []
    for number in range(MINIMUM):
        write(hospital, f"BraTS-GLI-{number + 500:05}-100")
        counts.append(described(hospital).count("volume_wt"))
    assert counts == [12, 12, 15]


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("change", CHANGES)
def test_counts_of_two_readiness_checks_can_t_be_subtracted(hospital, change):
    before = readiness(hospital)
    change(hospital)
    after = readiness(hospital)
    assert abs(after.usable_cases - before.usable_cases) in {0, *range(MINIMUM, 13)}
    assert not [count for count in after.left_out.values() if count is not None and count < MINIMUM]


def test_a_check_decides_for_nobody_whom_a_job_trains_on(hospital):
    """Some of the cases that it finds usable may fail when they are prepared."""
    readiness(hospital)
    remembered = json.loads((hospital.state_dir / REGISTER_FILE).read_text())
    assert (remembered["training"], remembered["validation"]) == ([], [])
    assert "usable" in remembered["groups"]
    assert "scores" not in remembered["groups"]


def test_counts_of_cases_left_out_move_by_enough_patients(hospital):
    reported = []
    for patient in PATIENTS[:7]:
        (image,) = (hospital.dataset / f"{patient}-100").glob("*-t2f.nii.gz")
        image.unlink()
        reported.append(readiness(hospital).left_out["missing_image"])
    assert reported == [None, None, 3, 3, 3, 6, 6]
    assert described(hospital).left_out == {"missing_image": 6}  # the same question of another job
    reported = []
    for patient in PATIENTS[:2]:
        shutil.rmtree(hospital.dataset / f"{patient}-100")
        reported.append(readiness(hospital).left_out["missing_image"])
    assert reported[-1] == 3


@pytest.mark.long
def test_declared_patients_are_what_is_counted(hospital, tmp_path):
    file = tmp_path / "patients.csv"
    lines = [f"{patient}-100,{'AB'[place % 2]}" for place, patient in enumerate(PATIENTS)]
    file.write_text("\n".join(["case,patient", *lines]))
    declared = hospital.model_copy(update={"patients_file": file})
    report = readiness(declared)
    assert (report.can, report.usable_cases, report.usable_patients, report.grid) == (
        "nothing",
        None,
        None,
        None,
    )
    with pytest.raises(SiteRefusal, match="fewer than 3 patients"):
        prepared(declared)
    assert described(declared).patients == 0
