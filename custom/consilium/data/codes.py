"""Codes of problems with folders, files and patients, whatever the images show."""

from __future__ import annotations

from consilium.data.problem_code import ProblemCode, error, info, known_codes, warning


class DataCode(ProblemCode):
    """Codes of folders, files and patients, whatever the images show."""

    # The folder as a whole
    FOLDER_UNUSABLE = error(
        "folder_unusable",
        "folder can't be used",
        "Name the folder that holds the cases, and let this account read it.",
    )
    UNKNOWN_LAYOUT = error(
        "unknown_layout",
        "no known layout",
        "Name the files as the task's layouts have it, or set file_endings for the site; the check is for "
        "the task of its job.",
    )
    MIXED_LAYOUTS = error(
        "mixed_layouts",
        "several layouts",
        "Give each layout a dataset folder of its own.",
    )
    UNKNOWN_FILES = warning(
        "unknown_files",
        "files that nothing is known of",
        "If one is an image or a label of a case, name its ending in file_endings; else move it elsewhere.",
    )
    JOB_DECLINED = error(
        "job_declined",
        "the site would decline this job",
        "Name a job that takes such a hospital with --job, or ask the lead data scientist for one.",
    )
    NO_USABLE_CASE = error(
        "no_usable_case",
        "no usable case",
        "Fix what was found in the cases, or add others; nothing can be done with none.",
    )
    NO_LABELED_CASE = warning(
        "no_labeled_case",
        "good, without labels",
        "Add labels to train or evaluate; a model can predict these cases as they are.",
    )
    UNLABELED = error(
        "unlabeled",
        "no label to compare with",
        "Add the case's label, named as the folder's layout has it; `consilium predict` takes none.",
    )
    NO_PICTURE = warning(
        "no_picture",
        "predicted, but not drawn",
        "The other files are complete; the log has the cause. `consilium predict --pictures` tries again.",
    )
    UNUSED_ACCEPTANCE = warning(
        "unused_acceptance",
        "accepted, but not found",
        "Correct or remove these lines of the file of accepted findings.",
    )
    OUTDATED_ACCEPTANCE = warning(
        "outdated_acceptance",
        "accepted for other files",
        "Look at these cases again: consilium check DIR --write-accepted FILE writes the lines for the "
        "files as they are now.",
    )
    DISK_TOO_SMALL = error(
        "disk_too_small",
        "disk too small for the cache",
        "Make room, or set cache_dir to a larger disk and raise cache_gib.",
    )
    PATIENTS_FILE = error(
        "patients_file",
        "patients file can't be used",
        "Correct the file: a line case,patient for each case, each case once, saved as UTF-8.",
    )
    PATIENTS_FILE_INCOMPLETE = warning(
        "patients_file_incomplete",
        "patients file and folder differ",
        "Correct the ids, and add a line for each case that the file lacks: they are grouped by name alone.",
    )
    DOUBTFUL_CONVENTION = warning(
        "doubtful_convention",
        "label values may mean something else",
        "Look at a label, and state the convention of the site.",
    )
    # Files
    MISSING_IMAGE = error(
        "missing_image",
        "image missing",
        "Add the missing image file to the case's folder, or remove the case. A hospital that doesn't "
        "acquire an image can agree to use cases without it: missing_inputs in its settings (docs/data.md).",
    )
    ABSENT_IMAGE = info(
        "absent_image",
        "used without an image",
        "No action: the model was trained for it. If the image exists, name its file as the layout has it.",
    )
    NO_LABEL = warning(
        "no_label",
        "training image without label",
        "Copy the label into labelsTr, or move the image to imagesTs; unlabeled cases are not trained on.",
    )
    DUPLICATE_CASE = error(
        "duplicate_case",
        "two different cases of one id",
        "Keep the right one, or rename one if they are different examinations.",
    )
    REPEATED_CASE = warning(
        "repeated_case",
        "case is stored twice",
        "Move the second copy out of the dataset folder; the first is used.",
    )
    DUPLICATE_FILE = error(
        "duplicate_file",
        "two files for one image",
        "Keep one of the two files and move the other out of the dataset folder.",
    )
    STRAY_LABEL = warning(
        "stray_label",
        "label of no case",
        "Name it as the images that it was drawn on are named, or move it elsewhere.",
    )
    PERMISSION_DENIED = error(
        "permission_denied",
        "file may not be read",
        "Let the account that runs FLARE read the file and its folder.",
    )
    EMPTY_FILE = error(
        "empty_file",
        "file of zero bytes",
        "Copy the file from its source again: it is empty.",
    )
    POINTER_FILE = error(
        "pointer_file",
        "pointer in place of a file",
        "Fetch the files themselves: git lfs pull, or git annex get .",
    )
    DANGLING_LINK = error(
        "dangling_link",
        "link to a file that isn't there",
        "Fetch what the link points to (git-annex, DataLad: git annex get .), or put the file itself there.",
    )
    UNREADABLE = error(
        "unreadable",
        "file can't be read",
        "Export the file again, in a format and with settings that docs/data.md names.",
    )
    TRUNCATED = error(
        "truncated",
        "file incomplete or damaged",
        "Copy the file from its source again: it is incomplete or damaged.",
    )
    TOO_LARGE = error(
        "too_large",
        "larger than any image",
        "Export one image per file; if it is one, its header is damaged: copy it from its source again.",
    )
    TRAILING_BYTES = warning(
        "trailing_bytes",
        "bytes behind the image",
        "Copy the file from its source again: what is behind the image is not read.",
    )
    IDENTIFYING_HEADER = warning(
        "identifying_header",
        "name, date or id in a header",
        "Clear the header field or extension before the file is shared.",
    )
    HEADER_TEXT = info(
        "header_text",
        "free text in a header",
        "Make sure that the text doesn't say who the patient is.",
    )
    # The machine
    OUT_OF_RESOURCES = error(
        "out_of_resources",
        "memory or open files ran out",
        "Give this account more memory or open files (ulimit -a) or use fewer --workers, and start again.",
    )
    UNEXPECTED_ERROR = error(
        "unexpected_error",
        "an error of Consilium's own",
        "Report it with the traceback in the log; the other cases are used.",
    )
    # Patients
    DUPLICATE_EXAMINATION = error(
        "duplicate_examination",
        "one examination under two ids",
        "Remove the copy: one patient would train and validate.",
    )
    SHARED_IMAGE = error(
        "shared_image",
        "image of another case",
        "Replace the image by this patient's own.",
    )
    SHARED_LABEL = error(
        "shared_label",
        "label of another case",
        "Replace the label by this patient's own.",
    )
    POSSIBLE_SAME_PATIENT = warning(
        "possible_same_patient",
        "two ids, maybe one patient",
        "Declare the patients: consilium check DIR --write-patients FILE writes a file to correct, for "
        "the site's patients_file.",
    )
    POSSIBLE_SAME_EXAMINATION = warning(
        "possible_same_examination",
        "two ids, maybe one examination",
        "Look at both: remove a copy; declare two examinations of one patient in the site's patients_file.",
    )


def find_code(value: str) -> ProblemCode | None:
    """Return the code of a value; None where it is of a task or version that isn't known here."""
    return next((code for code in known_codes() if code.value == value), None)
