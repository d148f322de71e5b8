"""Follow-ups: examinations of one patient, recognized by their ids.

Two kinds. Names that mean one thing only, those of public collections and an explicit word for a visit after
a patient's number, group by themselves. Numbers, letters and dates at the end of an id can as well number
patients: they are reported, and the hospital declares what they are.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

_DATE = r"(?:(?:19|20)\d\d[-_.]?\d\d[-_.]?\d\d|\d\d[-_.]\d\d[-_.](?:19|20)\d\d)"
_GAP = r"[-_. ]+"

FOLLOW_UPS: Final[Mapping[str, re.Pattern[str]]] = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "BraTS 2023 and later": r"(?P<patient>BraTS-\w+(?:-\w+)?-\d+)-\d{1,3}",
        "BraTS-Reg": r"(?P<patient>BraTSReg_\d+)_\d+_\d+",
        "BIDS": r"(?P<patient>sub-[a-z0-9+]+)_.+",
        "UPENN-GBM": r"(?P<patient>UPENN-GBM-\d+)_\d+",
        "UCSD-PTGBM": r"(?P<patient>UCSD-PTGBM-\d+)_\d+",
        "RHUH-GBM": r"(?P<patient>RHUH-\d+)_\d+",
        "TCGA": r"(?P<patient>TCGA-\w\w-\w{4})[-_.].+",
        "CPTAC": r"(?P<patient>C3[LN]-\d{5})[-_.].+",
        "Ivy GAP": rf"(?P<patient>W\d+)_{_DATE}",
        # UCSF-PDGM-0429_FU003d, Patient-001_week-012-2 (LUMIERE), PatientID_0003_Timepoint_2 (MU-Glioma),
        # 100118_time2 (UCSF-ALPTDG), P012_ses-02, P012_baseline
        "a visit after a patient's number": (
            rf"(?P<patient>.*\d.*?){_GAP}(?:"
            r"(?:ses|session|visit|time[-_. ]?point|time|week|month|follow[-_ ]?up|fu)[-_. ]?\d+[a-z]?"
            r"(?:[-_.]\d{1,2})?|ses-[a-z0-9]+|baseline|follow[-_ ]?up|fu|pre[-_]?op|post[-_]?op)"
        ),
    }.items()
}
"""Where a name is from to the pattern of a follow-up's id: these group by themselves."""

# A word that could be a visit's, with its number or without one.
_WORD = re.compile(
    rf"(?i)(?P<stem>.+?){_GAP}(?:ses|session|visit|time[-_. ]?point|time|tp|week|wk|month|day|scan|exam|study"
    r"|mri?|follow[-_ ]?up|fu|baseline|bl|pre[-_]?op|post[-_]?op|pre|post|recurrence|relapse|[vt](?=\d))"
    r"[-_. ]?\d*[a-z]?"
)
_DATED = re.compile(rf"(?:(?P<stem>.+?){_GAP}|^){_DATE}(?:[-_T]?\d{{4,6}})?(?:{_GAP}(?P<rest>.+)|$)")
_YEAR = re.compile(rf"(?P<stem>.*\d){_GAP}(?:19|20)\d\d")
_NUMBER = re.compile(rf"(?P<stem>.+?){_GAP}\d{{1,3}}")
_LETTER = re.compile(rf"(?P<stem>.*\d)(?:{_GAP})?[A-Za-z]")

# What folders are named by that sort patients.
_SORTING = re.compile(
    r"(?i)brats|miccai|train|valid|test|fold|batch|site|set|grade|part|year|cohort|data|release|hgg|lgg"
    r"|^(?:19|20)\d\d$"
)

_MOST_VISITS = 10
_MOST_NUMBERED = 3
_FEW_CASES = 3


def patient_by_name(case_id: str) -> str:
    """Return the patient that a case's id names for certain; the id itself where it names none.

    It depends on this id alone: no other case of the site changes whom a case belongs to.

    Example:
        >>> patient_by_name("UCSF-PDGM-0429_FU003d"), patient_by_name("sub-07_ses-02_run-1")
        ('UCSF-PDGM-0429', 'sub-07')
        >>> patient_by_name("BraTS20_Training_012")
        'BraTS20_Training_012'
    """
    patient = case_id
    while found := next(filter(None, (one.fullmatch(patient) for one in FOLLOW_UPS.values())), None):
        patient = found["patient"]
    return patient


def normalize_unicode(name: str) -> str:
    """Return a name in one spelling of letters with marks: file names of macOS have them in two parts."""
    return unicodedata.normalize("NFC", name)


def possible_visits(case_ids: Iterable[str]) -> dict[str, list[str]]:
    """Return ids that look like visits of one patient, and may be patients that are numbered alike.

    Left out are the names with which public collections number patients (`BraTS20_Training_012`,
    `BRATS_012`), a stem that all cases of a larger cohort share, and stems with more numbers than a patient
    has visits.

    Args:
        case_ids: All cases of a site.

    Returns:
        What the ids have in common to the ids, each group of two or more, sorted.
    """
    ids = sorted(set(case_ids))
    visits: dict[str, set[str]] = defaultdict(set)
    for find in (_named_stem, _dated_stem, _numbered_stem):
        for stem, group in _by_stem(ids, find).items():
            one_patient = find is not _numbered_stem and stem[-1].isdigit() and len(group) <= _MOST_VISITS
            if one_patient or len(ids) <= _FEW_CASES or len(group) < len(ids):
                visits[stem] |= group
    for case_id in ids:  # names that differ in capital letters or in how marks are spelled look like one
        visits[normalize_unicode(case_id).casefold()].add(case_id)
    return {stem: sorted(group) for stem, group in sorted(visits.items()) if len(group) > 1}


def shared_folders(places: Mapping[str, Path]) -> dict[str, list[str]]:
    """Return cases that lie in one of several folders with a number in its name, as a patient's visits do.

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
        if 1 < len(group) <= _MOST_VISITS and len(groups) > 1 and _may_be_patient(folder.name)
    }


def _may_be_patient(folder: str) -> bool:
    return any(letter.isdigit() for letter in folder) and not _SORTING.search(folder)


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


def _named_stem(case_id: str) -> str | None:
    by_name = patient_by_name(case_id)
    if by_name != case_id:
        return by_name
    found = _WORD.fullmatch(case_id)
    return found["stem"] if found else None


def _dated_stem(case_id: str) -> str | None:
    if found := _DATED.fullmatch(case_id):
        return "_".join(part for part in (found["stem"], found["rest"]) if part) or None
    year = _YEAR.fullmatch(case_id)
    return year["stem"] if year else None


def _numbered_stem(case_id: str) -> str | None:
    found = _NUMBER.fullmatch(case_id) or _LETTER.fullmatch(case_id)
    return found["stem"] if found else None
