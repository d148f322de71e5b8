"""What a dataset layout is: the file names by which cases, modalities and labels are told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from consilium.data.case_format import FoundCases
from consilium.tasks.brain_tumor.labels import LabelConvention
from consilium.tasks.segmentation.labels import Reading, Values

_EXTENSIONS: Final = (".nii.gz", ".nii")


class Layout(Protocol):
    """One way in which cohorts lie on disk; a new one is a class here and a line in `detect_layout`."""

    @property
    def name(self) -> str:
        """Short name, as it stands in reports."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Canonical names of the modalities that it knows."""

    def find(self, files: Sequence[Path], modalities: Sequence[str]) -> FoundCases:
        """Put the files of the layout together to cases.

        Args:
            files: Every visible file of the dataset folder.
            modalities: Canonical names of the images that a case must have.

        Raises:
            DataError: The folder contradicts itself, for example in its description file.
        """

    def convention(self, labels: Mapping[str, Values], stated: LabelConvention | None = None) -> Reading:
        """The label convention of a site.

        Args:
            labels: For each label of the site, by case id, the values other than 0 that occur in it.
            stated: What the hospital says.

        Raises:
            FolderError: Names and values allow two readings.
        """


def nifti_stem(path: Path) -> str | None:
    """File name without `.nii` or `.nii.gz`, in any case of letters; None for any other file."""
    for extension in _EXTENSIONS:
        if path.name.lower().endswith(extension):
            return path.name[: -len(extension)]
    return None
