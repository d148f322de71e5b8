"""A case: one examination of one patient, as files, and what can be wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass

from consilium.data.codes import ProblemCode
from consilium.data.files import JsonPath, readable
from consilium.errors import DataError

__all__ = ["Case", "CaseError", "CaseProblem", "FolderError", "Notice", "Volume"]


@dataclass(frozen=True)
class Volume:
    """Where one 3D image lies.

    Args:
        path: The NIfTI file, plain or gzipped.
        channel: Index into the fourth axis of a 4D file; None for a file that holds one 3D image.
    """

    path: JsonPath
    channel: int | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """One examination: an image per modality and, where somebody drew it, a label.

    Args:
        id: Unique within a site. Never leaves it.
        patient: Groups the examinations of one person, so that a split never puts them on both sides.
        images: Canonical modality name to volume, in the order that was asked for.
        label: The reference segmentation; None for an unlabeled case.
    """

    id: str
    patient: str
    images: Mapping[str, Volume]
    label: Volume | None

    @property
    def place(self) -> str:
        """What a message calls the case: `the case in <folder>`."""
        volumes = [*self.images.values(), *([self.label] if self.label else [])]
        return f"the case in {volumes[0].path.parent if volumes else self.id}"

    def __post_init__(self) -> None:
        """Write ids that come from file names in no encoding with escapes: JSON, pages and logs hold them."""
        object.__setattr__(self, "id", readable(self.id))
        object.__setattr__(self, "patient", readable(self.patient))


@dataclass(frozen=True)
class CaseProblem:
    """Why one case is left out.

    Args:
        case_id: The case. Stays on the site.
        code: What is wrong. The code and how often it occurs are all that may leave.
        detail: What was seen; may name paths and ids, so it stays on the site.
        modality: The image that it is about; None for a label or a whole case.
    """

    case_id: str
    code: ProblemCode
    detail: str
    modality: str | None = None

    def __post_init__(self) -> None:
        """Write file names in no encoding with escapes, as `Case` does."""
        object.__setattr__(self, "case_id", readable(self.case_id))
        object.__setattr__(self, "detail", readable(self.detail))

    def describe(self) -> str:
        """Return one line for the site's own log."""
        return f"case {self.case_id} is left out: {self.code.value}: {self.detail}"


@dataclass(frozen=True)
class Notice:
    """What the names in a dataset folder show, although it makes no case unusable.

    Args:
        code: What it is.
        detail: What was seen. With a case it may name paths, and stays on the site; without one it holds
            counts and endings of file names only.
        case_id: What it is about; None for the folder as a whole.
    """

    code: ProblemCode
    detail: str
    case_id: str | None = None


class CaseError(DataError):
    """One case can't be used; the others can.

    Args:
        problem: What is wrong with it.
    """

    def __init__(self, problem: CaseProblem) -> None:
        super().__init__(f"Case {problem.case_id}: {problem.detail} {problem.code.remedy}")
        self.problem = problem


class FolderError(DataError):
    """A dataset folder as a whole can't be used.

    Args:
        code: What is wrong.
        message: What was seen, what is allowed, and what to do.
    """

    def __init__(self, code: ProblemCode, message: str) -> None:
        super().__init__(readable(message))
        self.code = code
