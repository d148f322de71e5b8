"""Fixed groups of patients in answers, so that no two answers differ by a few patients.

A mean or a count over many patients says little about one. Two of them say everything about a patient who is
in only one of them: one who came between two jobs, or whose files were damaged. So patients are put
into groups of at least the site's minimum, once; from then on each answer is about whole groups. However many
answers are added and subtracted, what is left is about whole groups again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise

Group = dict[str, str]
"""Cases that are answered about together, and the patient of each."""


def regroup(
    groups: Sequence[Group],
    present: Mapping[str, str],
    minimum: int,
    *,
    answers: Sequence[Collection[str]] = (),
    declared: Mapping[str, str] | None = None,
) -> list[Group]:
    """Put cases that are in no group yet into new ones, where they are of enough patients.

    Where the hospital has declared another patient for a case, that one counts in its group.

    A group is never taken apart, and a case never leaves it. So a case that comes alone waits for others, and
    one that goes takes its whole group out of the answers until it is back.

    A declaration, or a higher minimum, can make a group too small. One that was answered about is joined for
    good to others, at best to those that it was always answered about with: without it, the next answer
    would differ from the last by these few; by itself, the next model would be scored on them alone. One that
    nothing was answered about waits until it is of enough patients together with others of its kind.

    Args:
        groups: Those of the questions before.
        present: The cases that are there now, each with its patient; both are pseudonyms, and groups are made
            in the order of the patients', which is that of `Sides`.
        minimum: Fewest patients of a group; the last one that is made may hold up to twice as many less one.
        answers: The cases of the answers before; see `answer_audit`.
        declared: The patient of cases that are not there.

    Returns:
        All groups: the old ones and the new.
    """
    known = {**(declared or {}), **present}
    groups = [{case: known.get(case, patient) for case, patient in group.items()} for group in groups]
    small = [group for group in groups if _patients(group) < minimum]
    bound = [group for group in small if any(_answered(group, answers))]
    waiting = [group for group in small if group not in bound]
    whole = [group for group in waiting if _is_complete(group, present)]
    large = [group for group in groups if group not in small]
    new = _form(_without_group(groups, present), minimum)
    if 0 < _patients(*bound) < minimum and (large or new):
        partner = max([*large, *new], key=lambda group: _likeness(group, bound, present, answers))
        large, new = ([group for group in some if group is not partner] for some in (large, new))
        bound.append(partner)
    return [
        *large,
        *_join(bound, minimum),
        *(group for group in waiting if group not in whole),
        *_join(whole, minimum),
        *new,
    ]


def complete_groups(
    groups: Iterable[Group], present: Mapping[str, str], minimum: int, job_minimum: int = 1
) -> list[Group]:
    """Return the groups that may be answered about: those of which every case is there.

    Args:
        groups: The groups of a question.
        present: The cases that are there now, each with its patient.
        minimum: Fewest patients of a group.
        job_minimum: Fewest patients of all of them; with fewer, none is returned.
    """
    whole = [group for group in groups if _is_complete(group, present) and _patients(group) >= minimum]
    return whole if _patients(*whole) >= job_minimum else []


def _without_group(groups: Iterable[Group], present: Mapping[str, str]) -> dict[str, list[str]]:
    grouped = {case for group in groups for case in group}
    cases: dict[str, list[str]] = defaultdict(list)
    for case in sorted(present.keys() - grouped):
        cases[present[case]].append(case)
    return cases


def _form(cases: Mapping[str, Sequence[str]], minimum: int) -> list[Group]:
    patients = sorted(cases)
    starts = [place * minimum for place in range(len(patients) // minimum)]
    return [
        {case: patient for patient in patients[start:end] for case in cases[patient]}
        for start, end in pairwise([*starts, len(patients)])
    ]


def _join(small: Sequence[Group], minimum: int) -> list[Group]:
    """Join groups to large enough ones; those that are too small even together stay as they are."""
    if _patients(*small) < minimum:
        return list(small)
    joined: list[Group] = [{}]
    for group in small:
        if _patients(joined[-1]) >= minimum:
            joined.append({})
        joined[-1] |= group
    if _patients(joined[-1]) < minimum:
        joined[-2:] = [joined[-2] | joined[-1]]
    return joined


def _answered(group: Group, answers: Sequence[Collection[str]]) -> list[bool]:
    """Which answers were about a group; one that was joined later counts with any of its cases."""
    return [not group.keys().isdisjoint(answer) for answer in answers]


def _likeness(
    group: Group, bound: Sequence[Group], present: Mapping[str, str], answers: Sequence[Collection[str]]
) -> tuple[int, bool]:
    """How often a group was answered about as others were, and whether it is there."""
    its = _answered(group, answers)
    alike = [mine == its[place] for other in bound for place, mine in enumerate(_answered(other, answers))]
    return sum(alike), _is_complete(group, present)


def _is_complete(group: Group, present: Mapping[str, str]) -> bool:
    return group.keys() <= present.keys()


def _patients(*groups: Group) -> int:
    return len({patient for group in groups for patient in group.values()})
