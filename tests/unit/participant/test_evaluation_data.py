"""Whom an evaluation is about: whole groups, large subgroups, and nothing that follows from two answers."""

from types import SimpleNamespace

import pytest
from data.hospital import NAMES_2023, Hospital
from learning.tiny import LEARNING, site

from consilium.errors import RefusalCode, SiteRefusal
from consilium.participant.evaluation_cases import allow_subgroup, select_evaluated
from consilium.participant.evaluation_data import BAD_SUBGROUPS, prepare_evaluation
from consilium.participant.register_files import open_register
from consilium.participant.site_data import prepare_site
from consilium.tasks import get_task
from participant.register import visits

MINIMUM = 3


@pytest.fixture
def decided(tmp_path):
    return SimpleNamespace(
        min_count=MINIMUM,
        min_training_patients=MINIMUM,
        role="evaluates",
        state_dir=tmp_path / "state",
        split_salt="a test",
        validation_fraction=0.25,
    )


def evaluated(decided, patients, job_minimum=1):
    with open_register(decided) as register:
        task = get_task("brain_tumor")
        chosen = select_evaluated(register, decided, task, visits(patients), job_minimum=job_minimum)
    return {one.patient for one in chosen.cases}


def allowed(decided, *parts):
    with open_register(decided) as register:
        return [allow_subgroup(register, decided, visits(part)) for part in parts]


def test_a_job_may_want_more_patients_and_never_fewer(decided):
    assert evaluated(decided, "ABCDEF", 6) == set("ABCDEF")
    assert evaluated(decided, "ABCDEF", 7) == set()
    assert evaluated(decided, "ABCDEF", 1) == set("ABCDEF")
    decided.state_dir = decided.state_dir.with_name("other")
    assert evaluated(decided, "AB", 1) == set()


def test_patients_who_come_are_evaluated_in_groups(decided):
    assert evaluated(decided, "ABCD") == set("ABCD")
    assert evaluated(decided, "ABCDE") == set("ABCD")
    assert evaluated(decided, "ABCDEFG") == set("ABCDEFG")


def test_large_subgroups_are_allowed_and_small_ones_never(decided):
    evaluated(decided, "ABCDEFGH")
    assert allowed(decided, "ABC", "DEFGH") == [True, True]
    assert allowed(decided, "AB", "A", "") == [False] * 3


def test_a_subgroup_with_a_small_rest_is_withheld(decided):
    evaluated(decided, "ABCDEFGH")
    assert allowed(decided, "ABCDEF", "GH") == [False, False]


def test_attributes_that_isolate_patients_together_are_withheld(decided):
    evaluated(decided, "ABCDEFGHIJKL")
    assert allowed(decided, "ABCDEF", "GHIJKL") == [True, True]
    assert allowed(decided, "ABCDE", "FGHIJKL") == [False, False]  # F follows from both attributes
    assert allowed(decided, "ABCGHI", "DEFJKL") == [True, True]


def test_a_file_that_changes_from_job_to_job_isolates_nobody(decided):
    evaluated(decided, "ABCDEFGHIJ")
    assert allowed(decided, "ABCDE", "FGHIJ") == [True, True]
    assert allowed(decided, "ABCDF", "EGHIJ") == [False, False]
    assert allowed(decided, "ABCDE", "FGHIJ") == [True, True]


@pytest.fixture
def hospital(tmp_path):
    settings = site(
        tmp_path, [], min_training_patients=MINIMUM, min_count=MINIMUM, validation_fraction=0.5,
        label_convention="brats-2018",
    )  # fmt: skip
    for number in range(12):
        Hospital(settings.dataset).brats(f"BraTS-GLI-{number:05}-100", names=NAMES_2023)
    return settings


def prepared(hospital, job_minimum=1):
    return prepare_evaluation(hospital, LEARNING, job_minimum=job_minimum)


def in_training(settings):
    return prepare_site(settings, LEARNING.model_copy(update={"local_steps": 6}))


@pytest.mark.long
def test_without_test_patients_models_are_evaluated_on_those_that_choose_one(hospital):
    training, found = in_training(hospital), prepared(hospital)
    assert {one.id for one in found.cases} == {one.id for one in training.validation}
    assert found.set == "validation"


