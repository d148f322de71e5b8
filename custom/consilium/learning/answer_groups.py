"""Groups of patients that a site answers about together, so that no two answers differ by a few of them.

A mean or a count over many patients says little about one. Two of them say everything about whoever is in one
and not in the other: a patient who came between two jobs, or whose files were damaged. So patients are put
into groups of at least the site's minimum, once; from then on each answer is about whole groups. However many
answers are added and subtracted, what is left is about whole groups again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

Group = dict[str, str]
"""Cases that are answered about together, and the patient of each."""


def regroup(groups: Sequence[Group], present: Mapping[str, str], minimum: int) -> list[Group]:
    """Put cases that are in no group yet into new ones, where they are of enough patients.

    A group is never taken apart, and a case never leaves it. So a case that comes alone waits for others, and
    one that goes takes its whole group out of the answers until it is back.

    Args:
        groups: Those of the questions before.
        present: The cases that are there now, each with its patient; both are pseudonyms, and groups are made
            in the order of the patients', which is that of `Sides`.
        minimum: Fewest patients of a group; the last one that is made may hold up to twice as many less one.
            Groups that are whole and too small, as the site has raised its minimum, are joined.

    Returns:
        All groups: the old ones and the new.
    """
    return _join_small([*groups, *_form(_without_group(groups, present), minimum)], present, minimum)


def whole_groups(groups: Iterable[Group], present: Mapping[str, str], minimum: int) -> list[Group]:
    """Return the groups of which every case is there; none where they are of too few patients in all.

    Args:
        groups: The groups of a question.
        present: The cases that are there now, each with its patient.
        minimum: Fewest patients of an answer; it may be larger than that of a group.
    """
    whole = [group for group in groups if group.items() <= present.items()]
    return whole if len({patient for group in whole for patient in group.values()}) >= minimum else []


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


def _join_small(groups: Sequence[Group], present: Mapping[str, str], minimum: int) -> list[Group]:
    """Join whole groups until each of them is of enough patients, or one is left."""
    whole = sorted(whole_groups(groups, present, 0), key=_patients)
    broken = [group for group in groups if group not in whole]
    while len(whole) > 1 and _patients(whole[0]) < minimum:
        first, second, *others = whole
        whole = sorted([first | second, *others], key=_patients)
    return [*broken, *whole]


def _patients(group: Group) -> int:
    return len(set(group.values()))
