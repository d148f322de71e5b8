"""That no answers of a site, added and subtracted, are about few patients."""

from collections import defaultdict
from itertools import chain, combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from consilium.participant.answer_audit import discloses, extend_basis
from consilium.participant.answer_groups import complete_groups, regroup

VISITS = [(f"case {patient}{visit}", f"patient {patient}") for patient in "ABCDEFGHIJ" for visit in (1, 2)]
"""Ten patients with two examinations each."""

CASES = [case for case, _ in VISITS]

presences = st.lists(st.sets(st.sampled_from(VISITS)), min_size=1, max_size=8)
minimums = st.integers(1, 5)

PATIENTS = [*dict.fromkeys(patient for _, patient in VISITS)]


def cases_of(patients):
    return {case for case, patient in VISITS if patient in patients}


present_cases = st.one_of(
    st.sets(st.sampled_from(CASES)),
    st.sets(st.sampled_from(PATIENTS), max_size=3).map(lambda absent: set(CASES) - cases_of(absent)),
)
declarations = st.one_of(
    st.just({}),
    st.dictionaries(st.sampled_from(CASES), st.sampled_from(PATIENTS)),
    st.builds(
        lambda first, count: dict.fromkeys(cases_of(PATIENTS[first : first + count]), PATIENTS[first]),
        st.integers(0, len(PATIENTS) - 2),
        st.integers(2, 4),
    ),
)
declaring_jobs = st.lists(st.tuples(present_cases, declarations), min_size=1, max_size=8)
"""The cases that are there, and what the hospital has declared since the job before."""


def answer(groups, answered, persons, present, minimum):
    """The groups after one more job, and the cases that it is answered about."""
    there = {case: persons[case] for case in present}
    groups = regroup(groups, there, minimum, answers=answered, declared=persons)
    whole = {
        case: patient for group in complete_groups(groups, there, minimum) for case, patient in group.items()
    }
    known = {case: patient for group in groups for case, patient in group.items()}
    return groups, {} if discloses(answered, whole, known, minimum) else whole


def answers(jobs, minimum):
    """The cases that each job is answered about, where the hospital declares nothing."""
    groups, answered = [], []
    for present in map(dict, jobs):
        groups, cases = answer(groups, answered, dict(VISITS), present, minimum)
        answered.append(cases)
    return answered


def declared_answers(jobs, minimum):
    """The cases that each job is answered about, and who is who from that job on."""
    groups, answered, persons = [], [], [dict(VISITS)]
    for present, declared in jobs:
        persons.append({**persons[-1], **declared})
        groups, cases = answer(groups, answered, persons[-1], present, minimum)
        answered.append(cases.keys())
    return list(zip(answered, persons[1:], strict=True))


def spans(answered, columns):
    return int(np.linalg.matrix_rank([[case in one for case in columns] for one in answered] or [[0]]))


def patients(cases):
    return set(cases.values())


def enough(cases, minimum):
    return not cases or len(patients(cases)) >= minimum


@given(presences, minimums)
def test_any_two_answers_differ_by_nobody_or_by_enough_patients(jobs, minimum):
    answered = answers(jobs, minimum)
    for first in answered:
        assert enough(first, minimum)
        for second in answered:
            added = {case: patient for case, patient in second.items() if case not in first}
            assert enough(added, minimum)


@given(declaring_jobs, minimums)
def test_any_two_answers_differ_by_nobody_or_by_enough_persons_for_any_declarations(jobs, minimum):
    """Persons are counted as they are known with the later answer."""
    answered = declared_answers(jobs, minimum)
    for later, (second, persons) in enumerate(answered):
        assert enough({case: persons[case] for case in second}, minimum)
        before = [cases for cases, _ in answered[:later]]
        reported = spans([*before, second], CASES) == spans(before, CASES)
        for first, known in answered[:later]:
            differing = [first - second, second - first] if known == persons else [first ^ second]
            for cases in differing:
                few = not enough({case: persons[case] for case in cases}, minimum)
                assert not few or (reported and known != persons)


@given(presences, minimums)
def test_nobody_is_answered_about_who_is_not_there(jobs, minimum):
    for present, answered in zip(jobs, answers(jobs, minimum), strict=True):
        assert answered.items() <= dict(present).items()


@given(presences, minimums)
def test_the_first_answer_is_about_everybody(jobs, minimum):
    present, answered = dict(jobs[0]), answers(jobs[:1], minimum)[0]
    assert answered == (present if enough(present, minimum) else {})


@given(presences, minimums)
def test_no_sum_of_multiples_of_answers_is_about_few_patients(jobs, minimum):
    """Cases that are in the same answers have the same factor in every sum: none of them can be isolated."""
    answered = answers(jobs, minimum)
    alike = defaultdict(set)
    for case, patient in VISITS:
        alike[tuple(case in one for one in answered)].add(patient)
    alike.pop(tuple(False for _ in answered), None)
    assert all(len(together) >= minimum for together in alike.values())


@given(declaring_jobs, minimums)
def test_no_sum_of_multiples_shows_anything_of_few_persons_for_any_declarations(jobs, minimum):
    answered = declared_answers(jobs, minimum)
    for later, (_, persons) in enumerate(answered):
        after = [cases for cases, _ in answered[: later + 1]]
        alike = defaultdict(set)
        for case in CASES:
            alike[tuple(case in one for one in after)].add(case)
        alike.pop(tuple(False for _ in after), None)
        small = [cases for cases in alike.values() if len({persons[case] for case in cases}) < minimum]
        for few in chain.from_iterable(combinations(small, count + 1) for count in range(len(small))):
            cases = set().union(*few)
            if len({persons[case] for case in cases}) < minimum:
                others = [case for case in CASES if case not in cases]
                about_few = [spans(one, CASES) - spans(one, others) for one in (after[:-1], after)]
                assert about_few[0] == about_few[1]


