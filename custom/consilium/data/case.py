"""A case: one examination of one patient, as files, and what can be wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from consilium.errors import DataError


@dataclass(frozen=True)
class Volume:
    """Where one 3D image lies.

    Args:
        path: The NIfTI file, plain or gzipped.
        channel: Index into the fourth axis of a 4D file; None for a file that holds one 3D image.
    """

    path: Path
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


class ProblemCode(str, Enum):
    """Why a case is left out. The values are stable: they are counted and compared between sites."""

    MISSING_MODALITY = "missing_modality"
    NO_LABEL = "no_label"
    DUPLICATE_CASE = "duplicate_case"
    PERMISSION_DENIED = "permission_denied"
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    NOT_3D = "not_3d"
    INVALID_AFFINE = "invalid_affine"
    SHAPE_MISMATCH = "shape_mismatch"
    AFFINE_MISMATCH = "affine_mismatch"
    NON_FINITE = "non_finite"
    CONSTANT_IMAGE = "constant_image"
    BAD_LABEL_VALUE = "bad_label_value"
    OTHER_CONVENTION = "other_convention"

    @property
    def remedy(self) -> str:
        """One sentence for the person at the hospital who can mend it."""
        return _REMEDIES[self]


_REMEDIES: Mapping[ProblemCode, str] = {
    ProblemCode.MISSING_MODALITY: "Add the missing image file to the case's folder, or remove the case.",
    ProblemCode.NO_LABEL: "Copy the label into labelsTr, or move an unlabeled image to imagesTs.",
    ProblemCode.DUPLICATE_CASE: "Keep one of the two copies, or rename one if they are different cases.",
    ProblemCode.PERMISSION_DENIED: "Let the account that runs FLARE read the file and its folder.",
    ProblemCode.UNREADABLE: "Export the file as NIfTI (.nii or .nii.gz) again.",
    ProblemCode.TRUNCATED: "Copy the file from its source again: it is incomplete or damaged.",
    ProblemCode.NOT_3D: "Export one 3D volume per file (Decathlon: one 4D file with every modality).",
    ProblemCode.INVALID_AFFINE: "Export the file with a valid position and voxel size in its header.",
    ProblemCode.SHAPE_MISMATCH: "Register every image and the label of the case to one grid.",
    ProblemCode.AFFINE_MISMATCH: "Register every image and the label of the case to one position in space.",
    ProblemCode.NON_FINITE: "Replace NaN and infinite voxels, usually left by an earlier processing step.",
    ProblemCode.CONSTANT_IMAGE: "Export the image again: it holds no anatomy.",
    ProblemCode.BAD_LABEL_VALUE: "Correct the label so that it holds only the values of its convention.",
    ProblemCode.OTHER_CONVENTION: "Convert the label to the site's convention, or set label_convention.",
}


@dataclass(frozen=True)
class CaseProblem:
    """Why one case is left out.

    Args:
        case_id: The case. Stays on the site.
        code: What is wrong. The code and how often it occurs are all that may leave.
        detail: What was seen; may name paths and ids, so it stays on the site.
    """

    case_id: str
    code: ProblemCode
    detail: str

    def describe(self) -> str:
        """Return one line for the site's own log."""
        return f"case {self.case_id} is left out: {self.code.value}: {self.detail}"


class CaseError(DataError):
    """One case can't be used; the others can.

    Args:
        problem: What is wrong with it.
    """

    def __init__(self, problem: CaseProblem) -> None:
        super().__init__(f"Case {problem.case_id}: {problem.detail} {problem.code.remedy}")
        self.problem = problem
