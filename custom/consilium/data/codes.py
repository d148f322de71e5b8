"""Everything that can be wrong with a hospital's data: one code each, how bad it is, and what mends it."""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple


class Severity(str, Enum):
    """What a finding means for the case."""

    ERROR = "error"
    """The case is left out: it would change what a label means, mix patients, or make training wrong."""
    WARNING = "warning"
    """The case is used; somebody should look at it."""
    INFO = "info"
    """The case is used; good to know."""


class ProblemCode(str, Enum):
    """What was found. The values are stable: they are counted and compared between sites."""

    # The folder as a whole
    FOLDER_UNUSABLE = "folder_unusable"
    UNKNOWN_LAYOUT = "unknown_layout"
    MIXED_LAYOUTS = "mixed_layouts"
    AMBIGUOUS_CONVENTION = "ambiguous_convention"
    DOUBTFUL_CONVENTION = "doubtful_convention"
    UNKNOWN_FILES = "unknown_files"
    NO_USABLE_CASE = "no_usable_case"
    NO_LABELED_CASE = "no_labeled_case"
    UNUSED_ACCEPTANCE = "unused_acceptance"
    OUTDATED_ACCEPTANCE = "outdated_acceptance"
    DISK_TOO_SMALL = "disk_too_small"
    PATIENTS_FILE = "patients_file"
    PATIENTS_FILE_INCOMPLETE = "patients_file_incomplete"
    # Files
    MISSING_MODALITY = "missing_modality"
    NO_LABEL = "no_label"
    DUPLICATE_CASE = "duplicate_case"
    REPEATED_CASE = "repeated_case"
    DUPLICATE_FILE = "duplicate_file"
    STRAY_LABEL = "stray_label"
    PERMISSION_DENIED = "permission_denied"
    EMPTY_FILE = "empty_file"
    POINTER_FILE = "pointer_file"
    DANGLING_LINK = "dangling_link"
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"
    OUT_OF_RESOURCES = "out_of_resources"
    UNEXPECTED_ERROR = "unexpected_error"
    TRAILING_BYTES = "trailing_bytes"
    MISNAMED_FILE = "misnamed_file"
    UNUSUAL_DTYPE = "unusual_dtype"
    IDENTIFYING_HEADER = "identifying_header"
    HEADER_TEXT = "header_text"
    # Grids
    NOT_3D = "not_3d"
    INVALID_AFFINE = "invalid_affine"
    SHAPE_MISMATCH = "shape_mismatch"
    AFFINE_MISMATCH = "affine_mismatch"
    LABEL_WITHOUT_POSITION = "label_without_position"
    NO_ORIENTATION = "no_orientation"
    INEXACT_QFORM = "inexact_qform"
    CONFLICTING_AFFINES = "conflicting_affines"
    UNIT_NOT_MM = "unit_not_mm"
    OTHER_SPACING = "other_spacing"
    THICK_SLICES = "thick_slices"
    IMPLAUSIBLE_SIZE = "implausible_size"
    PARTIAL_COVERAGE = "partial_coverage"
    # Intensities
    NON_FINITE = "non_finite"
    CONSTANT_IMAGE = "constant_image"
    LITTLE_CONTRAST = "little_contrast"
    NEGATIVE_INTENSITY = "negative_intensity"
    CLIPPED_INTENSITY = "clipped_intensity"
    EIGHT_BIT = "eight_bit"
    HOT_VOXELS = "hot_voxels"
    STRAY_VOXELS = "stray_voxels"
    ODD_SLICE = "odd_slice"
    NONZERO_BACKGROUND = "nonzero_background"
    NOT_SKULL_STRIPPED = "not_skull_stripped"
    # Modalities
    DUPLICATE_MODALITY = "duplicate_modality"
    SWAPPED_MODALITIES = "swapped_modalities"
    NOT_REGISTERED = "not_registered"
    # Labels
    BAD_LABEL_VALUE = "bad_label_value"
    OTHER_CONVENTION = "other_convention"
    LABEL_NOT_WHOLE = "label_not_whole"
    EMPTY_LABEL = "empty_label"
    LABEL_COVERS_BRAIN = "label_covers_brain"
    LABEL_OUTSIDE_BRAIN = "label_outside_brain"
    LABEL_SHIFTED = "label_shifted"
    LABEL_MIRRORED = "label_mirrored"
    LABEL_MISMATCH = "label_mismatch"
    LABEL_VALUES_SWAPPED = "label_values_swapped"
    # Patients
    DUPLICATE_EXAMINATION = "duplicate_examination"
    SHARED_IMAGE = "shared_image"
    SHARED_LABEL = "shared_label"
    POSSIBLE_SAME_PATIENT = "possible_same_patient"
    POSSIBLE_SAME_EXAMINATION = "possible_same_examination"

    @property
    def severity(self) -> Severity:
        """What it means for the case, unless the evidence of one finding is overwhelming."""
        return _KINDS[self].severity

    @property
    def acceptable(self) -> bool:
        """Whether a hospital can accept it for a case after looking, which then is used.

        Not what makes reading impossible or mixes patients: a statement doesn't change that.
        """
        return _KINDS[self].acceptable

    @property
    def summary(self) -> str:
        """What it is, in a few words."""
        return _KINDS[self].summary

    @property
    def remedy(self) -> str:
        """One sentence for the person at the hospital who can mend it."""
        return _KINDS[self].remedy


