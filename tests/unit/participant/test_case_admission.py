"""Hospitals that lack an image: who agrees to what, and which jobs use their cases."""

import numpy as np
import pytest
from data.hospital import Hospital
from learning.tiny import site

from consilium.data.codes import DataCode
from consilium.errors import ConfigurationError, RefusalCode, SiteRefusal
from consilium.federation.site.assessment import assess
from consilium.participant.case_admission import site_case_format
from consilium.participant.site_cases import examine_cases
from consilium.participant.site_data import prepare_site
from consilium.participant.site_settings import SiteSettings
from consilium.participant.statistics import gather_statistics
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

PLAIN = BrainTumorSettings(patch_voxels=(16, 16, 16), spacing_mm=1.0)
DROPOUT = PLAIN.model_copy(update={"modality_dropout": 0.25})
TASK = get_task("brain_tumor")


@pytest.fixture
def without_t1(tmp_path):
    """A hospital without T1 that has agreed to do without."""
    settings = site(tmp_path, [], missing_inputs=("t1",))
    for name in ("P1", "P2", "P3", "P4"):
        Hospital(settings.dataset).brats(name, without=("t1",))
    return settings


def disagreeing(settings):
    return settings.model_copy(update={"missing_inputs": ()})


def test_a_hospital_without_an_image_takes_part_in_a_job_that_learns_to_do_without(without_t1):
    data = prepare_site(without_t1, DROPOUT)
    cases = (*data.train, *data.validation)
    assert len(cases) == 4
    assert data.left_out == {}
    for case in cases:
        image = np.asarray(case.image)
        assert not image[0].any()
        assert all(channel.any() for channel in image[1:])


def test_nothing_is_used_without_the_hospitals_agreement(without_t1):
    with pytest.raises(SiteRefusal) as refused:
        prepare_site(disagreeing(without_t1), DROPOUT)
    assert refused.value.code is RefusalCode.MISSING_INPUTS
    assert 'to agree: "missing_inputs"' in str(refused.value)
    assert "P1" not in refused.value.public_reason
    with pytest.raises(SiteRefusal) as refused:
        prepare_site(disagreeing(without_t1), PLAIN)
    assert refused.value.code is RefusalCode.NO_LABELED_CASE


def test_a_job_that_does_not_learn_to_do_without_is_declined_with_the_reason(without_t1):
    with pytest.raises(
        SiteRefusal, match="it has cases without t1, and this job's model doesn't learn"
    ) as refused:
        prepare_site(without_t1, PLAIN)
    assert refused.value.code is RefusalCode.MISSING_INPUTS
    assert "P1" not in refused.value.public_reason
    checked = examine_cases(without_t1, site_case_format(without_t1, TASK, PLAIN))
    answer = assess(checked, without_t1, PLAIN, {})
    assert (answer.can, answer.code) == ("nothing", RefusalCode.MISSING_INPUTS)


def test_a_hospital_with_enough_whole_cases_trains_on_them_in_any_job(without_t1):
    for name in ("W1", "W2", "W3", "W4", "W5"):
        Hospital(without_t1.dataset).brats(name)
    data = prepare_site(without_t1, PLAIN)
    assert {case.id[0] for case in (*data.train, *data.validation)} == {"W"}
    assert data.left_out == {"missing_image": 4}
    both = prepare_site(without_t1, DROPOUT)
    assert len(both.train) + len(both.validation) == 9


def test_an_image_that_the_hospital_did_not_name_is_still_an_error(without_t1):
    Hospital(without_t1.dataset).brats("Q", without=("t1", "t2"))
    checked = examine_cases(without_t1, site_case_format(without_t1, TASK, DROPOUT))
    assert [(one.case_id, one.code) for one in checked.cohort.problems] == [("Q", DataCode.MISSING_IMAGE)]
    absent = [one for one in checked.findings if one.code is DataCode.ABSENT_IMAGE]
    assert [(one.case_id, one.image) for one in absent] == [(f"P{number}", "t1") for number in range(1, 5)]


def test_a_finding_of_one_job_is_none_of_another(without_t1):
    """Both jobs keep their findings in one folder, under keys of the same files."""
    for learning, used in ((PLAIN, 0), (DROPOUT, 4), (PLAIN, 0)):
        checked = examine_cases(without_t1, site_case_format(without_t1, TASK, learning))
        assert len(checked.cohort.cases) == used


def test_statistics_describe_the_images_that_there_are(without_t1):
    statistics = gather_statistics(without_t1, TASK, progress=lambda *step: None, cancelled=lambda: False)
    assert statistics.patients == 4
    assert statistics.count("intensity_t2") == 4
    assert statistics.count("intensity_t1") == 0


@pytest.mark.parametrize("places", [{}, {"tasks": {"brain_tumor": {"missing_inputs": ["adc"]}}}])
def test_a_name_that_is_no_image_of_the_task_is_an_error_at_once(tmp_path, places):
    own = places or {"missing_inputs": ["adc"]}
    with pytest.raises(ConfigurationError, match="no image named adc; known: t1, t1ce, t2, flair"):
        SiteSettings.parse({"dataset": tmp_path, **own}, source="privacy.json")
