"""A site's cohort: its layout, its cases, what its labels mean, and what can't be used."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from consilium.data.case import Case, CaseProblem, ProblemCode
from consilium.data.label_reading import read_label
from consilium.data.labels import LabelConvention, list_values
from consilium.data.layouts import Layout, detect_layout
from consilium.data.patients import Patients, find_patients
from consilium.data.progress import Progress
from consilium.data.scan import scan_folder
from consilium.data.sources import SourceIndex
from consilium.errors import DataError

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
        patients: Whose each case is, also one that can't be used.
    """

    layout: str
    convention: LabelConvention | None
    cases: tuple[Case, ...]
    problems: tuple[CaseProblem, ...]
    patients: Patients = field(default_factory=Patients)


def read_cohort(
    folder: Path,
    *,
    modalities: Sequence[str],
    convention: LabelConvention | None = None,
    patients_file: Path | None = None,
    index: SourceIndex | None = None,
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
        index: What is known of labels; what is read is kept in it, and held for the reading of the case.
        progress: Told about each label.

    Returns:
        Layout, convention, usable cases and problems.

    Raises:
        DataError: The folder can't be read, follows no layout or several, its layout lacks a modality, or its
            label convention can't be told, or its patients file can't be used.
    """
    scan = scan_folder(folder)
    layout = detect_layout(folder, scan.files)
    _check_modalities(layout, modalities)
    found = layout.find(scan.files, modalities)
    cases, duplicates = _unique(found.cases)
    patients = find_patients(
        [case.id for case in cases] + [problem.case_id for problem in found.problems],
        folder=folder,
        file=patients_file,
    )
    cases = [replace(case, patient=patients.of(case.id)) for case in cases]
    labeled = [case for case in cases if case.label]
    values, unreadable = _read_labels(labeled, index or SourceIndex(), progress)
    # A value of no convention says nothing about which one the site uses.
    telling = [marked for marked in values.values() if marked <= _KNOWN_VALUES]
    if convention is None and telling:
        convention = layout.convention(telling)
    faulty = [*unreadable, *_contradictions(values, convention)]

    left_out = {problem.case_id for problem in faulty}
    forbidden = [
        CaseProblem(path.name, ProblemCode.PERMISSION_DENIED, f"{path} may not be listed.")
        for path in scan.forbidden
    ]
    return Cohort(
        layout.name,
        convention,
        cases=tuple(case for case in cases if case.id not in left_out),
        problems=tuple(
            sorted([*found.problems, *duplicates, *forbidden, *faulty], key=lambda problem: problem.case_id)
        ),
        patients=patients,
    )


def _check_modalities(layout: Layout, modalities: Sequence[str]) -> None:
    if not modalities or set(modalities) - set(layout.modalities):
        raise DataError(
            f"Asked for the modalities {', '.join(modalities) or '(none)'}; "
            f"the layout {layout.name} has {', '.join(layout.modalities)}."
        )


def _unique(cases: Sequence[Case]) -> tuple[list[Case], list[CaseProblem]]:
    """Cases sorted by id; of two with one id the first by path stays."""
    kept: dict[str, Case] = {}
    problems: list[CaseProblem] = []
    for case in sorted(cases, key=lambda case: (case.id, _folder(case))):
        first = kept.setdefault(case.id, case)
        if first is not case:
            detail = f"{_folder(case)} holds a second case of this id; the first is in {_folder(first)}."
            problems.append(CaseProblem(case.id, ProblemCode.DUPLICATE_CASE, detail))
    return list(kept.values()), problems


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
            yield CaseProblem(case_id, ProblemCode.BAD_LABEL_VALUE, detail)
        elif convention and (foreign := marked - convention.values.keys()):
            detail = f"The label holds {list_values(foreign)}; the site's labels are {convention.value}."
            yield CaseProblem(case_id, ProblemCode.OTHER_CONVENTION, detail)
