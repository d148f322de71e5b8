"""What one learns by comparing two jobs at one hospital: never about fewer patients than its minimum."""

import json
import shutil

import numpy as np
import pytest
from data.hospital import NAMES_2023, Hospital
from learning.tiny import LEARNING, site

from consilium.data.checks import CheckedCohort
from consilium.errors import ConfigurationError, SiteRefusal
from consilium.federation.site.assessment import assess
from consilium.participant.case_admission import examine_cases
from consilium.participant.patient_register import REGISTER_FILE
from consilium.participant.site_data import prepare_site
from consilium.participant.statistics import gather_statistics
from consilium.tasks import get_task, parse_learning

MINIMUM = 3
TWO = ("train", "validation")
TASK = get_task("brain_tumor")
PATIENTS = [f"BraTS-GLI-{number:05}" for number in range(12)]


@pytest.fixture
def hospital(tmp_path):
    """Twelve patients; half of them to validate on."""
    settings = site(
        tmp_path,
        [],
        min_training_patients=MINIMUM,
        min_count=MINIMUM,
        validation_fraction=0.5,
        label_convention="brats-2018",
        max_left_out=1.0,
    )
    for patient in PATIENTS:
        write(settings, f"{patient}-100")
    return settings


def write(settings, case, **options):
    return Hospital(settings.dataset).brats(case, names=NAMES_2023, **options)


def prepared(settings, **job):
    return prepare_site(settings, LEARNING.model_copy(update={"local_steps": 6, **job}))


def evaluated(settings, **job):
    """The cases that the scores of a job are means over, by patient."""
    return {case.id: case.patient for case in prepared(settings, **job).validation}


def described(settings, min_count=1):
    """The statistics that a job with this minimum gets."""
    return gather_statistics(
        settings, TASK, min_count=min_count, progress=lambda *told: None, cancelled=lambda: False
    )


def readiness(settings):
    checked: CheckedCohort = examine_cases(settings, TASK)
    return assess(checked, settings, LEARNING, {})


def isolated(first, second):
    """How many patients are left when two answers are subtracted, each way."""
    return {
        len({one[case] for case in one.keys() - other.keys()})
        for one, other in ((first, second), (second, first))
    }


def patient_on(settings, side):
    return getattr(prepared(settings), side)[0].patient


def add(settings):
    write(settings, "BraTS-GLI-99999-100")


def add_two(settings):
    add(settings)
    write(settings, "BraTS-GLI-88888-100")


def remove_validated(settings):
    shutil.rmtree(settings.dataset / f"{patient_on(settings, 'validation')}-100")


def remove_trained(settings):
    shutil.rmtree(settings.dataset / f"{patient_on(settings, 'train')}-100")


def damage_validated(settings):
    path = settings.dataset / f"{patient_on(settings, 'validation')}-100"
    (image,) = path.glob("*-t2f.nii.gz")
    image.write_bytes(image.read_bytes()[:60])


def remove_label_of_validated(settings):
    (label,) = (settings.dataset / f"{patient_on(settings, 'validation')}-100").glob("*-seg.nii.gz")
    label.unlink()


def examine_validated_again(settings):
    write(settings, f"{patient_on(settings, 'validation')}-101")


def rename_validated(settings):
    remove_validated(settings)
    add(settings)


def clear_the_cache(settings):
    shutil.rmtree(settings.cache_dir)


CHANGES = [
    add,
    add_two,
    remove_validated,
    remove_trained,
    damage_validated,
    remove_label_of_validated,
    examine_validated_again,
    rename_validated,
    clear_the_cache,
]


@pytest.mark.parametrize("change", CHANGES)
def test_scores_of_two_jobs_can_t_be_subtracted(hospital, change):
    before = evaluated(hospital)
    assert len(before) == 6
    change(hospital)
    after = evaluated(hospital)
    assert isolated(before, after) <= {0, *range(MINIMUM, 13)}
    assert len(after) in (3, 6)


@pytest.mark.parametrize("change", CHANGES)
def test_nobody_changes_sides(hospital, change):
    before = {case.patient for case in prepared(hospital).train}
    change(hospital)
    data = prepared(hospital)
    assert not before & {case.patient for case in data.validation}
    assert not {case.patient for case in data.train} & {*PATIENTS} - before


