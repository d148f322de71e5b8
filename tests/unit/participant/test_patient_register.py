"""What a site remembers of its patients: sides, and who is answered about together."""

import os
from string import ascii_uppercase as ALPHABET

import numpy as np
import pytest

from consilium.data.split import SetShares
from consilium.participant.patient_register import PatientRegister
from consilium.participant.register_content import KEY_FILE
from consilium.participant.register_files import open_register
from consilium.participant.site_settings import SiteSettings
from participant.register import Visit, answered, split, visits


def test_a_split_is_remembered(site):
    assert split(site, "ABCDEFGH") == split(site, "ABCDEFGH")
    assert len(split(site, "ABCDEFGH")) == 4


def test_a_salt_repeats_a_split_and_draws_no_secret(site, tmp_path):
    salted = [
        site.model_copy(update={"state_dir": tmp_path / str(number), "split_salt": "7 north"})
        for number in range(3)
    ]
    assert len({split(one, "ABCDEFGH") for one in salted}) == 1
    assert not (salted[0].state_dir / KEY_FILE).exists()
    other = site.model_copy(update={"state_dir": tmp_path / "other", "split_salt": "8 north"})
    assert split(salted[0], [f"P{n}" for n in range(30)]) != split(other, [f"P{n}" for n in range(30)])


def test_names_that_are_no_text_can_be_remembered(site):
    assert len(answered(site, [os.fsdecode(b"M\xfcller"), "B", "C"]).cases) == 3
    assert len(answered(site, [os.fsdecode(b"M\xfcller"), "B", "C"]).cases) == 3


def test_a_job_that_wants_more_patients_changes_no_group(site):
    first = answered(site, "ABCDEFG")
    assert answered(site, "ABCDEFG", job_minimum=8).count is None
    assert answered(site, "ABCDEFG", job_minimum=7) == first
    assert answered(site, "ABCDEFG", job_minimum=1) == first


def test_questions_are_kept_apart(site):
    answered(site, "ABC", "scores")
    assert len(answered(site, "ABCD", "statistics").cases) == 4
    assert len(answered(site, "ABCD", "scores").cases) == 3


def test_answers_that_can_be_subtracted_are_compared_across_questions(site):
    """A share of patients, and a count of them, asked by two jobs about one patient more."""
    means, counts = {"compared": {"counts in scores": 3}}, {"minimum": 5, "compared": {"scores": 3}}
    assert len(answered(site, "ABCD", "scores", **means).cases) == 4
    assert answered(site, "ABCDE", "counts in scores", **counts).cases == ()
    assert len(answered(site, "ABCDEFG", "scores", **means).cases) == 7
    assert len(answered(site, "ABCDEFGHIJ", "scores", **means).cases) == 10
    assert len(answered(site, "ABCDEFGHIJ", "counts in scores", **counts).cases) == 10


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_no_difference_of_a_mean_and_a_count_is_of_few_patients(site, order):
    questions = {"a": ("scores", 3, "counts in scores"), "b": ("counts in scores", 5, "scores")}
    answers = [
        frozenset(one.id for one in answered(site, ALPHABET[:known], question, **options).cases)
        for known in range(3, len(ALPHABET) + 1)
        for question, fewest, other in (questions[name] for name in order)
        for options in [{"minimum": fewest, "compared": {other: 3}}]
    ]
    assert len(set(answers)) > 3
    for first in answers:
        assert all(len(other - first) >= 3 for other in answers if other > first)


@pytest.mark.parametrize(("patients", "count"), [("", 0), ("A", None), ("AB", None), ("ABC", 3), ("ABCD", 4)])
def test_a_count_of_few_patients_is_none(site, patients, count):
    with open_register(site) as register:
        assert register.count("left out", visits(patients), minimum=3) == count


def test_many_cases_of_few_patients_are_not_counted(site):
    with open_register(site) as register:
        cases = [Visit(f"{patient}-{number}", patient) for patient in "AB" for number in range(9)]
        assert register.count("left out", cases, minimum=3) is None


def sides(register, patients):
    both = register.split(visits(patients), SetShares(0.25, 0))
    return {case.patient: case in both.validation for case in (*both.train, *both.validation)}


def ids(pattern, count, seed):
    """Ids of a cohort, and of one more patient."""
    random = np.random.default_rng(seed)
    words = ["".join(random.choice([*"abcdefghij"], 6)) for _ in range(count + 1)]
    return [pattern.format(number, word) for number, word in enumerate(words, start=1)]


