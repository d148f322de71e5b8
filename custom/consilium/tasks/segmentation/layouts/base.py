"""A dataset layout: the file names by which cases, images and labels are distinguished."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from consilium.data.case_format import FoundCases

_EXTENSIONS: Final = (".nii.gz", ".nii")


class Layout(Protocol):
    """One way in which cohorts lie on disk; a new one is a class here and a line in `detect_layout`."""

    @property
    def name(self) -> str:
        """Short name, as it is in reports."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs that it knows."""

    def find(self, files: Sequence[Path], inputs: Sequence[str]) -> FoundCases:
        """Put the files of the layout together to cases.

        Args:
            files: Every visible file of the dataset folder.
            inputs: Names of the images that a case must have.

        Raises:
            DataError: The folder contradicts itself, for example in its description file.
        """


def nifti_stem(path: Path) -> str | None:
    """File name without `.nii` or `.nii.gz`, in any case of letters; None for any other file."""
    for extension in _EXTENSIONS:
        if path.name.lower().endswith(extension):
            return path.name[: -len(extension)]
    return None
