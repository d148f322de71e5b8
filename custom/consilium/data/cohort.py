"""A site's cohort: layout, cases, meaning of the targets, and unusable cases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from consilium.data.case import Case
from consilium.data.case_format import CaseFormat, Progress
from consilium.data.codes import DataCode
from consilium.data.finding import Finding
from consilium.data.patients import Patients, find_patients
from consilium.data.scan import FolderScan, scan_folder
from consilium.data.sources import SourceIndex
from consilium.errors import ConfigurationError

_READING: Final = "reading labels"
"""What reading the targets is called, for progress."""

_OF_TARGETS: Final = (DataCode.NO_LABEL, DataCode.STRAY_LABEL)
"""What is said of targets alone."""


@dataclass(frozen=True)
class Cohort:
    """Cohort of a site.

    Args:
        layout: Name of the layout that its files follow.
        convention: What its targets mean; None when it has none, or the problem has but one meaning.
        cases: The cases that can be used, by their names and targets, sorted by id.
        problems: The cases that can't, sorted by id.
        left_out: Those of them whose files can be looked at all the same.
        labels: How many targets were found, also of cases that can't be used.
        patients: Whose each case is, also one that can't be used.
        notices: What names and targets show of cases that are used, of files, and of the whole folder.
        unknown_files: Files in the folder whose names were not recognized.
        withdrawn: Patients whose cases are left out because they withdrew.
    """

    layout: str
    convention: str | None
    cases: tuple[Case, ...]
    problems: tuple[Finding, ...]
    left_out: tuple[Case, ...] = ()
    labels: int = 0
    patients: Patients = field(default_factory=Patients)
    notices: tuple[Finding, ...] = ()
    unknown_files: tuple[Path, ...] = ()
    withdrawn: frozenset[str] = frozenset()


def read_cohort(
    folder: Path,
    *,
    case_format: CaseFormat,
    convention: str | None = None,
    patients_file: Path | None = None,
    index: SourceIndex | None = None,
    file_endings: Mapping[str, Sequence[str]] | None = None,
    progress: Progress | None = None,
) -> Cohort:
    """Find the cases in a folder, and determine the meaning of their targets for the whole site.

    Every target is needed for that, because one case alone may be ambiguous. One that the index knows is not
    opened.

    Args:
        folder: The site's dataset folder, or the folder of one case.
        case_format: How the problem's files become cases.
        convention: The site's own statement; it is then followed, and cases that contradict it are left out.
        patients_file: Which cases are of one patient, as the site declares it; default: BIDS'
            `participants.tsv` where the folder has one, and names.
        file_endings: What the site adds to the known endings of file names: input, or `label`, to endings.
        index: What is known of targets; what is read is kept in it, and held for the reading of the case.
        progress: Called for each target.

    Returns:
        Layout, convention, usable cases and problems.

    Raises:
        DataError: The folder can't be read, follows no layout or several, its layout lacks an input, or what
            its targets mean is ambiguous, or its patients file can't be used.
        ConfigurationError: The convention is none that the problem knows, or an ending is none.
    """
    require_convention(convention, case_format)
    scan = scan_folder(folder)
    dataset = case_format.open_folder(folder, scan.files, file_endings or {})
    found = dataset.find()
    cases, duplicates = _unique(found.cases)
    patients = find_patients(
        [case.id for case in cases] + [problem.case for problem in found.problems],
        folder=folder,
        names=found.patient_names,
        file=patients_file,
        places={case.id: _folder(case) for case in cases},
    )
    cases = [replace(case, patient=patients.of(case.id)) for case in cases]
    complete = {case.id for case in cases}
    incomplete = [case for case in _unique(found.incomplete)[0] if case.id not in complete]
    labeled = [case for case in (*cases, *incomplete) if case.labeled]
    targets = dataset.read_targets(
        labeled,
        convention=convention,
        index=index or SourceIndex(),
        # The step's name leaves the site: it is ours, whatever a task calls it.
        progress=progress and (lambda done, total, what: progress(done, total, _READING)),
    )
    faulty = {problem.case_id: problem for problem in targets.problems if problem.case_id in complete}
    return Cohort(
        dataset.layout,
        targets.convention,
        cases=tuple(case for case in cases if case.id not in faulty),
        problems=tuple(
            sorted(
                [*found.problems, *duplicates, *_forbidden(scan), *faulty.values()],
                key=lambda problem: problem.case,
            )
        ),
        left_out=(
            *(case if targets.meaningful else replace(case, target=None) for case in incomplete),
            # Nothing more is to be said of a target that means nothing here.
            *(replace(case, target=None) for case in cases if case.id in faulty),
        ),
        labels=len(labeled),
        patients=patients,
        notices=(*found.notices, *targets.notices),
        unknown_files=found.unknown,
    )


def find_cases(
    folder: Path,
    *,
    case_format: CaseFormat,
    file_endings: Mapping[str, Sequence[str]] | None = None,
) -> Cohort:
    """Find the cases under a folder without their targets, which are not opened.

    Args:
        folder: The dataset folder, or the folder of one case.
        case_format: How the problem's files become cases.
        file_endings: See `read_cohort`.

    Returns:
        Layout, usable cases and problems, those of targets left out.

    Raises:
        DataError: See `read_cohort`.
        ConfigurationError: An ending is none.
    """
    scan = scan_folder(folder)
    dataset = case_format.open_folder(folder, scan.files, file_endings or {})
    found = dataset.find()
    cases, duplicates = _unique([replace(case, target=None) for case in found.cases])
    complete = {case.id for case in cases}
    problems = [*found.problems, *duplicates, *_forbidden(scan)]
    return Cohort(
        dataset.layout,
        None,
        cases=tuple(cases),
        problems=tuple(sorted(problems, key=lambda problem: problem.case)),
        left_out=tuple(
            replace(case, target=None) for case in _unique(found.incomplete)[0] if case.id not in complete
        ),
        notices=tuple(one for one in found.notices if one.code not in _OF_TARGETS),
        unknown_files=found.unknown,
    )


def require_convention(convention: str | None, case_format: CaseFormat) -> None:
    """Check that the problem knows the convention stated by the hospital.

    Args:
        convention: Its name; None where the hospital says nothing.
        case_format: Of the problem.

    Raises:
        ConfigurationError: It is not.
    """
    if convention is None or convention in case_format.conventions:
        return
    known = ", ".join(case_format.conventions)
    raise ConfigurationError(
        f"{case_format.name} has no label convention named {convention!r}; "
        + (f"known: {known}" if known else "its labels have but one meaning: state none")
    )


def _forbidden(scan: FolderScan) -> list[Finding]:
    return [
        Finding(case_id=path.name, code=DataCode.PERMISSION_DENIED, detail=f"{path} may not be listed.")
        for path in scan.forbidden
    ]


def _unique(cases: Sequence[Case]) -> tuple[list[Case], list[Finding]]:
    """Cases sorted by id. Of two with one id none is used, as either may be right."""
    by_id: dict[str, list[Case]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: (case.id, _folder(case))):
        by_id[case.id].append(case)
    problems = [
        Finding(
            case_id=case_id,
            code=DataCode.DUPLICATE_CASE,
            detail=f"{_folder(same[0])} and {_folder(same[1])} both hold it.",
        )
        for case_id, same in by_id.items()
        if len(same) > 1
    ]
    return [same[0] for same in by_id.values() if len(same) == 1], problems


def _folder(case: Case) -> Path:
    return next(iter(case.images.values())).path.parent
