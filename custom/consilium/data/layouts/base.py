"""What a dataset layout is: the file names by which cases, modalities and labels are told apart."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from consilium.data.case import Case, CaseProblem
from consilium.data.labels import LabelConvention


@dataclass(frozen=True)
class FoundCases:
    """What a layout made of a folder: cases, and what looked like one but isn't complete."""

    cases: tuple[Case, ...]
    problems: tuple[CaseProblem, ...]


class Layout(Protocol):
    """One way in which cohorts lie on disk; a new one is a class in this package and a line in `LAYOUTS`."""

    @property
    def name(self) -> str:
        """Short name, as it stands in reports."""

    @property
    def expects(self) -> str:
        """The files that it looks for, as they stand in an error message."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Canonical names of the modalities that it knows."""

    def claims(self, path: Path) -> bool:
        """Whether a file belongs to this layout, by its name and folder alone."""

    def find(self, files: Sequence[Path], modalities: Sequence[str]) -> FoundCases:
        """Put the files that it claims together to cases.

        Args:
            files: Every visible file of the dataset folder.
            modalities: Canonical names of the images that a case must have.

        Raises:
            DataError: The folder contradicts itself, for example in its description file.
        """

    def convention(self, labels: Collection[frozenset[float]]) -> LabelConvention:
        """The label convention of a site.

        Args:
            labels: For each label of the site, the values other than 0 that occur in it.

        Raises:
            DataError: Names and values allow two readings.
        """


def nifti_stem(path: Path) -> str | None:
    """File name without `.nii` or `.nii.gz`, None for any other file."""
    for extension in (".nii.gz", ".nii"):
        if path.name.endswith(extension):
            return path.name.removesuffix(extension)
    return None