@given(declaring_jobs, minimums)
def test_a_model_is_never_scored_on_few_persons_after_they_were_declared(jobs, minimum):
    """Of a model that is new since a declaration, no sum of multiples of its scores is about few."""
    answered = declared_answers(jobs, minimum)
    persons = answered[-1][1]
    since = [cases for cases, known in answered if known == persons]
    alike = defaultdict(set)
    for case in CASES:
        alike[tuple(case in one for one in since)].add(persons[case])
    alike.pop(tuple(False for _ in since), None)
    assert all(len(together) >= minimum for together in alike.values())


@given(presences, minimums, st.integers(1, 5), presences)
def test_a_site_that_raises_its_minimum_is_held_to_the_new_one(before, old, more, after):
    minimum, groups, earlier, answered = old + more, [], [], []
    for present in map(dict, before):
        groups, cases = answer(groups, earlier, dict(VISITS), present, old)
        earlier.append(cases)
    for present in map(dict, after):
        groups, cases = answer(groups, [*earlier, *answered], dict(VISITS), present, minimum)
        answered.append(cases)
    for first in answered:
        assert enough(first, minimum)
        for second in answered:
            added = {case: patient for case, patient in second.items() if case not in first}
            assert enough(added, minimum)


def test_small_groups_are_joined_when_they_are_enough_together():
    present = {f"case {patient}": patient for patient in "ABCD"}
    groups = regroup([], present, 2)
    assert len(groups) == 2
    assert complete_groups(regroup(groups, present, 4), present, 4) == [present]
    assert complete_groups(regroup(groups, present, 5), present, 5) == []
    more = present | {"case E": "E"}
    assert complete_groups(regroup(groups, more, 5), more, 5) == []  # it would single E out


def test_a_group_that_lost_a_case_waits_for_it():
    everybody = {f"case {patient}": patient for patient in "ABCDEFGH"}
    groups = regroup([], everybody, 3)
    assert [sorted(group.values()) for group in groups] == [["A", "B", "C"], ["D", "E", "F", "G", "H"]]
    without = {case: patient for case, patient in everybody.items() if patient != "B"}
    assert regroup(groups, without, 3) == groups
    assert [sorted(group.values()) for group in complete_groups(groups, without, 3)] == [
        ["D", "E", "F", "G", "H"]
    ]
    assert len(complete_groups(groups, everybody, 3)) == 2


def test_newcomers_wait_until_there_are_enough():
    present = {f"case {patient}": patient for patient in "ABC"}
    groups = regroup([], present, 3)
    for patient in "DE":
        present[f"case {patient}"] = patient
        groups = regroup(groups, present, 3)
        assert len(groups) == 1
    present["case F"] = "F"
    assert len(regroup(groups, present, 3)) == 2


def test_a_second_examination_of_a_known_patient_is_a_newcomer():
    present = {f"case {patient}": patient for patient in "ABC"}
    groups = regroup([], present, 3)
    again = present | {"case A again": "A", "case A a third time": "A"}
    assert regroup(groups, again, 3) == groups
    assert complete_groups(groups, again, 3) == groups


@given(st.lists(st.sets(st.sampled_from(CASES)), max_size=8), st.sets(st.sampled_from(CASES)))
def test_combinations_of_answers_need_not_be_remembered(answered, new):
    basis = []
    for one in answered:
        basis = extend_basis(basis, one)
    assert spans(basis, CASES) == len(basis) == spans(answered, CASES)
    assert not discloses(basis, new, dict(VISITS), 1)


def test_a_group_that_is_declared_one_person_is_joined_to_the_one_it_was_always_answered_about_with():
    everybody = {f"case {patient}": patient for patient in "ABCDEFGHI"}
    groups, first = answer([], [], everybody, everybody, 3)
    assert len(groups) == 3
    last = [*groups[2]]
    without_last = [case for case in everybody if case not in last]
    groups, second = answer(groups, [first], everybody, without_last, 3)
    persons = everybody | dict.fromkeys(["case A", "case B", "case C"], "one person")
    groups, third = answer(groups, [first, second], persons, everybody, 3)
    assert sorted(map(sorted, groups)) == [sorted(without_last), sorted(last)]
    assert third.keys() == first.keys()
    gone = [case for case in everybody if case != "case A"]
    assert answer(groups, [first, second, third], persons, gone, 3)[1].keys() == set(last)


def test_what_separates_few_patients_is_noticed():
    patients = {"a": "A", "b": "B", "c": "C", "d": "D", "e": "E"}
    assert discloses(["abcde"], "abcd", patients, 2)
    assert not discloses(["abcde"], "abc", patients, 2)
    assert not discloses(["abcde", "abcd"], "e", patients, 2)  # the difference is known already
    assert discloses(["abc", "bcde"], "abcde", patients, 2)
    assert discloses(["abcde"], "abc", patients | {"e": "D"}, 2)
    assert not discloses(["abcde"], "abcde", dict.fromkeys("abcde", "A"), 2)
    assert discloses(
        ["abe", "abcde"], "abcd", dict.fromkeys("cd", "C") | dict.fromkeys("ab", "A") | {"e": "E"}, 2
    )
