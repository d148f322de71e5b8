"""Values in label files, read once and stored while a file is unchanged."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from consilium.data.case import Case, CaseError
from consilium.data.case_boundary import PASSING, case_boundary
from consilium.data.finding import Finding
from consilium.data.sources import FileRecord, SourceContent, SourceIndex, TargetRecord, read_source
from consilium.tasks.segmentation.labels import Values, label_values
from consilium.tasks.segmentation.nifti.reading import pick_3d, read_nifti

if TYPE_CHECKING:
    from pathlib import Path

    from consilium.data.case_format import Progress

_MOST_VALUES: Final = 1000
"""An image that was saved as a label holds millions, and the first ones say it."""

# Decompression runs outside Python's lock; more threads than this only fight for the disk.
_READERS: Final = min(4, os.cpu_count() or 1)


def read_labels(
    cases: Sequence[Case], index: SourceIndex, progress: Progress | None = None
) -> tuple[dict[str, Values], list[Finding]]:
    """Read the values other than 0 in each label, by case id, and what labels can't be read.

    Args:
        cases: Labeled cases.
        index: What is known of labels; see `read_label`.
        progress: Called for each label.

    Raises:
        OSError: The index can't be written.
    """
    values: dict[str, Values] = {}
    problems: list[Finding] = []
    with ThreadPoolExecutor(_READERS) as pool:
        try:
            labels = pool.map(lambda case: read_label(case, index), cases)
            for done, (case, label) in enumerate(zip(cases, labels, strict=True), start=1):
                if label.problem is None:
                    values[case.id] = frozenset(label.values)
                else:
                    problems.append(Finding(case_id=case.id, code=label.problem, detail=label.detail))
                if progress:
                    progress(done, len(cases), "reading labels")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # after Ctrl-C nobody waits for the rest
    return values, problems


def read_label(case: Case, index: SourceIndex) -> TargetRecord:
    """Read the values of a case's label, or why it can't be used.

    Args:
        case: A labeled case.
        index: What is known of its label. A label that is read is kept in it, and held for the reading of
            the whole case.

    Raises:
        OSError: The index can't be written.
        ValueError: The case has no label.
    """
    drawn = case.target_file
    if drawn is None:
        raise ValueError(f"case {case.id} has no label")
    known = index.recall(case)
    found = known.find(drawn.path)
    if found is not None and found.target is not None:
        return found.target
    contents: list[SourceContent] = []

    def read(source: Path) -> bytes:
        contents.append(read_source(source))
        return contents[0].data

    try:
        with case_boundary(case.id, drawn.path, "read"):
            array = pick_3d(read_nifti(drawn.path, case_id=case.id, read=read), drawn, case_id=case.id).array
            label = TargetRecord(values=tuple(sorted(label_values(array))[:_MOST_VALUES]))
    except CaseError as error:
        label = TargetRecord(problem=error.problem.code, detail=error.problem.detail)
    if contents:
        (content,) = contents
        if content.identity is not None and label.problem not in PASSING:
            record = FileRecord(identity=content.identity, digest=content.digest, target=label)
            index.keep(case, known.updated({drawn.path: record}))
        if label.problem is None:
            index.hold(drawn.path, content)
    return label