@pytest.mark.parametrize(
    "job",
    [
        {"seed": 1},
        {"seed": 2**31 - 1},
        {"spacing_mm": 2.0},
        {"spacing_mm": 8.0},
        {"network": "segresnet"},
        {"batch_size": 4},
        {"local_steps": None, "local_epochs": 3.0},
        {"foreground_share": 1.0},
    ],
)
def test_no_setting_of_a_job_moves_the_border(hospital, job):
    data, other = prepared(hospital), prepared(hospital, **job)
    for side in ("train", "validation"):
        assert [case.id for case in getattr(data, side)] == [case.id for case in getattr(other, side)]


@pytest.mark.parametrize("name", ["validation_fraction", "split_salt", "min_count", "min_training_patients"])
def test_a_job_that_names_a_border_is_refused(name):
    with pytest.raises(ConfigurationError, match=f"{name}: no such setting"):
        parse_learning({"task": "brain_tumor", name: 0.34}, source="job")


def test_no_two_jobs_draw_the_same_patches(hospital):
    """Two that differ by a step would otherwise train on the same patches but for one of them."""
    own = hospital.model_copy(update={"split_salt": None})

    def draw(run="a job", **job):
        return prepare_site(own, LEARNING.model_copy(update={"local_steps": 6, **job}), run=run).draw_seed

    first = draw()
    assert first == draw()  # a round that is repeated after a crash is the same round
    changed = [draw(local_steps=7), draw(seed=9), draw(learning_rate=0.1), draw("another job")]
    add(hospital)
    add_two(hospital)
    changed.append(draw())
    assert len({first, *changed}) == 6


def test_newcomers_are_evaluated_on_together(hospital):
    before, sizes = evaluated(hospital), []
    for number in range(10):
        write(hospital, f"BraTS-GLI-{number + 500:05}-100")
        sizes.append(len(evaluated(hospital)))
    assert sizes == sorted(sizes)
    assert set(np.diff([len(before), *sizes])) <= {0, *range(MINIMUM, 2 * MINIMUM)}
    assert sizes[-1] > len(before)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("minimum", [1, 2, MINIMUM])
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
    told = []
    for patient in PATIENTS[:7]:
        (image,) = (hospital.dataset / f"{patient}-100").glob("*-t2f.nii.gz")
        image.unlink()
        told.append(readiness(hospital).left_out["missing_image"])
    assert told == [None, None, 3, 3, 3, 6, 6]
    assert described(hospital).left_out == {"missing_image": 6}  # the same question of another job
    told = []
    for patient in PATIENTS[:2]:
        shutil.rmtree(hospital.dataset / f"{patient}-100")
        told.append(readiness(hospital).left_out["missing_image"])
    assert told[-1] == 3


def test_a_hospital_that_changes_its_role_is_compared_as_well(hospital):
    before = evaluated(hospital)
    alone = hospital.model_copy(update={"role": "evaluates"})
    during = evaluated(alone)
    assert len(during) == len(PATIENTS)
    add(hospital)
    after, again = evaluated(alone), evaluated(hospital)
    for first, second in ((before, during), (during, after), (after, again), (before, again)):
        assert isolated(first, second) <= {0, *range(MINIMUM, 13)}


def sides(settings):
    data = prepared(settings)
    return {case.id: side for side in ("train", "validation") for case in getattr(data, side)}


def test_cases_of_both_sides_that_are_declared_one_patient_are_trained_on(hospital, tmp_path):
    before = sides(hospital)
    trained, validated = (min(case for case in before if before[case] == side) for side in TWO)
    file = tmp_path / "patients.csv"
    file.write_text(f"case,patient\n{trained},one person\n{validated},one person\n")
    declared = hospital.model_copy(update={"patients_file": file})
    data = prepared(declared)
    assert [case.id for case in data.train if case.patient == "one person"] == sorted([trained, validated])
    assert not {case.patient for case in data.train} & {case.patient for case in data.validation}
    after = sides(declared)
    # The group that was scored with it waits; everybody else stays where they were.
    assert {case for case in after if after[case] == "validation"} < {
        case for case in before if before[case] == "validation"
    }
    assert all(after[case] == "train" for case in before if before[case] == "train")
    assert sides(hospital)[validated] == "train"  # also when the hospital takes it back


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
