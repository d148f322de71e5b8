"""What a check found, and what is kept of a case that was checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from consilium.data.case import CaseProblem
from consilium.data.codes import ProblemCode, Severity
from consilium.data.files import readable

_Text = Annotated[str, BeforeValidator(lambda text: readable(text) if isinstance(text, str) else text)]


_MARK_DIGITS = 12


def mark_of_files(key: str | None) -> str:
    """Return a short mark of the content of a case's files, and of what its label's values mean.

    Args:
        key: Of the case, see `CaseReader.key`; None where a file can't be read.

    Returns:
        Empty without a key. A letter comes first: spreadsheets would take digits for a number.
    """
    return f"x{key[:_MARK_DIGITS]}" if key else ""


class Finding(BaseModel):
    """One thing that was found. Only its code, and how often it occurs, may leave the site.

    Attributes:
        code: What it is.
        case_id: The case; None for the folder as a whole.
        modality: The image that it is about; None for a label or a whole case.
        detail: What was seen; may name paths and cases. Never the value of a header field.
        confidence: For what was found by statistics, how sure it is, 0 to 1; None for a plain fact.
        overwhelming: Whether evidence by statistics is so strong that the case is left out.
        accepted: Whether the hospital has looked at it and accepts it; then the case is used.
        files: Mark of the content of the case's files, see `mark_of_files`; empty where one can't be read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: ProblemCode
    case_id: _Text | None
    detail: _Text
    modality: str | None = None
    confidence: float | None = Field(default=None, ge=0, le=1)
    overwhelming: bool = False
    accepted: bool = False
    files: str = ""

    @property
    def severity(self) -> Severity:
        """What it means for the case."""
        if self.accepted:
            return Severity.INFO
        return Severity.ERROR if self.overwhelming else self.code.severity

    @property
    def casts_doubt(self) -> bool:
        """Whether what later checks see may come of this: an error, or what statistics found."""
        return not self.accepted and (self.severity is Severity.ERROR or self.confidence is not None)

    def in_files(self, files: str) -> Finding:
        """The same, with the mark of the files in which it was found."""
        return self.model_copy(update={"files": files})

    def weakened(self) -> Finding:
        """The same, no longer overwhelming."""
        return self.model_copy(update={"overwhelming": False})

    @classmethod
    def from_problem(cls, problem: CaseProblem) -> Finding:
        """The finding that a problem of reading is."""
        return cls(
            code=problem.code, case_id=problem.case_id, modality=problem.modality, detail=problem.detail
        )

    def problem(self) -> CaseProblem:
        """The reason to leave a case out that this finding is.

        Raises:
            ValueError: The finding is about no case.
        """
        if self.case_id is None:
            raise ValueError(f"{self.code.value} is about the whole folder")
        return CaseProblem(self.case_id, self.code, self.detail)


class CaseCheck(BaseModel):
    """What is kept of a case that was checked. It describes one patient: it stays on the site.

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

    def findings(self, mark: Callable[[Finding], Finding] = lambda finding: finding) -> Iterator[Finding]:
        """What was found in the case alone, without what may only come of an earlier finding.

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
