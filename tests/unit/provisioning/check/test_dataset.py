import pytest
from data.hospital import Hospital

from consilium.data.labels import LabelConvention
from consilium.learning.participant import SiteSettings
from consilium.provisioning.check.dataset import check_dataset
from consilium.provisioning.check.finding import Status


@pytest.fixture
def hospital(tmp_path):
    return Hospital(tmp_path / "data")


@pytest.fixture
def judged(hospital, job):
    """Check the hospital's folder; returns the findings and the cohort."""

    def check(**settings):
        return check_dataset(SiteSettings(dataset=hospital.folder, **settings), job.learning)

    return check


def test_cases_are_counted_and_the_convention_is_said(hospital, judged):
    for name in ("a", "b"):
        hospital.brats(name)
    hospital.brats("c", values=None)
    (cases, labels), cohort = judged()
    assert cases.status is Status.OK
    assert cases.data == {
        "layout": cohort.layout,
        "cases": 3,
        "labeled": 2,
        "labeled_patients": 2,
        "left_out": {},
    }
    assert labels.seen == "brats-2018, found from names and values"
    assert "said in" in judged(label_convention=LabelConvention.BRATS_2018)[0][1].seen


def test_bad_cases_are_counted_by_code_and_named_only_apart(hospital, judged, refused):
    for name in ("a", "b"):
        hospital.brats(name)
    hospital.brats("mueller-1950", without=["t1"])
    cases = judged()[0][0]
    refused(cases, "left out: 1 missing_modality", "Add the missing image", Status.WARNING)
    assert cases.data["left_out"] == {"missing_modality": 1}
    assert "mueller-1950" in cases.cases[0]
    assert "mueller" not in cases.seen + cases.remedy + str(cases.data) + str(cases.details)


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_a_folder_that_can_t_be_used_is_refused(hospital, judged, refused, folder):
    if folder == "empty":
        hospital.folder.mkdir()
    (cases, labels), cohort = judged()
    refused(cases, "as a whole can't be used", "local/privacy.json")
    assert str(hospital.folder) in cases.details[0]
    assert str(hospital.folder) not in cases.seen + cases.remedy
    assert (labels.status, cohort) == (Status.SKIPPED, None)


def test_without_labels_a_site_can_neither_train_nor_evaluate(hospital, judged, refused):
    hospital.brats("a", values=None)
    (cases, labels), _ = judged()
    refused(cases, "0 labeled cases", "add labels")
    assert labels.status is Status.SKIPPED


def test_one_patient_can_only_evaluate(hospital, judged, refused):
    hospital.brats("a")
    refused(judged()[0][0], "will only evaluate", "more patients", Status.WARNING)
    assert judged(role="evaluates")[0][0].status is Status.OK


def test_progress_is_told(hospital, job):
    hospital.brats("a")
    told = []
    check_dataset(
        SiteSettings(dataset=hospital.folder),
        job.learning,
        progress=lambda done, total, what: told.append((done, total, what)),
    )
    assert told == [(1, 1, "reading labels")]
