"""Whether a label is what it is named, or a mask of the brain or a map of its tissues."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from consilium.data.checks.finding import Finding
from consilium.data.checks.subject import Subject
from consilium.data.codes import ProblemCode

_COVERED = 0.85
"""Share of the brain that no tumor takes: the largest gliomas have less than a third of it."""

_LARGEST_ML = 800.0
"""Volume in mL that no tumor has, whatever else is in view."""


def check_mask(subject: Subject) -> Iterator[Finding]:
    """Labels that mark the whole brain: a brain mask (1) or a map of tissues (1, 2, 3) in a tumor's place."""
    reference = subject.native.reference
    if reference is None:
        return
    marked = reference != 0
    count = int(np.count_nonzero(marked))
    volume_ml = count * float(np.prod(subject.native.spacing_mm)) / 1000
    head = int(np.count_nonzero(subject.head))
    covered = int(np.count_nonzero(marked & subject.head)) / max(head, 1)
    if covered > _COVERED or volume_ml > _LARGEST_ML:
        detail = f"It marks {covered:.0%} of what is nonzero, {volume_ml:.0f} mL."
        yield subject.finding(ProblemCode.LABEL_COVERS_BRAIN, detail)
