"""The stored result of a case's check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from consilium.data.finding import Finding
from consilium.data.problem_code import Severity

_MARK_DIGITS = 12


def fingerprint_files(key: str | None) -> str:
    """Return a short fingerprint of a case's files and of the meaning of its label's values.

    Args:
        key: Of the case, see `CaseReader.key`; None where a file can't be read.

    Returns:
        Empty without a key. A letter comes first: spreadsheets would take digits for a number.
    """
    return f"x{key[:_MARK_DIGITS]}" if key else ""


class ImageSize(NamedTuple):
    """Size of the images of a case.

    Attributes:
        shape: Pixels or voxels along each axis.
        spacing_mm: Their edges along the same axes; None where the images say none, such as photographs.
    """

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...] | None = None


class CaseCheck(BaseModel):
    """Stored result of a case's checks. It describes one patient and stays at the site.

    A problem keeps more of its own in a subclass, such as voxel sizes.

    Attributes:
        read: What was found in reading the case, and in its headers.
        seen: What was found in its content, group by group: each presumes that those before cast no doubt;
            see `findings`.
        images: Input to a hash of its image that no compression, number type or axis order changes.
        fits: Input to how well its image fits the case's other images, at most 1.
        label: The same hash of the label; None where there is none, or too little of it.
        label_fit: How well the label fits the images; None where that can't be assessed.
        appearance: What the images show, as the problem's `CaseChecks` compares it; None if it can't.
        files: Mark of the content of its files; empty where one can't be read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    read: tuple[Finding, ...]
    seen: tuple[tuple[Finding, ...], ...] = ()
    images: dict[str, str] = {}
    fits: dict[str, float] = {}
    label: str | None = None
    label_fit: float | None = None
    appearance: str | None = None
    files: str = ""

    @property
    def image_size(self) -> ImageSize | None:
        """How large the images are; None where that was not kept."""
        return None

    def findings(self, mark: Callable[[Finding], Finding] = lambda finding: finding) -> Iterator[Finding]:
        """Findings in the case, without those that may only follow from an earlier one.

        Nothing comes after an error. After a doubt, what is overwhelming is a warning too.

        Args:
            mark: Marks a finding that the hospital accepts; what comes after it then counts. Default: none.
        """
        yield from (mark(finding.in_files(self.files)) for finding in self.read)
        doubtful = False
        for group in self.seen:
            marked = [mark(finding.in_files(self.files)) for finding in group]
            if doubtful:
                marked = [one.weakened() for one in marked if one.overwhelming or one.confidence is None]
            yield from marked
            if any(one.casts_doubt and one.severity is Severity.ERROR for one in marked):
                return
            doubtful = doubtful or any(one.casts_doubt for one in marked)
