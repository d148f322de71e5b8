"""Patients as the ids of their cases name them: what groups by itself, and what may be visits of one patient.

Two kinds. Names that mean one thing only group by themselves: those of BIDS, an explicit word for a visit
after a patient's number, and those of the public collections that a problem states. Numbers, letters and
dates at the end of an id can as well number patients: they are reported, and the hospital declares what they
are.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

DATE: Final = r"(?:(?:19|20)\d\d[-_.]?\d\d[-_.]?\d\d|\d\d[-_.]\d\d[-_.](?:19|20)\d\d)"
"""Pattern of a date in a name."""
_GAP = r"[-_. ]+"

_FOLLOW_UPS: Final[Mapping[str, str]] = {
    "BIDS": r"(?P<patient>sub-[a-z0-9+]+)_.+",
    # P-0429_FU003d, P-001_week-012-2, P_0003_Timepoint_2, 100118_time2, P012_ses-02, P012_baseline
    "a visit after a patient's number": (
        rf"(?P<patient>.*\d.*?){_GAP}(?:"
        r"(?:ses|session|visit|time[-_. ]?point|time|week|month|follow[-_ ]?up|fu)[-_. ]?\d+[a-z]?"
        r"(?:[-_.]\d{1,2})?|ses-[a-z0-9]+|baseline|follow[-_ ]?up|fu|pre[-_]?op|post[-_]?op)"
    ),
}
"""What a name follows to the pattern of a follow-up's id, in any data."""

# A word that could be a visit's, with its number or without one.
_WORD = re.compile(
    rf"(?i)(?P<stem>.+?){_GAP}(?:ses|session|visit|time[-_. ]?point|time|tp|week|wk|month|day|scan|exam|study"
    r"|mri?|follow[-_ ]?up|fu|baseline|bl|pre[-_]?op|post[-_]?op|pre|post|recurrence|relapse|[vt](?=\d))"
    r"[-_. ]?\d*[a-z]?"
)
_DATED = re.compile(rf"(?:(?P<stem>.+?){_GAP}|^){DATE}(?:[-_T]?\d{{4,6}})?(?:{_GAP}(?P<rest>.+)|$)")
_YEAR = re.compile(rf"(?P<stem>.*\d){_GAP}(?:19|20)\d\d")
_NUMBER = re.compile(rf"(?P<stem>.+?){_GAP}\d{{1,3}}")
_LETTER = re.compile(rf"(?P<stem>.*\d)(?:{_GAP})?[A-Za-z]")

# What folders are named by that sort patients.
_SORTING = re.compile(
    r"(?i)miccai|train|valid|test|fold|batch|site|set|grade|part|year|cohort|data|release|^(?:19|20)\d\d$"
)

_MOST_VISITS = 10
_MOST_NUMBERED = 3
_FEW_CASES = 3


