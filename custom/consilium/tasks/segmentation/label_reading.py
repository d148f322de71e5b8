"""Which values a label file holds: read once, then known for as long as the file stays as it is."""

from pathlib import Path
from typing import Final

from consilium.data.case import Case, CaseError
from consilium.data.case_boundary import PASSING, case_boundary
from consilium.data.sources import (
    FileRecord,
    LabelRecord,
    SourceContent,
    SourceIndex,
    read_source,
)
from consilium.tasks.brain_tumor.labels import label_values
from consilium.tasks.segmentation.reading import pick_3d, read_nifti

_MOST_VALUES: Final = 1000
"""An image that was saved as a label holds millions, and the first ones say it."""


def read_label(case: Case, index: SourceIndex) -> LabelRecord:
    """The values of a case's label, or why it can't be used.

    Args:
        case: A labeled case.
        index: What is known of its label. A label that is read is kept in it, and held for the reading of
            the whole case.

    Raises:
        OSError: The index can't be written.
        ValueError: The case has no label.
    """
    if case.label is None:
        raise ValueError(f"case {case.id} has no label")
    path = case.label.path
    known = index.recall(case)
    found = known.find(path)
    if found is not None and found.label is not None:
        return found.label
    contents: list[SourceContent] = []

    def read(source: Path) -> bytes:
        contents.append(read_source(source))
        return contents[0].data

    try:
        with case_boundary(case.id, path, "read"):
            array = pick_3d(read_nifti(path, case_id=case.id, read=read), case.label, case_id=case.id).array
            label = LabelRecord(values=tuple(sorted(label_values(array))[:_MOST_VALUES]))
    except CaseError as error:
        label = LabelRecord(problem=error.problem.code, detail=error.problem.detail)
    if contents:
        (content,) = contents
        if content.identity is not None and label.problem not in PASSING:
            record = FileRecord(identity=content.identity, digest=content.digest, label=label)
            index.keep(case, known.updated({path: record}))
        if label.problem is None:
            index.hold(path, content)
    return label