@pytest.mark.long
def test_test_patients_are_evaluated_on_where_there_are_some(hospital):
    both = hospital.model_copy(update={"validation_fraction": 0.25, "test_fraction": 0.25})
    training, found = in_training(both), prepared(both)
    assert {one.id for one in found.cases} == {one.id for one in training.test}
    assert (found.set, len(found.cases)) == ("test", MINIMUM)


def test_who_only_evaluates_does_so_on_all_whom_it_never_trained_on(hospital):
    other = hospital.model_copy(update={"role": "evaluates", "state_dir": hospital.state_dir / "other"})
    assert (prepared(other).set, len(prepared(other).cases)) == ("test", 12)
    in_training(hospital)
    with pytest.raises(SiteRefusal):
        prepared(hospital.model_copy(update={"role": "evaluates"}))


def test_too_few_patients_answer_nothing(hospital):
    with pytest.raises(SiteRefusal) as refused:
        prepared(hospital, 100)
    assert refused.value.code is RefusalCode.FEW_PATIENTS
    assert "12" not in refused.value.public_reason


@pytest.mark.long
def test_a_file_of_subgroups_divides_the_evaluated_patients(hospital, tmp_path):
    file = tmp_path / "subgroups.csv"
    patients = [f"BraTS-GLI-{number:05}" for number in range(12)]
    file.write_text(
        "patient,half,one\n"
        + "".join(f"{one},{'x' if n < 6 else 'y'},v{n % 12}\n" for n, one in enumerate(patients))
    )
    whole = hospital.model_copy(update={"role": "evaluates", "subgroups_file": file})
    found = prepared(whole)
    assert {value: len(ids) for value, ids in found.subgroups["half"].items()} == {"x": 6, "y": 6}
    assert found.subgroups["one"] == {}
    assert found.withheld == {"half": 0, "one": 12}
    assert found.note is None


def test_a_file_of_subgroups_that_can_t_be_used_costs_the_subgroups_alone(hospital, tmp_path, caplog):
    file = tmp_path / "subgroups.csv"
    file.write_text("patient,half\nA,=1\n")
    found = prepared(hospital.model_copy(update={"subgroups_file": file}))
    assert (found.note, found.subgroups) == (BAD_SUBGROUPS, {})
    assert found.cases
    assert str(file) in caplog.text
    assert str(file) not in BAD_SUBGROUPS


@pytest.mark.long
def test_as_few_patients_as_a_training_needs_are_answered_about_without_counts(hospital):
    """The means that a hospital sends of a training's model, it sends of any model."""
    few = hospital.model_copy(
        update={"min_count": MINIMUM + 2, "test_fraction": 0.25, "validation_fraction": 0.25}
    )
    training, found = in_training(few), prepared(few)
    assert {one.id for one in found.cases} == {one.id for one in training.test}
    assert (found.minimum, found.counted, found.split) == (MINIMUM, False, training.split)
    enough = prepared(hospital.model_copy(update={"state_dir": hospital.state_dir / "other"}))
    assert (enough.minimum, enough.counted) == (MINIMUM, True)


def test_a_task_whose_scores_are_counts_needs_as_many_patients_as_counts_do(decided):
    metrics = SimpleNamespace(has_counts=True, minimum_setting="min_count")
    grading = SimpleNamespace(evaluation=SimpleNamespace(metrics=metrics))
    decided.min_count = MINIMUM + 2
    with open_register(decided) as register:
        chosen = select_evaluated(register, decided, grading, visits("ABCD"), job_minimum=1)
        assert (chosen.cases, chosen.minimum) == ((), MINIMUM + 2)
        means = select_evaluated(register, decided, get_task("brain_tumor"), visits("ABCD"), job_minimum=1)
    assert ({one.patient for one in means.cases}, means.minimum, means.counted) == (
        set("ABCD"),
        MINIMUM,
        False,
    )


def test_counts_of_more_patients_later_isolate_nobody(decided):
    decided.min_count = MINIMUM + 2
    assert evaluated(decided, "ABCD") == set("ABCD")
    assert evaluated(decided, "ABCDE") == set("ABCD")  # E would be the difference
    assert evaluated(decided, "ABCDEFG") == set("ABCDEFG")
