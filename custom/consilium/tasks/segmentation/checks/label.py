"""Check for empty labels."""

from __future__ import annotations

from collections.abc import Iterator

from consilium.data.finding import Finding
from consilium.tasks.segmentation.checks.view import CaseView
from consilium.tasks.segmentation.codes import VolumeCode


def check_empty(view: CaseView) -> Iterator[Finding]:
    """Find empty labels."""
    reference = view.native.reference
    if reference is not None and not view.may_be_empty and not reference.any():
        yield view.finding(VolumeCode.EMPTY_LABEL, "Every voxel of the label is 0.")
