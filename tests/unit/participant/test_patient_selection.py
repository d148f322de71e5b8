"""Whom a site trains on, and whom it answers about."""

from types import SimpleNamespace

import pytest

from consilium.errors import SiteRefusal
from consilium.participant.patient_selection import (
    ScoreMinimum,
    check_patient_count,
    describe_withheld,
    lack_of_patients,
    select_cases,
)
from consilium.participant.register_files import open_register
from participant.register import Visit, visits

MEANS, COUNTS = (
    SimpleNamespace(
        evaluation=SimpleNamespace(metrics=SimpleNamespace(has_counts=counts, minimum_setting=setting))
    )
    for counts, setting in ((False, "min_training_patients"), (True, "min_count"))
)


@pytest.fixture
def scored(site):
    evaluating = site.model_copy(update={"role": "evaluates"})

    def scored(patients, task):
        with open_register(evaluating) as register:
            selected = select_cases(register, evaluating, visits(patients), task)
        assert selected.train == ()
        return len(selected.evaluated)

    return scored


def test_scores_with_counts_are_of_more_patients(scored):
    assert scored("ABC", MEANS) == 3
    assert scored("ABCD", COUNTS) == 0


def test_a_patient_is_not_the_difference_of_two_tasks_on_one_dataset(scored):
    assert scored("ABCD", MEANS) == 4
    assert scored("ABCDE", COUNTS) == 0


def test_nor_where_the_counts_come_first(scored):
    assert scored("ABCDE", COUNTS) == 5
    assert scored("ABCDEF", MEANS) == 0


PATIENTS = [f"P{number:02}" for number in range(40)]


def answers(site, visits):
    """A job's three sets, as case ids, and the groups whose scores it sends."""
    with open_register(site) as register:
        selected = select_cases(register, site, visits, MEANS)
    sets = (selected.train, selected.validation.cases, selected.test.cases)
    groups = (*selected.validation.groups, *selected.test.groups)
    return [{case.id for case in cases} for cases in sets], groups


@pytest.mark.parametrize(
    ("patients", "minimum", "said"),
    [
        (1, 1, "One patient can't be split into sets: this site will only evaluate"),
        (2, 1, ""),
        (1, 3, "Too few to train on: 1 labeled patient, and min_training_patients is 3"),
        (2, 3, "Too few to train on: 2 labeled patients, and min_training_patients is 3"),
        (3, 3, ""),
        (6, 3, ""),
    ],
)
def test_what_a_site_lacks_to_train_is_what_a_job_would_say(site, patients, minimum, said):
    site = site.model_copy(update={"min_training_patients": minimum})
    lack = lack_of_patients(site, patients)
    assert lack.startswith(said)
    assert bool(lack) == bool(said)
    with open_register(site) as register:
        selected = select_cases(register, site, visits(PATIENTS[:patients]), MEANS)
    arguments = (selected.train, selected.evaluated, minimum, ScoreMinimum.of(site, MEANS))
    if "declined" in lack:
        with pytest.raises(SiteRefusal):
            check_patient_count(*arguments)
    else:
        check_patient_count(*arguments)
        assert bool(selected.train) == (not lack)


def test_two_sets_share_no_group_of_patients(site):
    (_, validation, test), groups = answers(site, visits(PATIENTS))
    assert (len(validation), len(test)) == (6, 8)
    assert all(group <= validation or group <= test for group in groups)


@pytest.mark.parametrize("jobs", [1, 3])
def test_one_person_in_validation_and_test_is_validated_on_and_no_answer_reveals_them(site, jobs):
    """Their two names are found out after scores of both sets were sent, and answers can be subtracted."""
    for _ in range(jobs):
        (train, validation, test), _ = answers(site, visits(PATIENTS))
    chosen, tested = min(validation), min(test)
    declared = [
        Visit(visit.id, "one" if visit.id in (chosen, tested) else visit.patient)
        for visit in visits(PATIENTS)
    ]
    sent = [validation, test]
    for _ in range(2):  # and it stays so
        (trained, chosen_on, reported_on), groups = answers(site, declared)
        assert trained == train
        assert reported_on < test - {tested}  # without the patients who were answered about with them
        assert reported_on
        assert chosen_on == validation
        assert all(group <= chosen_on or group <= reported_on for group in groups)
        whose = {visit.id: visit.patient for visit in declared}
        for answer in (chosen_on, reported_on):
            assert not answer or len({whose[case] for case in answer}) >= 3
            for other in sent:
                for difference in (answer - other, other - answer):
                    assert not difference or len({whose[case] for case in difference}) >= 3
        sent += [chosen_on, reported_on]
    again, _ = answers(site, visits(PATIENTS))  # the hospital takes it back: nobody is tested on again
    assert tested not in again[2]
    assert tested not in again[0]


def test_one_person_in_training_and_test_is_trained_on(site):
    (train, _, test), _ = answers(site, visits(PATIENTS))
    known, tested = min(train), min(test)
    declared = [
        Visit(visit.id, "one" if visit.id in (known, tested) else visit.patient) for visit in visits(PATIENTS)
    ]
    for visited in (declared, visits(PATIENTS)):
        (trained, _, reported_on), _ = answers(site, visited)
        assert tested in trained
        assert tested not in reported_on


@pytest.mark.parametrize("task", [MEANS, COUNTS])
@pytest.mark.parametrize("patients", [3, 5, 6, 10, 12, 14, 40])
def test_withheld_scores_are_known_before_a_job(site, patients, task):
    test, validation = site.set_shares.sizes(patients)
    withheld = describe_withheld(site, task, validation, test)
    with open_register(site) as register:
        selected = select_cases(register, site, visits(PATIENTS[:patients]), task)
    assert bool(withheld) == (not selected.evaluated)
    if withheld:
        minimum = ScoreMinimum.of(site, task)
        assert withheld.endswith(f"each set has fewer than {minimum.patients}, its {minimum.setting}")