class _Kind(NamedTuple):
    severity: Severity
    summary: str
    remedy: str
    acceptable: bool


def _error(summary: str, remedy: str, *, acceptable: bool = False) -> _Kind:
    return _Kind(Severity.ERROR, summary, remedy, acceptable)


def _warning(summary: str, remedy: str) -> _Kind:
    return _Kind(Severity.WARNING, summary, remedy, acceptable=True)


def _info(summary: str, remedy: str) -> _Kind:
    return _Kind(Severity.INFO, summary, remedy, acceptable=True)


_KINDS: Mapping[ProblemCode, _Kind] = {
    ProblemCode.FOLDER_UNUSABLE: _error(
        "folder can't be used", "Name the folder that holds the cases, and let this account read it."
    ),
    ProblemCode.UNKNOWN_LAYOUT: _error(
        "no known layout",
        "Name the files as one of the layouts in docs/data.md does, or set file_endings for the site.",
    ),
    ProblemCode.MIXED_LAYOUTS: _error("several layouts", "Give each layout a dataset folder of its own."),
    ProblemCode.AMBIGUOUS_CONVENTION: _error(
        "label values have two readings", "Say which reading is right: set label_convention for the site."
    ),
    ProblemCode.DOUBTFUL_CONVENTION: _warning(
        "label values may mean something else", "Look at a label, and state the convention of the site."
    ),
    ProblemCode.UNKNOWN_FILES: _warning(
        "files that nothing is known of",
        "If one is an image or a label of a case, name its ending in file_endings; else move it elsewhere.",
    ),
    ProblemCode.NO_USABLE_CASE: _error(
        "no usable case", "Fix what was found in the cases, or add others; nothing can be done with none."
    ),
    ProblemCode.NO_LABELED_CASE: _warning(
        "good, without labels",
        "Add labels to train or evaluate; a model can predict these cases as they are.",
    ),
    ProblemCode.UNUSED_ACCEPTANCE: _warning(
        "accepted, but not found", "Correct or remove these lines of the file of accepted findings."
    ),
    ProblemCode.OUTDATED_ACCEPTANCE: _warning(
        "accepted for other files",
        "Look at these cases again: consilium check DIR --write-accepted FILE writes the lines for the files "
        "as they are now.",
    ),
    ProblemCode.DISK_TOO_SMALL: _error(
        "disk too small for the cache", "Make room, or set cache_dir to a larger disk and raise cache_gib."
    ),
    ProblemCode.PATIENTS_FILE: _error(
        "patients file can't be used",
        "Correct the file: a line case,patient for each case, each case once, saved as UTF-8.",
    ),
    ProblemCode.PATIENTS_FILE_INCOMPLETE: _warning(
        "patients file and folder differ",
        "Correct the ids, and add a line for each case that the file lacks: they are grouped by name alone.",
    ),
    ProblemCode.MISSING_MODALITY: _error(
        "image missing", "Add the missing image file to the case's folder, or remove the case."
    ),
    ProblemCode.NO_LABEL: _warning(
        "training image without label",
        "Copy the label into labelsTr, or move the image to imagesTs; without it nobody trains on the case.",
    ),
    ProblemCode.DUPLICATE_CASE: _error(
        "two different cases of one id",
        "Keep the right one, or rename one if they are different examinations.",
    ),
    ProblemCode.REPEATED_CASE: _warning(
        "case lies there twice", "Move the second copy out of the dataset folder; the first is used."
    ),
    ProblemCode.DUPLICATE_FILE: _error(
        "two files for one image", "Keep one of the two files and move the other out of the dataset folder."
    ),
    ProblemCode.STRAY_LABEL: _warning(
        "label of no case", "Name it as the images that it was drawn on are named, or move it elsewhere."
    ),
    ProblemCode.PERMISSION_DENIED: _error(
        "file may not be read", "Let the account that runs FLARE read the file and its folder."
    ),
    ProblemCode.EMPTY_FILE: _error("file of zero bytes", "Copy the file from its source again: it is empty."),
    ProblemCode.POINTER_FILE: _error(
        "pointer in place of a file", "Fetch the files themselves: git lfs pull, or git annex get ."
    ),
    ProblemCode.DANGLING_LINK: _error(
        "link to a file that isn't there",
        "Fetch what the link points to (git-annex, DataLad: git annex get .), or put the file itself there.",
    ),
    ProblemCode.UNREADABLE: _error("file can't be read", "Export the file as NIfTI (.nii or .nii.gz) again."),
    ProblemCode.TRUNCATED: _error(
        "file incomplete or damaged", "Copy the file from its source again: it is incomplete or damaged."
    ),
    ProblemCode.TOO_LARGE: _error(
        "larger than any MRI",
        "Export one 3D volume per file; if it is one, its header is damaged: copy it from its source again.",
    ),
    ProblemCode.OUT_OF_RESOURCES: _error(
        "memory or open files ran out",
        "Give this account more memory or open files (ulimit -a) or use fewer --workers, and start again.",
    ),
    ProblemCode.UNEXPECTED_ERROR: _error(
        "an error of Consilium's own", "Report it with the traceback in the log; the other cases are used."
    ),
    ProblemCode.TRAILING_BYTES: _warning(
        "bytes behind the image",
        "Copy the file from its source again: what is behind the image is not read.",
    ),
    ProblemCode.MISNAMED_FILE: _warning(
        "compression not as named", "Name compressed files .nii.gz and others .nii; other tools need it."
    ),
    ProblemCode.UNUSUAL_DTYPE: _info(
        "unusual number type", "Store images as int16 or float32 and labels as uint8; it saves disk and time."
    ),
    ProblemCode.IDENTIFYING_HEADER: _warning(
        "name, date or id in a header", "Clear the header field or extension before anybody shares the file."
    ),
    ProblemCode.HEADER_TEXT: _info(
        "free text in a header", "Make sure that the text doesn't say who the patient is."
    ),
    ProblemCode.NOT_3D: _error(
        "wrong number of axes", "Export one 3D volume per file (Decathlon: one 4D file with every modality)."
    ),
    ProblemCode.INVALID_AFFINE: _error(
        "invalid affine", "Export the file with a valid position and voxel size in its header."
    ),
    ProblemCode.SHAPE_MISMATCH: _error(
        "shapes differ within the case", "Register every image and the label of the case to one grid."
    ),
    ProblemCode.AFFINE_MISMATCH: _error(
        "positions differ within the case",
        "Register every image and the label of the case to one position in space.",
    ),
    ProblemCode.LABEL_WITHOUT_POSITION: _error(
        "label without a position",
        "Copy the image's header to the label, for example with FSL's fslcpgeom, and look that it fits.",
    ),
    ProblemCode.INEXACT_QFORM: _warning(
        "quaternion longer than 1",
        "Save the file again: the rounded quaternion is read here, but refused by nibabel and others.",
    ),
    ProblemCode.NO_ORIENTATION: _warning(
        "header without orientation",
        "Export the file with its orientation (qform or sform): left and right are a guess without it.",
    ),
    ProblemCode.CONFLICTING_AFFINES: _warning(
        "header with two orientations",
        "Make qform and sform agree: programs that read the other one see another position.",
    ),
    ProblemCode.UNIT_NOT_MM: _warning(
        "unit is not mm", "Store the voxel size in mm and say so in the header; it is read as mm."
    ),
    ProblemCode.OTHER_SPACING: _info(
        "voxel size is not the job's",
        "Nothing to do: images are resampled; scores are on their own grid.",
    ),
    ProblemCode.THICK_SLICES: _info("thick slices", "Prefer the thinnest series that was acquired."),
    ProblemCode.IMPLAUSIBLE_SIZE: _warning(
        "not the size of a brain", "Correct the voxel size in the header, or check what the image shows."
    ),
    ProblemCode.PARTIAL_COVERAGE: _warning(
        "part of the brain", "Use the whole volume where there is one; a slab trains and scores as it is."
    ),
    ProblemCode.NON_FINITE: _error(
        "NaN, infinite or absurd voxels",
        "Replace NaN and infinite voxels, usually left by an earlier processing step.",
    ),
    ProblemCode.CONSTANT_IMAGE: _error(
        "image without contrast", "Export the image again: it holds no anatomy."
    ),
    ProblemCode.LITTLE_CONTRAST: _warning(
        "most voxels have one value", "Look at the image: it may be a mask, or another map, and no MR image."
    ),
    ProblemCode.NEGATIVE_INTENSITY: _warning(
        "negative intensities", "Use images as acquired, without an earlier normalization or filter."
    ),
    ProblemCode.CLIPPED_INTENSITY: _warning(
        "clipped intensities", "Export the image without a window: its brightest voxels are cut off."
    ),
    ProblemCode.EIGHT_BIT: _warning(
        "eight-bit intensities", "Export the image with all of its gray levels (16 bits)."
    ),
    ProblemCode.HOT_VOXELS: _warning(
        "voxels far beyond all others",
        "Look at the image: overflow, wrapped numbers or spikes; they are clipped, not corrected.",
    ),
    ProblemCode.STRAY_VOXELS: _warning(
        "voxels apart from the head",
        "Set what lies outside the brain to 0; these voxels are not used and nothing is predicted there.",
    ),
    ProblemCode.ODD_SLICE: _warning(
        "slice unlike its neighbors", "Look at the image: a slice was acquired, converted or stored wrongly."
    ),
    ProblemCode.NONZERO_BACKGROUND: _error(
        "background is not 0",
        "Set what lies outside the brain to 0: only the rest is normalized.",
        acceptable=True,
    ),
    ProblemCode.NOT_SKULL_STRIPPED: _warning(
        "not skull-stripped",
        "Look at the images: where skull or scalp is left, remove it, for example with HD-BET or SynthStrip.",
    ),
    ProblemCode.DUPLICATE_MODALITY: _error(
        "one image under two modalities",
        "Replace the copy by the image of its own modality.",
        acceptable=True,
    ),
    ProblemCode.SWAPPED_MODALITIES: _warning(
        "modalities look swapped", "Look at the images: each has to show the contrast that its name says."
    ),
    ProblemCode.NOT_REGISTERED: _warning(
        "images don't lie on one another",
        "Look at the images one over the other: their outlines have to agree.",
    ),
    ProblemCode.BAD_LABEL_VALUE: _error(
        "unknown label value", "Correct the label so that it holds only the values of its convention."
    ),
    ProblemCode.OTHER_CONVENTION: _error(
        "label of another convention", "Convert the label to the site's convention, or set label_convention."
    ),
    ProblemCode.LABEL_NOT_WHOLE: _warning(
        "label values are not whole numbers",
        "Save the label as uint8 without scaling; values within 0.001 of a whole number are rounded.",
    ),
    ProblemCode.EMPTY_LABEL: _error(
        "empty label",
        "Draw the label, or remove the label file: the case then counts as unlabeled.",
        acceptable=True,
    ),
    ProblemCode.LABEL_COVERS_BRAIN: _warning(
        "label covers most of the brain",
        "Look at the label: replace a brain mask or a map of tissues by the label of the tumor.",
    ),
    ProblemCode.LABEL_OUTSIDE_BRAIN: _warning(
        "label outside the brain", "Look at the label over the images: it has to lie on the tumor."
    ),
    ProblemCode.LABEL_SHIFTED: _warning(
        "label looks shifted", "Look at the label over the images: it has to lie on the tumor."
    ),
    ProblemCode.LABEL_MIRRORED: _warning(
        "label looks mirrored", "Look at the label over the images: it has to lie on the tumor's side."
    ),
    ProblemCode.LABEL_MISMATCH: _warning(
        "label doesn't fit the images", "Look at the label over the images: it may be another patient's."
    ),
    ProblemCode.LABEL_VALUES_SWAPPED: _warning(
        "label values look swapped", "Look at the label over the images: each number has to mark its tissue."
    ),
    ProblemCode.DUPLICATE_EXAMINATION: _error(
        "one examination under two ids", "Remove the copy: one patient would train and validate."
    ),
    ProblemCode.SHARED_IMAGE: _error("image of another case", "Replace the image by this patient's own."),
    ProblemCode.SHARED_LABEL: _error("label of another case", "Replace the label by this patient's own."),
    ProblemCode.POSSIBLE_SAME_PATIENT: _warning(
        "two ids, maybe one patient",
        "Declare the patients: consilium check DIR --write-patients FILE writes a file to correct, for the "
        "site's patients_file.",
    ),
    ProblemCode.POSSIBLE_SAME_EXAMINATION: _warning(
        "two ids, maybe one examination",
        "Look at both: remove a copy; declare two examinations of one patient in the site's patients_file.",
    ),
}
