import pytest
from data.hospital import MODALITIES, NAMES_2023, Hospital
from learning.tiny import LEARNING, site

from consilium.errors import Cancelled, DataError, SiteRefusal
from consilium.participant.site_data import prepare_site
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings


def ids(cases):
    return [case.id for case in cases]


def test_a_site_trains_on_some_patients_and_validates_on_others(tmp_path):
    data = prepare_site(site(tmp_path, ["P1", "P2", "P3", "P4", "P5"]), LEARNING)
    assert data.role == "trains"
    assert (len(data.train), len(data.validation)) == (3, 2)
    assert sorted(ids(data.train) + ids(data.validation)) == ["P1", "P2", "P3", "P4", "P5"]


def test_simulated_sites_draw_differently_and_a_simulation_repeats(tmp_path):
    """They share the salt and the job's seed, and may even have patients of the same names."""
    settings = site(tmp_path)
    seeds = [prepare_site(settings, LEARNING, name=name).draw_seed for name in ("north", "south", "north")]
    assert seeds[0] == seeds[2] != seeds[1]
    other = LEARNING.model_copy(update={"seed": LEARNING.seed + 1})
    assert prepare_site(settings, other, name="north").draw_seed != seeds[0]


def test_a_site_that_only_evaluates_does_so_with_all_patients(tmp_path):
    data = prepare_site(site(tmp_path, ["P1", "P2", "P3"], role="evaluates"), LEARNING)
    assert data.role == "evaluates"
    assert ids(data.test) == ["P1", "P2", "P3"]
    assert (data.train, data.validation) == ((), ())


def test_a_single_patient_only_evaluates(tmp_path):
    data = prepare_site(site(tmp_path, ["P1"]), LEARNING)
    assert data.role == "evaluates"
    assert ids(data.validation) == ["P1"]


@pytest.mark.long
def test_a_new_examination_of_a_patient_whose_trained_one_is_unreadable_is_trained_on(tmp_path):
    patients = ["P1", "P2", "P3", "P4", "P5"]
    settings = site(tmp_path, patients, split_salt=None, max_left_out=0.5)
    before = prepare_site(settings, LEARNING)
    trained = ids(before.train)[0]
    damaged = settings.dataset / trained / f"{trained}_t1.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:40])
    (lost,) = settings.dataset.glob(f"{ids(before.validation)[0]}/*_t1.nii.gz")  # validation lacks one now
    lost.write_bytes(lost.read_bytes()[:40])
    declared = tmp_path / "patients.csv"
    now = settings.model_copy(update={"patients_file": declared})
    declared.write_text(f"case,patient\n{trained},X\nnew,X\n")
    Hospital(settings.dataset).brats("new")
    assert "new" in ids(prepare_site(now, LEARNING).train)


def test_what_is_left_out_is_counted_by_reason(tmp_path):
    settings = site(tmp_path, ["P1", "P2"], max_left_out=0.7)
    hospital = Hospital(settings.dataset)
    hospital.brats("P3", without=("flair",))
    hospital.brats("P4", without=("t1", "t2"))
    hospital.brats("P5", values=(0, 1, 7))
    damaged = hospital.brats("P6") / "P6_t1.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:40])
    data = prepare_site(settings, LEARNING)
    assert sorted(ids(data.train) + ids(data.validation)) == ["P1", "P2"]
    assert data.left_out == {"bad_label_value": 1, "missing_image": 2, "truncated": 1}
    assert list(data.left_out) == sorted(data.left_out)
    assert "P3" not in repr(data)  # so that a log line of the object names no patient


@pytest.mark.parametrize("role", ["trains", "evaluates"])
def test_a_site_without_a_usable_case_declines_with_counts_and_codes_only(tmp_path, role):
    settings = site(tmp_path / "Ward-7", [], role=role)
    hospital = Hospital(settings.dataset)
    for patient in ("Doe-Jane", "Doe-John"):
        hospital.brats(patient, values=(0, 7))
    hospital.brats("Roe-Rick", without=("t1",))
    hospital.brats("Poe-Pia", values=None)
    with pytest.raises(SiteRefusal) as caught:
        prepare_site(settings, LEARNING)
    reason = caught.value.public_reason
    assert reason == (
        "no usable labeled case: 1 without a label; left out: 2 bad_label_value, 1 missing_image"
    )
    for private in ("Doe", "Roe", "Poe", "Ward", "/", ".nii"):
        assert private not in reason
    for patient, code in (("Doe-Jane", "bad_label_value"), ("Roe-Rick", "missing_image")):
        assert f"case {patient} is left out: {code}" in str(caught.value)  # for the site's own log


def test_a_refusal_states_no_count_below_the_sites_minimum(tmp_path):
    settings = site(tmp_path, [], min_count=2)
    hospital = Hospital(settings.dataset)
    for patient in ("P1", "P2"):
        hospital.brats(patient, values=(0, 7))
    hospital.brats("P3", without=("t1",))
    hospital.brats("P4", values=None)
    with pytest.raises(SiteRefusal) as caught:
        prepare_site(settings, LEARNING)
    assert caught.value.public_reason == (
        "no usable labeled case: few without a label; left out: 2 bad_label_value, few missing_image"
    )


def test_what_leaves_the_site_has_no_count_below_its_minimum(tmp_path):
    settings = site(tmp_path, ["P1", "P2", "P3", "P4", "P5"], min_count=2)
    Hospital(settings.dataset).brats("P6", without=("flair",))
    data = prepare_site(settings, LEARNING)
    assert (len(data.train), len(data.validation)) == (3, 2)
    assert data.left_out == {"missing_image": None}


