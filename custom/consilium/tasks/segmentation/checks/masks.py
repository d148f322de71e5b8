"""Whether a label is what it is named, or a mask of the brain or a map of its tissues."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from consilium.data.checks.finding import Finding
from consilium.tasks.brain_tumor.codes import BrainCode
from consilium.tasks.segmentation.checks.extent import describe_slab
from consilium.tasks.segmentation.checks.subject import Subject

_COVERED = 0.5
"""Share of the brain beyond which a label is looked at: the largest gliomas have less than a third of it."""
_LARGE_ML = 500.0
_SURELY_COVERED = 0.85
_SURELY_LARGE_ML = 800.0
"""Overwhelming, in a whole brain: a label that is nearly all of it, or more than half of the largest ones. In
three real patients labels have 2 to 24 %, the last of a slab."""


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
    if covered <= _COVERED and volume_ml <= _LARGE_ML:
        return
    whole = subject.judgeable and describe_slab(subject) is None
    yield subject.finding(
        BrainCode.LABEL_COVERS_BRAIN,
        f"It marks {covered:.0%} of what is nonzero, {volume_ml:.0f} mL.",
        confidence=min(1.0, max(covered, volume_ml / _SURELY_LARGE_ML)),
        overwhelming=volume_ml > _SURELY_LARGE_ML or (whole and covered > _SURELY_COVERED),
    )
