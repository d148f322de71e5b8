"""The dataset layouts that Consilium reads, and how the one of a folder is recognized."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from consilium.data.case import FolderError, ProblemCode
from consilium.data.layouts.base import FoundCases, Layout
from consilium.data.layouts.brats import BRATS_2018, BRATS_2023
from consilium.data.layouts.decathlon import DecathlonLayout
from consilium.data.scan import describe_kinds, is_dicom

__all__ = ["LAYOUTS", "FoundCases", "Layout", "detect_layout"]

LAYOUTS: tuple[Layout, ...] = (BRATS_2018, BRATS_2023, DecathlonLayout())


_DICOM_HINT: Final = (
    "These are DICOM files: convert each series to NIfTI, for example with dcm2niix, register the images of "
    "a case to one another and remove the skull."
)


def detect_layout(folder: Path, files: Sequence[Path]) -> Layout:
    """The one layout whose files lie in a folder.

    Args:
        folder: The dataset folder, for the error.
        files: Every visible file under it.

    Returns:
        The layout.

    Raises:
        FolderError: No layout claims a file, or more than one does.
    """
    claimed = {layout.name: [path for path in files if layout.claims(path)] for layout in LAYOUTS}
    matching = [layout for layout in LAYOUTS if claimed[layout.name]]
    if not matching:
        wanted = "; ".join(f"{layout.name}: {layout.expects}" for layout in LAYOUTS)
        dicom = f" {_DICOM_HINT}" if any(is_dicom(path) for path in files) else ""
        raise FolderError(
            ProblemCode.UNKNOWN_LAYOUT,
            f"No known layout under {folder}. Found {describe_kinds(files) or 'no readable file'}."
            f"{dicom} Looked for {wanted}.",
        )
    if len(matching) > 1:
        found = "; ".join(
            f"{layout.name}: {len(claimed[layout.name])} files, such as {claimed[layout.name][0]}"
            for layout in matching
        )
        raise FolderError(
            ProblemCode.MIXED_LAYOUTS,
            f"{folder} mixes layouts ({found}). Give each layout a dataset folder of its own.",
        )
    return matching[0]