@dataclass(frozen=True)
class PatientNames:
    r"""How the ids of a problem's cases name patients.

    Args:
        collections: A public collection to the pattern of a follow-up's id in it, matched whatever its
            capital letters; the group `patient` is the patient. They are tried before the names of any data.
        sorting: Words in the names of folders that sort patients, beside "train", "site" and the like.

    Example:
        >>> names = PatientNames({"Knees": r"(?P<patient>KNEE-\d+)_\d+"})
        >>> names.patient_of("KNEE-0001_2"), names.patient_of("sub-07_ses-02_run-1"), names.patient_of("P7_2")
        ('KNEE-0001', 'sub-07', 'P7_2')
    """

    collections: Mapping[str, str] = field(default_factory=dict)
    sorting: tuple[str, ...] = ()

    @cached_property
    def follow_ups(self) -> Mapping[str, re.Pattern[str]]:
        """What a name follows to the pattern of a follow-up's id: these group by themselves."""
        patterns = {**self.collections, **_FOLLOW_UPS}
        return {name: re.compile(pattern, re.IGNORECASE) for name, pattern in patterns.items()}

    def patient_of(self, case_id: str) -> str:
        """Return the patient that a case's id names for certain; the id itself where it names none.

        It depends on this id alone: no other case of the site changes whom a case belongs to.
        """
        patient = case_id
        while found := next(filter(None, (one.fullmatch(patient) for one in self.follow_ups.values())), None):
            patient = found["patient"]
        return patient

    def possible_visits(self, case_ids: Iterable[str]) -> dict[str, list[str]]:
        """Return ids that look like visits of one patient, and may be patients that are numbered alike.

        Left out are a stem that all cases of a larger cohort share, such as the name with which a collection
        numbers its patients, and stems with more numbers than a patient has visits.

        Args:
            case_ids: All cases of a site.

        Returns:
            What the ids have in common to the ids, each group of two or more, sorted.
        """
        ids = sorted(set(case_ids))
        visits: dict[str, set[str]] = defaultdict(set)
        for find in (self._named_stem, _dated_stem, _numbered_stem):
            for stem, group in _by_stem(ids, find).items():
                one_patient = find is not _numbered_stem and stem[-1].isdigit() and len(group) <= _MOST_VISITS
                if one_patient or len(ids) <= _FEW_CASES or len(group) < len(ids):
                    visits[stem] |= group
        for case_id in ids:  # names that differ in capital letters or in how marks are spelled look like one
            visits[normalize_unicode(case_id).casefold()].add(case_id)
        return {stem: sorted(group) for stem, group in sorted(visits.items()) if len(group) > 1}

    def shared_folders(self, places: Mapping[str, Path]) -> dict[str, list[str]]:
        """Return cases in one of several folders with a number in its name, as a patient's visits are.

        Args:
            places: Case id to its folder, relative to the dataset folder.

        Returns:
            The folder's name to the ids, each group of two or more, sorted.
        """
        shared = Counter(places.values())
        groups: dict[Path, list[str]] = defaultdict(list)
        for case_id, place in sorted(places.items()):
            folder = place if shared[place] > 1 else place.parent
            groups[folder].append(case_id)
        return {
            "_".join(folder.parts): group
            for folder, group in groups.items()
            if 1 < len(group) <= _MOST_VISITS and len(groups) > 1 and self._may_be_patient(folder.name)
        }

    def _may_be_patient(self, folder: str) -> bool:
        sorting = any(word in folder.casefold() for word in self.sorting) or _SORTING.search(folder)
        return any(letter.isdigit() for letter in folder) and not sorting

    def _named_stem(self, case_id: str) -> str | None:
        by_name = self.patient_of(case_id)
        if by_name != case_id:
            return by_name
        found = _WORD.fullmatch(case_id)
        return found["stem"] if found else None


def normalize_unicode(name: str) -> str:
    """Return a name in one spelling of letters with marks: file names of macOS have them in two parts."""
    return unicodedata.normalize("NFC", name)


def _by_stem(ids: Iterable[str], find: Callable[[str], str | None]) -> dict[str, set[str]]:
    """Ids by their stem; an id that is the stem of others is one of them."""
    groups: dict[str, set[str]] = defaultdict(set)
    whole = set(ids)
    for case_id in ids:
        if stem := find(case_id):
            groups[stem] |= {case_id} | ({stem} & whole)
    if find is _numbered_stem:
        groups = {stem: group for stem, group in groups.items() if _few_enough(stem, group, groups)}
    return groups


def _few_enough(stem: str, group: set[str], groups: Mapping[str, set[str]]) -> bool:
    """Whether numbers count visits: a few of each of several stems, or a few after a patient's own number."""
    if stem[-1].isdigit():
        return len(group) <= _MOST_VISITS
    repeated = sum(len(other) > 1 for other in groups.values())
    return len(group) <= _MOST_NUMBERED and repeated > 1


def _dated_stem(case_id: str) -> str | None:
    if found := _DATED.fullmatch(case_id):
        return "_".join(part for part in (found["stem"], found["rest"]) if part) or None
    year = _YEAR.fullmatch(case_id)
    return year["stem"] if year else None


def _numbered_stem(case_id: str) -> str | None:
    found = _NUMBER.fullmatch(case_id) or _LETTER.fullmatch(case_id)
    return found["stem"] if found else None
