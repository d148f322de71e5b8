import pytest
from data.hospital import Hospital

from consilium.participant.site_cases import examine_cases
from consilium.participant.site_settings import SiteSettings
from consilium.site_check.dataset import check_dataset
from consilium.site_check.finding import Status
from consilium.site_check.folder import check_folder, default_state
from consilium.site_check.job import load_site_job
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.label_conventions import LabelConvention


@pytest.fixture
def hospital(tmp_path):
    return Hospital(tmp_path / "data")


@pytest.fixture
def state(tmp_path, monkeypatch):
    """Where `consilium check` keeps what it finds."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return default_state()


@pytest.fixture
def checked_data(hospital, job, state, tmp_path):
    """Check the hospital's folder; returns the findings and the cohort."""

    def check(**settings):
        settings = {
            "min_training_patients": 1,
            "cache_dir": tmp_path / "no cache",
            "state_dir": tmp_path / "state",
            **settings,
        }
        return check_dataset(SiteSettings(dataset=hospital.folder, **settings), job.learning)

    return check


@pytest.fixture
def look(hospital, job, state):
    """Type `consilium check DIR` as the site's account."""
    return lambda: check_folder(hospital.folder, job, state=state)


def test_cases_are_counted_and_the_convention_is_said(hospital, checked_data, look):
    for name in ("a", "b"):
        hospital.brats(name)
    hospital.brats("c", values=None)
    look()
    (cases, labels), cohort = checked_data()
    assert cases.status is Status.OK
    assert "every case was checked" in cases.seen
    assert cases.data == {
        "layout": cohort.layout,
        "checked": True,
        "cases": 3,
        "labeled": 2,
        "labeled_patients": 2,
        "left_out": {},
    }
    assert labels.seen == "brats-2018, found from names and values"
    assert "said in" in checked_data(label_convention=LabelConvention.BRATS_2018)[0][1].seen


def test_images_that_nobody_looked_at_are_no_reason_to_be_sure(hospital, checked_data, refused, look):
    for name in ("a", "b"):
        hospital.brats(name)
    cases = checked_data()[0][0]
    refused(cases, "2 labeled cases of 2 patients", "consilium check DIR", Status.WARNING)
    assert "images NOT checked" in cases.seen
    assert cases.data["checked"] is False
    assert cases.details == (f"consilium check {hospital.folder}",)
    look()
    assert checked_data()[0][0].data["checked"] is True
    hospital.brats("c")  # new since then
    assert checked_data()[0][0].data["checked"] is False


def test_cases_count_as_a_job_would_count_them_once_they_were_checked(hospital, checked_data, refused, look):
    for name in ("a", "b", "c"):
        hospital.brats(name)
    path = hospital.folder / "c/c_t2.nii.gz"
    path.write_bytes(path.read_bytes()[:40])
    assert checked_data()[0][0].data["labeled"] == 3  # by name and label
    look()
    (cases, _), cohort = checked_data()
    assert (cases.data["labeled"], cases.data["left_out"]) == (2, {"truncated": 1})
    refused(cases, "left out: 1 truncated", "Copy the file", Status.WARNING)
    assert [case.id for case in cohort.cases] == ["a", "b"]
    refused(checked_data(max_left_out=0.1)[0][0], "A job would be declined: more than 10%", "Copy the file")
    strict = checked_data(min_training_patients=3)[0][0]
    refused(strict, "A job would be declined: its update would be of fewer than 3 patients", "truncated")


def test_what_a_job_found_in_the_same_files_counts_as_well(hospital, checked_data, job, tmp_path):
    for name in ("a", "b"):
        hospital.brats(name)
    site = SiteSettings(dataset=hospital.folder, cache_dir=tmp_path / "cache")
    examine_cases(site, get_task(job.learning.task).cases)
    assert checked_data(cache_dir=site.cache_dir)[0][0].status is Status.OK
    assert checked_data()[0][0].status is Status.WARNING


def test_bad_cases_are_counted_by_code_and_named_only_apart(hospital, checked_data, refused):
    for name in ("a", "b"):
        hospital.brats(name)
    hospital.brats("mueller-1950", without=["t1"])
    cases = checked_data()[0][0]
    refused(cases, "left out: 1 missing_image", "Add the missing image", Status.WARNING)
    assert cases.data["left_out"] == {"missing_image": 1}
    assert "mueller-1950" in cases.cases[0]
    assert "mueller" not in cases.seen + cases.remedy + str(cases.data) + str(cases.details)


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_a_folder_that_can_t_be_used_is_rejected(hospital, checked_data, refused, folder):
    if folder == "empty":
        hospital.folder.mkdir()
    (cases, labels), cohort = checked_data()
    refused(cases, "as a whole can't be used", "local/privacy.json")
    assert str(hospital.folder) in cases.details[0]
    assert str(hospital.folder) not in cases.seen + cases.remedy
    assert (labels.status, cohort) == (Status.SKIPPED, None)


def test_without_labels_a_site_can_neither_train_nor_evaluate(hospital, checked_data, refused):
    hospital.brats("a", values=None)
    (cases, labels), _ = checked_data()
    refused(cases, "0 labeled cases", "add labels")
    assert labels.status is Status.SKIPPED


def test_one_patient_can_only_evaluate(hospital, checked_data, refused, look):
    hospital.brats("a")
    look()
    refused(checked_data()[0][0], "will only evaluate", "more patients", Status.WARNING)
    assert checked_data(role="evaluates")[0][0].status is Status.OK