def test_another_patient_moves_nobody_at_a_site_that_remembers(tmp_path):
    for trial in range(200):
        site = SiteSettings(dataset=tmp_path, state_dir=tmp_path / str(trial))
        patients = ids("{1}", 1 + trial % 30, trial)
        with open_register(site) as register:
            before = sides(register, patients[:-1])
        with open_register(site) as register:
            after = sides(register, patients)
        assert before.items() <= after.items()


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("pattern", "smallest"), [("BraTS20_Training_{0:03}", 5), ("UPENN-GBM-{0:05}", 5), ("{1}", 30)]
)
def test_another_patient_moves_nobody_in_a_simulation(pattern, smallest):
    for trial in range(300):
        patients = ids(pattern, smallest + trial % 30, trial)
        before = sides(PatientRegister(str(trial).encode(), repeats=True), patients[:-1])
        after = sides(PatientRegister(str(trial).encode(), repeats=True), patients)
        assert before.items() <= after.items()


def test_numbered_patients_keep_their_share_in_a_simulation():
    for trial in range(200):
        count = 4 + trial % 40
        register = PatientRegister(str(trial).encode(), repeats=True)
        validated = sum(sides(register, [f"BraTS2021_{number:05}" for number in range(count)]).values())
        assert abs(validated - count / 4) < 2


def test_a_number_of_any_length_has_a_side():
    patients = [f"P{'9' * 400}", "P\n1", "", "٣", "P1"]
    assert len(sides(PatientRegister(b"key", repeats=True), patients)) == 5


def test_two_cases_that_are_declared_one_patient_are_on_one_side_from_then_on(site):
    with open_register(site) as register:
        before = register.split(visits("ABCDEFGH"), SetShares(0.5, 0))
        register.answerable("scores", before.validation, minimum=2)
    trained, validated = before.train[0], before.validation[0]
    declared = [
        Visit(case.id, "declared") if case in (trained, validated) else case for case in visits("ABCDEFGH")
    ]
    for _ in range(2):
        with open_register(site) as register:
            after = register.split(declared, SetShares(0.5, 0))
            assert {case.id for case in after.train} == {validated.id} | {case.id for case in before.train}
            assert {case.id for case in after.validation} < {case.id for case in before.validation}
            assert register.answerable("scores", after.validation, minimum=2).held_back == 1


def test_what_was_answered_about_stays_answered_when_the_patient_gets_another_name(site):
    first = answered(site, "ABCDEF")
    renamed = [Visit(case.id, f"declared {case.patient}") for case in visits("ABCDEF")]
    with open_register(site) as register:
        again = register.answerable("scores", renamed, minimum=3)
    assert again.groups == first.groups


def declare(patients, same):
    return [Visit(case.id, "one" if case.patient in same else case.patient) for case in visits(patients)]


def test_a_declaration_takes_nobody_out_of_the_answers(site):
    first = answered(site, "ABCDEFGHIJ", minimum=5)
    assert len(first.groups) == 2
    same = sorted(case.patient for case in first.cases if case.id in first.groups[0])
    for one in (same[:2], same):
        with open_register(site) as register:
            again = register.answerable("scores", declare("ABCDEFGHIJ", one), minimum=5)
        assert (len(again.cases), again.held_back) == (10, 0)


def test_who_is_declared_one_person_is_not_left_when_others_go(site):
    first = answered(site, "ABCDEF")
    same = [case.patient for case in first.cases if case.id in first.groups[0]]
    for gone in (same[0], next(patient for patient in "ABCDEF" if patient not in same)):
        with open_register(site) as register:
            cases = [case for case in declare("ABCDEF", same) if case.id != f"{gone}-1"]
            assert register.count("scores", cases, minimum=3) is None


def test_a_left_out_case_counts_as_whose_it_is_declared(site):
    answered(site, "ABCDEF")
    with open_register(site, {case.id: case.patient for case in declare("ABCDEF", "ABCDEF")}) as register:
        register.answerable("scores", declare("ABCDEF", "ABCDEF")[1:], minimum=3)
    with open_register(site) as register:
        assert register.count("scores", declare("ABCDEF", "BCDEF"), minimum=3) is None


def test_scores_of_one_person_alone_stay_at_the_site(site):
    answered(site, "ABC")
    with open_register(site) as register:
        assert register.count("scores", declare("ABC", "AB"), minimum=3) is None
    with open_register(site) as register:  # others came: they are answered about with it from now on
        assert len(register.answerable("scores", declare("ABCDEF", "AB"), minimum=3).groups) == 1


@pytest.mark.parametrize("salt", [None, "salt"])
def test_a_new_case_of_a_trained_patient_is_trained_on_although_the_trained_one_is_left_out(site, salt):
    site = site.model_copy(update={"split_salt": salt})
    with open_register(site) as register:
        before = register.split(visits("ABCDEFGH"), SetShares(0.5, 0))
    trained = before.train[0]
    present = [case for case in visits("ABCDEFGH") if case not in (trained, before.validation[0])]
    for number in range(20):
        new = Visit(f"new {number}", f"X{number}")
        everybody = {**{case.id: case.patient for case in [*present, new]}, trained.id: new.patient}
        with open_register(site, everybody) as register:
            after = register.copy().split([*present, new], SetShares(0.5, 0))
        assert new in after.train
        assert trained.id not in {case.id for case in (*after.train, *after.validation)}
