"""A finding in a case or a folder, from reading to the records."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from consilium.data.files import readable
from consilium.data.problem_code import ProblemCode, Severity

_Text = Annotated[str, BeforeValidator(lambda text: readable(text) if isinstance(text, str) else text)]


class Finding(BaseModel):
    """A single finding. Only its code and the number of occurrences may leave the site.

    Attributes:
        code: What it is.
        detail: What was seen; may name paths and cases. Never the value of a header field.
        case_id: The case; None for the folder as a whole, whose detail names no case.
        image: Name of the image that it is about, as in `Case.images`; None for a target or a whole case.
        confidence: For what was found by statistics, how sure it is, 0 to 1; None for a plain fact.
        overwhelming: Whether evidence by statistics is so strong that the case is left out.
        accepted: Whether the hospital has looked at it and accepts it; then the case is used.
        files: Fingerprint of the case's files, see `fingerprint_files`; empty where one can't be read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: ProblemCode
    detail: _Text
    case_id: _Text | None = None
    image: str | None = None
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
        """Whether later findings may follow from this one: an error, or a statistical finding."""
        return not self.accepted and (self.severity is Severity.ERROR or self.confidence is not None)

    def in_files(self, files: str) -> Finding:
        """The same, with the mark of the files in which it was found."""
        return self.model_copy(update={"files": files})

    def weakened(self) -> Finding:
        """The same, no longer overwhelming."""
        return self.model_copy(update={"overwhelming": False})

    @property
    def case(self) -> str:
        """The case that it is about.

        Raises:
            ValueError: It is about the folder as a whole.
        """
        if self.case_id is None:
            raise ValueError(f"{self.code.value} is about the whole folder")
        return self.case_id

    def describe(self) -> str:
        """Return one line for the site's own log, where the case is left out."""
        return f"case {self.case_id} is left out: {self.code.value}: {self.detail}"
