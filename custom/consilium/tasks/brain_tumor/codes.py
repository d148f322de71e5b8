"""Codes of problems with brain images and tumor labels."""

from consilium.data.problem_code import ProblemCode, warning


class BrainCode(ProblemCode):
    """Codes of heads, MR contrasts, and of a label's position in the brain."""

    # Images
    PARTIAL_COVERAGE = warning(
        "partial_coverage",
        "part of the brain",
        "Use the whole volume where there is one; a slab trains and scores as it is.",
    )
    NOT_SKULL_STRIPPED = warning(
        "not_skull_stripped",
        "not skull-stripped",
        "Look at the images: where skull or scalp is left, remove it, for example with HD-BET or SynthStrip.",
    )
    SWAPPED_MODALITIES = warning(
        "swapped_modalities",
        "modalities look swapped",
        "Look at the images: each has to show the contrast that its name says.",
    )
    # Labels
    LABEL_COVERS_BRAIN = warning(
        "label_covers_brain",
        "label covers most of the brain",
        "Look at the label: replace a brain mask or a map of tissues by the label of the tumor.",
    )
    LABEL_OUTSIDE_BRAIN = warning(
        "label_outside_brain",
        "label outside the brain",
        "Overlay the label on the images: it must cover the tumor.",
    )
    LABEL_SHIFTED = warning(
        "label_shifted",
        "label looks shifted",
        "Overlay the label on the images: it must cover the tumor.",
    )
    LABEL_MIRRORED = warning(
        "label_mirrored",
        "label looks mirrored",
        "Overlay the label on the images: it must be on the tumor's side.",
    )
    LABEL_MISMATCH = warning(
        "label_mismatch",
        "label doesn't fit the images",
        "Look at the label over the images: it may be another patient's.",
    )
    LABEL_VALUES_SWAPPED = warning(
        "label_values_swapped",
        "label values look swapped",
        "Look at the label over the images: each number has to mark its tissue.",
    )
