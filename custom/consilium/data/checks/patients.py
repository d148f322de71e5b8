"""Findings between cases: duplicate examinations, and images or labels of another patient."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from consilium.data.case import Case
from consilium.data.case_check import CaseCheck
from consilium.data.case_format import CaseChecks
from consilium.data.codes import DataCode
from consilium.data.finding import Finding
from consilium.data.patients import Patients

_CLEAR_LABEL_FIT = 0.5
_CLEAR_FIT = 0.05
_SHOWN = 5


def check_patients(
    cases: Sequence[Case], checks: Mapping[str, CaseCheck], comparing: CaseChecks
) -> Iterator[Finding]:
    """Compare all cases of a site with each other.

    Args:
        cases: The cases, sorted by id.
        checks: What was found in each alone, by case id.
        comparing: Says which of them look alike.
    """
    copies = dict(_copies(cases, checks))
    for case_id, original in copies.items():
        detail = f"Its images are those of case {original}, which is used."
        yield Finding(code=DataCode.DUPLICATE_EXAMINATION, case_id=case_id, detail=detail)
    own = {case.id: checks[case.id] for case in cases if case.id in checks and case.id not in copies}
    changed = dict(_changed_copies(own, comparing))
    for case_id, original in changed.items():
        shared = "Its label, or one of its images, is"
        detail = f"{shared} that of case {original}, which is used, and the others look like its images."
        yield Finding(code=DataCode.DUPLICATE_EXAMINATION, case_id=case_id, detail=detail)
    own = {case_id: check for case_id, check in own.items() if case_id not in changed}
    yield from _shared_images(own)
    yield from _shared_labels(own)
    yield from _alike({case.id: case.patient for case in cases if case.id in own}, own, comparing)


def _copies(cases: Sequence[Case], checks: Mapping[str, CaseCheck]) -> Iterator[tuple[str, str]]:
    """Cases of which every image is that of an earlier case; of two the labeled one counts as the earlier."""
    originals: dict[tuple[str, ...], str] = {}
    for case in sorted(cases, key=lambda case: (not case.labeled, case.id)):
        check = checks.get(case.id)
        if check and check.images and len(check.images) == len(case.images):
            key = tuple(check.images[name] for name in sorted(check.images))
            first = originals.setdefault(key, case.id)
            if first != case.id:
                yield case.id, first


def _changed_copies(checks: Mapping[str, CaseCheck], comparing: CaseChecks) -> Iterator[tuple[str, str]]:
    """Cases that share the label or an image with an earlier one, and whose images all look like its images.

    So it is one examination whose intensities were changed, and not a label or an image in a wrong folder.
    """
    owners: dict[str, list[str]] = defaultdict(list)
    for case_id, check in sorted(checks.items(), key=lambda one: (one[1].label is None, one[0])):
        digests = [*check.images.values(), *([check.label] if check.label else [])]
        earlier = dict.fromkeys(owner for digest in digests for owner in owners[digest])
        original = next((owner for owner in earlier if _same(check, checks[owner], comparing)), None)
        if original is not None:
            yield case_id, original
            continue
        for digest in digests:
            owners[digest].append(case_id)


def _same(one: CaseCheck, other: CaseCheck, comparing: CaseChecks) -> bool:
    if one.appearance is None or other.appearance is None:
        return False
    return comparing.same(one.appearance, other.appearance)


def _alike(
    patients: Mapping[str, str], checks: Mapping[str, CaseCheck], comparing: CaseChecks
) -> Iterator[Finding]:
    """Cases of different patients that may be one's: rotated, resampled, or another examination."""
    described = {
        case_id: check.appearance for case_id, check in checks.items() if check.appearance is not None
    }
    for first, second, agreement in comparing.alike(described):
        if patients[first] == patients[second]:
            continue
        for case_id, other in ((first, second), (second, first)):
            detail = f"Its images look like those of case {other}, moved or resampled."
            yield Finding(
                code=DataCode.POSSIBLE_SAME_EXAMINATION,
                case_id=case_id,
                detail=detail,
                confidence=min(1.0, agreement),
            )


def _shared_images(checks: Mapping[str, CaseCheck]) -> Iterator[Finding]:
    """An image in two cases that differ otherwise belongs to one of them: where it fits its neighbors."""
    owners: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for case_id, check in checks.items():
        for name, digest in check.images.items():
            owners[digest].append((case_id, name))
    for sharing in owners.values():
        if len({case_id for case_id, _ in sharing}) < 2:
            continue
        fits = {one: checks[one[0]].fits.get(one[1], 0.0) for one in sharing}
        best, second = sorted(fits.values(), reverse=True)[:2]
        for case_id, name in sharing:
            if best - second > _CLEAR_FIT and fits[case_id, name] == best:
                continue
            others = ", ".join(sorted({other for other, _ in sharing if other != case_id}))
            detail = f"Its {name} image is also in case {others}."
            yield Finding(code=DataCode.SHARED_IMAGE, case_id=case_id, image=name, detail=detail)


def _shared_labels(checks: Mapping[str, CaseCheck]) -> Iterator[Finding]:
    """Assign a label in two cases to the one whose images it fits, or to neither if unclear."""
    owners: dict[str, list[str]] = defaultdict(list)
    for case_id, check in checks.items():
        if check.label is not None:
            owners[check.label].append(case_id)
    for sharing in owners.values():
        if len(sharing) < 2:
            continue
        fits = {case_id: checks[case_id].label_fit or 0.0 for case_id in sharing}
        best, second = sorted(fits.values(), reverse=True)[:2]
        for case_id in sharing:
            if best - second > _CLEAR_LABEL_FIT and fits[case_id] == best:
                continue
            others = ", ".join(other for other in sharing if other != case_id)
            detail = f"Its label is also that of case {others}."
            yield Finding(code=DataCode.SHARED_LABEL, case_id=case_id, detail=detail)


def check_declaration(patients: Patients) -> Iterator[Finding]:
    """Compare the hospital's declaration with its cases, and find missing declarations.

    Args:
        patients: Of all cases of the site.
    """
    file = patients.declared
    if file is not None and patients.unknown_lines:
        lines = ", ".join(map(str, patients.unknown_lines[:_SHOWN]))
        more = " and others" if len(patients.unknown_lines) > _SHOWN else ""
        doubts = "".join(f"; {doubt}" for doubt in patients.line_doubts)
        detail = f"{file.path}: no case of the folder has the id in line {lines}{more}{doubts}."
        yield Finding(code=DataCode.PATIENTS_FILE_INCOMPLETE, case_id=None, detail=detail)
    if file is not None:
        for case_id in patients.undeclared:
            detail = f"{file.path} doesn't name it; it is taken for an examination of {patients.of(case_id)}."
            yield Finding(code=DataCode.PATIENTS_FILE_INCOMPLETE, case_id=case_id, detail=detail)
    for patient, group in patients.unclear().items():
        lines = " / ".join(f"{case},{patient}" for case in group)
        for case_id in group:
            others = ", ".join(other for other in group if other != case_id)
            detail = f"By its id or folder it may be of the patient of {others}. If so, declare it: {lines}"
            yield Finding(code=DataCode.POSSIBLE_SAME_PATIENT, case_id=case_id, detail=detail)