def test_progress_is_reported(hospital, job, state):
    hospital.brats("a")
    reported = []
    check_dataset(
        SiteSettings(dataset=hospital.folder),
        job.learning,
        progress=lambda done, total, what: reported.append((done, total, what)),
    )
    assert reported == [(1, 1, "reading labels")]


def test_a_site_that_would_send_no_score_is_warned_with_the_setting_and_the_numbers(
    hospital, checked_data, refused, look
):
    for name in "abcde":
        hospital.brats(name)
    said = (
        "with 0 validation patients and 0 test patients, each set has fewer than 3, its min_training_patients"
    )
    unchecked = checked_data(min_training_patients=3)[0][0]
    refused(unchecked, said, "test_fraction", Status.WARNING)
    look()
    refused(checked_data(min_training_patients=3)[0][0], said, "role evaluates", Status.WARNING)
    hospital.brats("f")
    look()
    cases = checked_data(min_training_patients=3)[0][0]
    assert cases.status is Status.OK
    assert "to report on: 3" in cases.seen


def test_a_missing_image_is_named_and_the_hospital_asked_to_agree(hospital, checked_data, job):
    for name in ("a", "b", "c"):
        hospital.brats(name, without=("t1",))
    cases = checked_data()[0][0]
    assert cases.status is Status.FAILED
    assert "left out: 3 missing_image (missing: 3 t1)" in cases.seen
    assert "missing_inputs in its settings" in cases.remedy


def test_cases_without_an_image_count_once_the_hospital_agreed_and_the_job_can_use_them(
    hospital, job, state, tmp_path
):
    for name in ("a", "b", "c"):
        hospital.brats(name, without=("t1",))
    site = SiteSettings(
        dataset=hospital.folder, missing_inputs=("t1",), min_training_patients=1, state_dir=tmp_path / "state"
    )
    learning = job.learning.model_copy(update={"modality_dropout": 0.2})
    (cases, _), _ = check_dataset(site, learning)
    assert cases.data["labeled"] == 3
    command = f"consilium check {hospital.folder} --missing t1 --set learning.modality_dropout=0.2"
    assert cases.details == (command,)
    assert check_dataset(site, job.learning)[0][0].data["labeled"] == 0
    learns = load_site_job("brain_tumor_fedavg", changes={"learning.modality_dropout": 0.2})
    without = check_folder(hospital.folder, learns, state=state)
    assert without.verdict == "not_usable"
    (declined,) = [one.detail for one in without.findings if one.code.value == "job_declined"]
    assert "The job takes it once it agrees" in declined
    assert "--missing IMAGE" in declined
    assert check_folder(hospital.folder, learns, state=state, missing_inputs=["t1"]).verdict == "ready"
    assert check_dataset(site, learning)[0][0].data["checked"] is True  # by this command


def test_a_declined_job_fails_before_and_after_images_were_looked_at_and_names_no_case(
    hospital, job, state, refused, tmp_path
):
    for name in ("mueller", "rossi", "smith"):
        hospital.brats(name, without=("t1",))
    site = SiteSettings(
        dataset=hospital.folder, missing_inputs=("t1",), min_training_patients=1, state_dir=tmp_path / "state"
    )
    for _ in range(2):
        cases = check_dataset(site, job.learning, job.algorithm)[0][0]
        refused(cases, "this job's model doesn't learn to do without", "learning.modality_dropout above 0")
        assert not any(name in f"{cases.seen}{cases.remedy}" for name in ("mueller", "rossi", "smith"))
        check_folder(hospital.folder, job, state=state, missing_inputs=["t1"])


def test_too_few_patients_and_too_many_left_out_fail_before_images_were_looked_at(
    hospital, checked_data, refused
):
    for name in ("a", "b"):
        hospital.brats(name)
    refused(checked_data(min_training_patients=3)[0][0], "A job would be declined: its update", "add labels")
    for name in ("c", "d", "e"):
        hospital.brats(name, without=("t2",))
    refused(checked_data()[0][0], "A job would be declined: more than 50%", "Add the missing image")


def test_labels_without_a_region_fail_a_job_of_secure_aggregation(hospital, state, refused, tmp_path):
    for name in ("a", "b", "c"):
        hospital.brats(name, (0, 1, 2))
    site = SiteSettings(
        dataset=hospital.folder,
        missing_targets=("et",),
        label_convention="brats-2018",
        min_training_patients=1,
        state_dir=tmp_path / "state",
    )
    sums = load_site_job("brain_tumor_fedavg_secagg")
    cases = check_dataset(site, sums.learning, sums.algorithm)[0][0]
    refused(cases, "its labels lack et, and the sums", "Jobs that take this hospital: brain_tumor_fedavg,")


def test_labels_without_a_region_are_asked_about_and_stated_once_the_hospital_agreed(hospital, job, tmp_path):
    for name in ("a", "b", "c"):
        hospital.brats(name, (0, 1, 2))
    site = SiteSettings(dataset=hospital.folder, min_training_patients=1, state_dir=tmp_path / "state")
    (_, labels), _ = check_dataset(site, job.learning)
    assert "agree to train without it: missing_targets" in labels.remedy
    assert "of tc, wt, et" in labels.remedy
    agreed = site.model_copy(update={"missing_targets": ("et",), "label_convention": "brats-2018"})
    (_, labels), _ = check_dataset(agreed, job.learning)
    assert "Without et, as the hospital agrees in missing_targets" in labels.seen
    assert "it trains and scores tc and wt only" in labels.seen
    assert labels.data["missing_targets"] == ["et"]
    assert "agree to train without it" not in (labels.remedy or "")
    (cases, _), _ = check_dataset(agreed, job.learning)
    assert cases.details == (f"consilium check {hospital.folder} --convention brats-2018 --missing et",)
