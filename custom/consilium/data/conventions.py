"""Which label convention a BraTS cohort uses, from its file names and all of its label values.

The years share file names but not label values, so neither is enough alone. Where two readings remain, the
site says which: enhancing tumor taken for a resection cavity would train without any error.
"""

from collections.abc import Collection

from consilium.data.case import FolderError, ProblemCode
from consilium.data.labels import LabelConvention

_ALLOWED = ", ".join(convention.value for convention in LabelConvention)


def from_2018_names(labels: Collection[frozenset[float]]) -> LabelConvention:
    """Convention behind `_seg` names (2018 to 2021): enhancing tumor is 4, and 3 does not occur.

    A few labels with 3 among labels with 4 come from another release and are left out one by one; 3 without
    any 4, or both in one label, says that the files may have been renamed.

    Args:
        labels: Values other than 0 of each label.

    Raises:
        FolderError: Names and values allow two readings.
    """
    three, four, both = _counts(labels)
    if both:
        raise _ambiguous(
            f"{both} of {len(labels)} labels hold 3 and 4 together, which only brats-2024 does, "
            "but the file names (_seg) are those of brats-2018",
            "renamed brats-2024 labels (3 enhancing tumor, 4 resection cavity)",
            "brats-2018 labels (4 enhancing tumor) with faulty ones among them",
        )
    if three and not four:
        raise _ambiguous(
            f"{three} of {len(labels)} labels hold 3 and none holds 4, "
            "but the file names (_seg) are those of brats-2018, where 3 is unused",
            "renamed brats-2023 labels (3 enhancing tumor)",
            "brats-2018 labels of tumors without enhancement, with faulty ones among them",
        )
    return LabelConvention.BRATS_2018


def from_2023_names(labels: Collection[frozenset[float]]) -> LabelConvention:
    """Convention behind `-seg` names (2023 and later): 4 is unused in 2023 and the resection cavity in 2024.

    Args:
        labels: Values other than 0 of each label.

    Raises:
        FolderError: Names and values allow two readings.
    """
    three, four, both = _counts(labels)
    if both:
        return LabelConvention.BRATS_2024
    if four:
        raise _ambiguous(
            f"{four} of {len(labels)} labels hold 4, {three} hold 3, and none holds both",
            "brats-2024 labels (4 resection cavity)",
            "renamed brats-2018 labels (4 enhancing tumor)",
        )
    return LabelConvention.BRATS_2023


def _counts(labels: Collection[frozenset[float]]) -> tuple[int, int, int]:
    """How many labels hold 3, hold 4, and hold both."""
    return (
        sum(3 in values for values in labels),
        sum(4 in values for values in labels),
        sum({3, 4} <= values for values in labels),
    )


def _ambiguous(evidence: str, first: str, second: str) -> FolderError:
    return FolderError(
        ProblemCode.AMBIGUOUS_CONVENTION,
        f"The label convention of this site can't be told: {evidence}. Either they are {first}, "
        f"or {second}. "
        "Decide it with the property label_convention of the site's scope in local/privacy.json; "
        f"allowed: {_ALLOWED}.",
    )
