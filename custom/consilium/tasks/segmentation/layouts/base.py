"""What a dataset layout is: the file names by which cases, modalities and labels are told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from consilium.data.case import Case, CaseProblem, Notice
from consilium.tasks.brain_tumor.conventions import Reading, Values
from consilium.tasks.brain_tumor.labels import LabelConvention

_EXTENSIONS: Final = (".nii.gz", ".nii")


@dataclass(frozen=True)
class FoundCases:
    """What a layout made of a folder: cases, and what looked like one but isn't complete.

    Args:
        cases: Whole cases.
        problems: What makes the others unusable.
        incomplete: Cases among those with problems that have images, which can be looked at all the same.
        notices: What somebody should look at although the case is used, or belongs to no case.
        understood: The files whose names say what they are, used or not.
    """

    cases: tuple[Case, ...]
    problems: tuple[CaseProblem, ...]
    incomplete: tuple[Case, ...] = ()
    notices: tuple[Notice, ...] = ()
    understood: frozenset[Path] = frozenset()


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
