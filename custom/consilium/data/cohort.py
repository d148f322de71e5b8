"""A site's cohort: its layout, its cases, what its labels mean, and what can't be used."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from consilium.counts import counted
from consilium.data.case import Case, CaseProblem, Notice
from consilium.data.codes import DataCode
from consilium.data.patients import Patients, find_patients
from consilium.data.progress import Progress
from consilium.data.scan import scan_folder
from consilium.data.sources import SourceIndex
from consilium.errors import DataError
from consilium.tasks.brain_tumor.labels import LabelConvention, list_values
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.label_reading import read_label
from consilium.tasks.segmentation.layouts import (
    FoundCases,
    Layout,
    count_endings,
    describe_foreign,
    detect_layout,
    how_to_name,
    unknown_files,
)

# Decompression runs outside Python's lock; more threads than this only fight for the disk.
_READERS = min(4, os.cpu_count() or 1)
_KNOWN_VALUES = frozenset(value for convention in LabelConvention for value in convention.values)


@dataclass(frozen=True)
class Cohort:
    """What a site has.

    Args:
        layout: Name of the layout that its files follow.
        convention: What its label values mean; None when it has no labels.
        cases: The cases that can be used as far as names and label values tell, sorted by id.
        problems: The cases that can't, sorted by id.
        left_out: Those of them whose files can be looked at all the same.
        labels: How many labels were found, also of cases that can't be used.
        patients: Whose each case is, also one that can't be used.
        notices: What names and label values show of cases that are used, of files, and of the whole folder.
        unknown_files: Files in the folder whose names nobody understood.
    """

    layout: str
    convention: LabelConvention | None
    cases: tuple[Case, ...]
    problems: tuple[CaseProblem, ...]
    left_out: tuple[Case, ...] = ()
    labels: int = 0
    patients: Patients = field(default_factory=Patients)
    notices: tuple[Notice, ...] = ()
    unknown_files: tuple[Path, ...] = ()


def read_cohort(
    folder: Path,
    *,
    modalities: Sequence[str],
    convention: LabelConvention | None = None,
    patients_file: Path | None = None,
    index: SourceIndex | None = None,
    file_endings: Mapping[str, Sequence[str]] | None = None,
    progress: Progress | None = None,
) -> Cohort:
    """Find the cases under a folder and decide once, for the whole site, what their labels mean.

    The values of every label are needed, because one case alone can't tell: without enhancing tumor a label
    looks the same in every release of BraTS. A label that the index knows is not opened.

    Args:
        folder: The site's dataset folder, or the folder of one case.
        modalities: Canonical names (`t1`, `t1ce`, `t2`, `flair`) of the images that a case must have.
        convention: The site's own statement; it is then followed, and cases that contradict it are left out.
        patients_file: Which cases are of one patient, as the site declares it; default: BIDS'
            `participants.tsv` where the folder has one, and names.
        file_endings: What the site adds to the known endings of file names: modality, or `label`, to endings.
        index: What is known of labels; what is read is kept in it, and held for the reading of the case.
        progress: Told about each label.

    Returns:
        Layout, convention, usable cases and problems.

    Raises:
        DataError: The folder can't be read, follows no layout or several, its layout lacks a modality, or its
            label convention can't be told, or its patients file can't be used.
    """
    scan = scan_folder(folder)
    layout = detect_layout(folder, scan.files, file_endings)
    _check_modalities(layout, modalities)
    found = layout.find(scan.files, modalities)
    cases, duplicates = _unique(found.cases)
    patients = find_patients(
        [case.id for case in cases] + [problem.case_id for problem in found.problems],
        folder=folder,
        file=patients_file,
        places={case.id: _folder(case) for case in cases},
    )
    cases = [replace(case, patient=patients.of(case.id)) for case in cases]
    notices = [*found.notices, *_describe_unknown(scan.files, found)]
    complete = {case.id for case in cases}
    incomplete = [case for case in _unique(found.incomplete)[0] if case.id not in complete]
    labeled = [case for case in (*cases, *incomplete) if case.label]
    values, unreadable = _read_labels(labeled, index or SourceIndex(), progress)
    # A value of no convention says nothing about which one the site uses.
    telling = {case_id: marked for case_id, marked in values.items() if marked <= _KNOWN_VALUES}
    if telling:
        reading = layout.convention(telling, convention)
        convention = reading.convention
        if reading.doubt:
            notices.append(Notice(VolumeCode.DOUBTFUL_CONVENTION, reading.doubt))
    faulty = {
        problem.case_id: problem
        for problem in (*unreadable, *_contradictions(values, convention))
        if problem.case_id in complete
    }
    forbidden = [
        CaseProblem(path.name, DataCode.PERMISSION_DENIED, f"{path} may not be listed.")
        for path in scan.forbidden
    ]
    return Cohort(
        layout.name,
        convention,
        cases=tuple(case for case in cases if case.id not in faulty),
        problems=tuple(
            sorted(
                [*found.problems, *duplicates, *forbidden, *faulty.values()],
                key=lambda problem: problem.case_id,
            )
        ),
        left_out=(
            *(case if convention else replace(case, label=None) for case in incomplete),
            # Nothing more is to be said of a label that means nothing here.
            *(replace(case, label=None) for case in cases if case.id in faulty),
        ),
        labels=len(labeled),
        patients=patients,
        notices=tuple(notices),
        unknown_files=unknown_files(scan.files, found.understood),
    )


def _check_modalities(layout: Layout, modalities: Sequence[str]) -> None:
    if not modalities or set(modalities) - set(layout.modalities):
        raise DataError(
            f"Asked for the modalities {', '.join(modalities) or '(none)'}; "
            f"the layout {layout.name} has {', '.join(layout.modalities)}."
        )


def _describe_unknown(files: Sequence[Path], found: FoundCases) -> Iterator[Notice]:
    """Count the files that nobody understood, by the endings of their names: an image may be among them."""
    unknown = unknown_files(files, found.understood)
    if not unknown:
        return
    problems = [problem for problem in found.problems if problem.code is DataCode.MISSING_MODALITY]
    unlabeled = sum(case.label is None for case in found.cases)
    lacking = [f"{counted(len(problems), 'case')} without an image of each kind"] if problems else []
    lacking += [f"{counted(unlabeled, 'case')} without a label"] if unlabeled else []
    ids = [*(case.id for case in found.cases), *(problem.case_id for problem in found.problems)]
    seen = (
        f"Not used, because their names say nothing: {len(unknown)} of {counted(len(files), 'file')} "
        f"({count_endings(unknown, ids)})"
    )
    sentences = [seen, *(["; ".join(lacking)] if lacking else []), *describe_foreign(unknown), how_to_name()]
    yield Notice(DataCode.UNKNOWN_FILES, ". ".join(sentences))


def _unique(cases: Sequence[Case]) -> tuple[list[Case], list[CaseProblem]]:
    """Cases sorted by id. Of two with one id none is used: nobody knows which is right."""
    by_id: dict[str, list[Case]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: (case.id, _folder(case))):
        by_id[case.id].append(case)
    problems = [
        CaseProblem(
            case_id, DataCode.DUPLICATE_CASE, f"{_folder(same[0])} and {_folder(same[1])} both hold it."
        )
        for case_id, same in by_id.items()
        if len(same) > 1
    ]
    return [same[0] for same in by_id.values() if len(same) == 1], problems


def _folder(case: Case) -> Path:
    return next(iter(case.images.values())).path.parent


def _read_labels(
    cases: Sequence[Case], index: SourceIndex, progress: Progress | None
) -> tuple[dict[str, frozenset[float]], list[CaseProblem]]:
    """The values other than 0 in each label, by case id, and the labels that can't be read."""
    values: dict[str, frozenset[float]] = {}
    problems: list[CaseProblem] = []
    with ThreadPoolExecutor(_READERS) as pool:
        try:
            labels = pool.map(lambda case: read_label(case, index), cases)
            for done, (case, label) in enumerate(zip(cases, labels, strict=True), start=1):
                if label.problem is None:
                    values[case.id] = frozenset(label.values)
                else:
                    problems.append(CaseProblem(case.id, label.problem, label.detail))
                if progress:
                    progress(done, len(cases), "reading labels")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # after Ctrl-C nobody waits for the rest
    return values, problems


def _contradictions(
    values: Mapping[str, frozenset[float]], convention: LabelConvention | None
) -> Iterator[CaseProblem]:
    """Cases whose label holds a value that the site's convention doesn't have."""
    for case_id, marked in values.items():
        if unknown := marked - _KNOWN_VALUES:
            detail = f"The label holds {list_values(unknown)}, which no convention knows."
            yield CaseProblem(case_id, VolumeCode.BAD_LABEL_VALUE, detail)
        elif convention and (foreign := marked - convention.values.keys()):
            detail = f"The label holds {list_values(foreign)}; the site's labels are {convention.value}."
            yield CaseProblem(case_id, VolumeCode.OTHER_CONVENTION, detail)
