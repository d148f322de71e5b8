"""That no answers of a site, added and subtracted, are about few patients."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from consilium.learning.answer_groups import regroup, whole_groups

VISITS = [(f"case {patient}{visit}", f"patient {patient}") for patient in "ABCDEFGHIJ" for visit in (1, 2)]
"""Ten patients with two examinations each."""

presences = st.lists(st.sets(st.sampled_from(VISITS)), min_size=1, max_size=8)
minimums = st.integers(1, 5)


def answers(jobs, minimum):
    """The cases that each job is answered about."""
    groups, answered = [], []
    for present in map(dict, jobs):
        groups = regroup(groups, present, minimum)
        answered.append(
            {
                case: patient
                for group in whole_groups(groups, present, minimum)
                for case, patient in group.items()
            }
        )
    return answered


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


@given(presences, minimums, st.integers(1, 5), presences)
def test_a_site_that_raises_its_minimum_is_held_to_the_new_one(before, old, more, after):
    minimum, groups, answered = old + more, [], []
    for present in map(dict, before):
        groups = regroup(groups, present, old)
    for present in map(dict, after):
        groups = regroup(groups, present, minimum)
        whole = whole_groups(groups, present, minimum)
        answered.append({case: patient for group in whole for case, patient in group.items()})
    for first in answered:
        assert enough(first, minimum)
        for second in answered:
            added = {case: patient for case, patient in second.items() if case not in first}
            assert enough(added, minimum)


def test_small_groups_are_joined_when_they_are_enough_together():
    present = {f"case {patient}": patient for patient in "ABCD"}
    groups = regroup([], present, 2)
    assert len(groups) == 2
    assert whole_groups(regroup(groups, present, 4), present, 4) == [present]
    assert whole_groups(regroup(groups, present, 5), present, 5) == []
    more = present | {"case E": "E"}
    assert whole_groups(regroup(groups, more, 5), more, 5) == []  # it would single E out


def test_a_group_that_lost_a_case_waits_for_it():
    everybody = {f"case {patient}": patient for patient in "ABCDEFGH"}
    groups = regroup([], everybody, 3)
    assert [sorted(group.values()) for group in groups] == [["A", "B", "C"], ["D", "E", "F", "G", "H"]]
    without = {case: patient for case, patient in everybody.items() if patient != "B"}
    assert regroup(groups, without, 3) == groups
    assert [sorted(group.values()) for group in whole_groups(groups, without, 3)] == [
        ["D", "E", "F", "G", "H"]
    ]
    assert len(whole_groups(groups, everybody, 3)) == 2


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
    assert whole_groups(groups, again, 3) == groups