@pytest.mark.parametrize("role", ["trains", "evaluates"])
def test_a_site_takes_no_part_with_fewer_patients_than_anything_may_be_of(tmp_path, role):
    settings = site(tmp_path, ["P1", "P2", "P3"], role=role, min_training_patients=4)
    with pytest.raises(SiteRefusal, match="fewer than 4 patients") as caught:
        prepare_site(settings, LEARNING)
    assert "3" not in caught.value.public_reason


def test_patients_count_and_not_their_examinations(tmp_path):
    settings = site(tmp_path, [], min_training_patients=3, label_convention="brats-2018")
    for patient in ("00001", "00002"):
        for visit in range(4):
            Hospital(settings.dataset).brats(f"BraTS-GLI-{patient}-10{visit}", names=NAMES_2023)
    with pytest.raises(SiteRefusal, match="fewer than 3 patients"):
        prepare_site(settings, LEARNING)
    with pytest.raises(SiteRefusal, match="fewer than 3 patients"):
        prepare_site(settings.model_copy(update={"role": "evaluates"}), LEARNING)


def test_a_site_with_few_patients_trains_on_all(tmp_path):
    settings = site(tmp_path, ["P1", "P2", "P3", "P4", "P5"], min_training_patients=3, test_fraction=0.4)
    data = prepare_site(settings, LEARNING.model_copy(update={"local_steps": 3}))
    assert (data.role, len(data.train), data.validated, data.tested) == ("trains", 5, 0, 0)


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("patients", [1, 2, 3, 4])
def test_a_site_with_one_to_four_patients_trains_if_the_hospital_wants_and_has_no_scores(tmp_path, patients):
    names = [f"P{number}" for number in range(patients)]
    settings = site(tmp_path, names, min_training_patients=3, min_update_patients=1, test_fraction=0.2)
    data = prepare_site(settings, LEARNING)
    assert (data.role, len(data.train), data.validated, data.tested) == ("trains", patients, 0, 0)
    if patients < 3:
        with pytest.raises(SiteRefusal, match="fewer than 3 patients"):
            prepare_site(settings.model_copy(update={"min_update_patients": None}), LEARNING)


def test_a_site_with_few_patients_to_validate_on_trains_and_keeps_their_scores(tmp_path):
    settings = site(tmp_path, ["P1", "P2", "P3", "P4", "P5"])
    prepare_site(settings, LEARNING)
    settings = settings.model_copy(update={"min_training_patients": 3})
    data = prepare_site(settings, LEARNING.model_copy(update={"local_steps": 3}))
    assert (data.role, len(data.train), data.validation, data.held_back) == ("trains", 3, (), 2)
    assert data.validated is None


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    "job",
    [
        {"local_steps": 2},
        {"local_steps": 1, "batch_size": 2},
        {"local_steps": None, "local_epochs": 0.3},
        {"local_steps": None, "local_epochs": 1, "batch_size": 64},
    ],
)
def test_a_job_that_trains_on_few_patients_a_round_is_rejected_before_it_does(tmp_path, job):
    settings = site(tmp_path, ["P1", "P2", "P3", "P4", "P5", "P6"], min_training_patients=3)
    learning = BrainTumorSettings.model_validate(LEARNING.model_dump() | job)
    if learning.steps_per_round(4) * learning.batch_size >= 3:
        assert prepare_site(settings, learning).role == "trains"
        return
    with pytest.raises(SiteRefusal, match="too few patients a round"):
        prepare_site(settings, learning)
    evaluates = settings.model_copy(update={"role": "evaluates", "state_dir": tmp_path / "new state"})
    assert prepare_site(evaluates, learning).role == "evaluates"


def test_a_site_that_only_evaluates_from_now_on_leaves_out_whom_it_trained_on(tmp_path):
    settings = site(tmp_path, ["P1", "P2", "P3", "P4"], test_fraction=0.3)
    before = prepare_site(settings, LEARNING)
    data = prepare_site(settings.model_copy(update={"role": "evaluates"}), LEARNING)
    assert data.evaluated_cases == before.test
    assert data.trained_before == len(before.train) + len(before.validation) == 3
    assert data.usable == 4


def test_a_missing_or_empty_folder_is_named_to_the_hospital(tmp_path):
    settings = site(tmp_path, [])
    for folder in (settings.dataset, tmp_path / "nowhere"):
        with pytest.raises(SiteRefusal, match=folder.name) as caught:
            prepare_site(settings.model_copy(update={"dataset": folder}), LEARNING)
        assert str(tmp_path) not in caught.value.public_reason


def test_preparing_can_be_cancelled(tmp_path):
    with pytest.raises(Cancelled):
        prepare_site(site(tmp_path), LEARNING, cancelled=lambda: True)


def test_the_cache_is_bounded_by_the_site(tmp_path):
    with pytest.raises(DataError, match="cache_gib"):
        prepare_site(site(tmp_path, cache_gib=1e-6), LEARNING)


def test_a_job_decides_the_voxels_that_the_network_sees(tmp_path):
    settings = site(tmp_path)
    coarse = LEARNING.model_copy(update={"spacing_mm": (2.0, 2.0, 2.0)})
    fine, halved = (prepare_site(settings, one).train[0].image.shape for one in (LEARNING, coarse))
    assert fine[0] == halved[0] == len(MODALITIES)
    assert all(abs(a / 2 - b) <= 1 for a, b in zip(fine[1:], halved[1:], strict=True))
