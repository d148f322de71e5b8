"""Cases that are left out: named on the site, counted outside of it, and limited by the hospital."""

import json
import os

import pytest
from data.hospital import Hospital
from learning.tiny import site

from consilium.data.checks import check_cohort
from consilium.data.cohort import read_cohort
from consilium.errors import SiteRefusal
from consilium.participant.case_admission import admit_cases
from consilium.participant.site_data import prepare_site
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

LEARNING = BrainTumorSettings(patch_voxels=(16, 16, 16), spacing_mm=1.0)


@pytest.fixture
def hospital(tmp_path):
    """Four patients, one of them with a file that is cut off."""
    settings = site(tmp_path, ["P1", "P2", "P3"])
    damaged = Hospital(settings.dataset).brats("Doe-Jane") / "Doe-Jane_t1.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:40])
    return settings


def test_who_is_left_out_stands_in_a_file_of_the_site(hospital):
    data = prepare_site(hospital, LEARNING)
    kept = json.loads((hospital.cache_dir / "quarantine.json").read_text())
    assert kept["used"] == 3
    assert [(one["case"], one["code"]) for one in kept["left_out"]] == [("Doe-Jane", "truncated")]
    assert data.left_out == {"truncated": 1}


def test_training_leaves_out_exactly_what_the_check_calls_an_error(hospital, tmp_path):
    cohort = read_cohort(hospital.dataset, case_format=CASES)
    checked = check_cohort(cohort, case_format=CASES, folder=tmp_path / "other")
    data = prepare_site(hospital, LEARNING)
    assert checked.cohort.problems == data.problems
    assert {case.id for case in checked.cohort.cases} == {case.id for case in (*data.train, *data.validation)}


def test_a_site_declines_above_its_own_limit_with_counts_and_codes_only(hospital):
    strict = hospital.model_copy(update={"max_left_out": 0.2})
    with pytest.raises(SiteRefusal) as refused:
        prepare_site(strict, LEARNING)
    assert "1 truncated" in refused.value.public_reason
    assert "20%" in refused.value.public_reason
    assert "Doe" not in refused.value.public_reason
    assert "Doe" in str(refused.value)


def test_a_share_at_the_limit_is_allowed(hospital):
    assert prepare_site(hospital.model_copy(update={"max_left_out": 0.25}), LEARNING).left_out


def test_counts_below_the_sites_minimum_are_not_sent(hospital):
    strict = hospital.model_copy(update={"max_left_out": 0.2, "min_count": 3})
    with pytest.raises(SiteRefusal) as refused:
        prepare_site(strict, LEARNING)
    assert "few truncated" in refused.value.public_reason


def test_cases_whose_names_are_no_utf_8_are_used_and_the_damaged_one_is_named(tmp_path):
    names = [os.fsdecode(name) for name in (b"M\xfcller", b"S\xf8rensen", b"Garc\xeda", b"Nu\xf1ez")]
    settings = site(tmp_path, names)
    damaged = settings.dataset / names[0] / f"{names[0]}_t1.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:40])
    data = prepare_site(settings, LEARNING)
    (kept,) = json.loads((settings.cache_dir / "quarantine.json").read_text(encoding="utf-8"))["left_out"]
    assert kept["case"] == r"M\xfcller"
    assert r"M\xfcller_t1.nii.gz" in kept["detail"]
    assert {case.id for case in (*data.train, *data.validation)} == {
        r"S\xf8rensen",
        r"Garc\xeda",
        r"Nu\xf1ez",
    }
    assert all(case.image.shape[0] == 4 for case in data.train)


def test_an_accepted_finding_brings_the_case_into_training(hospital):
    Hospital(hospital.dataset).brats("Roe-John", values=(0,))
    assert prepare_site(hospital, LEARNING).left_out == {"truncated": 1, "empty_label": 1}
    accepted = hospital.state_dir / "accepted_findings.csv"
    (found,) = (
        one
        for one in admit_cases(hospital, get_task(LEARNING.task)).findings
        if one.code.value == "empty_label"
    )
    accepted.write_text(
        f"case,code,files,by,note\nRoe-John,empty_label,{found.files},Dr. Rossi,no tumor left\n"
    )
    data = prepare_site(hospital, LEARNING)
    assert data.left_out == {"truncated": 1}
    assert "Roe-John" in {case.id for case in (*data.train, *data.validation)}
    kept = json.loads((hospital.cache_dir / "quarantine.json").read_text())
    assert kept["accepted"] == [{"case": "Roe-John", "code": "empty_label"}]


def test_a_file_of_accepted_findings_that_can_not_be_used_is_rejected_without_naming_anybody(hospital):
    accepted = hospital.state_dir / "accepted_findings.csv"
    accepted.parent.mkdir(parents=True, exist_ok=True)
    accepted.write_text("case,code,files,by,note\nDoe-Jane,truncated,x1,Dr. Rossi,\n")
    with pytest.raises(SiteRefusal) as refused:
        prepare_site(hospital, LEARNING)
    assert "accepted findings" in refused.value.public_reason
    assert "Doe" not in str(refused.value)
    assert "can't be accepted" in str(refused.value)
