"""Cases of brain tumor segmentation: four MRI contrasts without the skull, labels as in BraTS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from consilium.tasks.brain_tumor.checks.case import CHECKS
from consilium.tasks.brain_tumor.convention_recognition import read_convention
from consilium.tasks.brain_tumor.described_labels import decide_in_folders
from consilium.tasks.brain_tumor.label_conventions import LabelConvention
from consilium.tasks.brain_tumor.vocabulary import SINCE_2023, WORDS
from consilium.tasks.segmentation.cases import SegmentationCases
from consilium.tasks.segmentation.labels import Reading, Values
from consilium.tasks.segmentation.layouts import FilePerImageLayout, ImageFoldersLayout, Layout
from consilium.tasks.segmentation.preparation.normalization import StandardizedForeground

INPUTS: Final = ("t1", "t1ce", "t2", "flair")
"""Canonical names of the contrasts, in the network's order."""


@dataclass(frozen=True)
class BratsLabels:
    """Labels whose numbers mean what one of the BraTS conventions says; see `LabelConvention`."""

    conventions: tuple[str, ...] = tuple(one.value for one in LabelConvention)

    @property
    def known_values(self) -> frozenset[int]:
        """The values of all conventions."""
        return frozenset(value for convention in LabelConvention for value in convention.values)

    def values(self, convention: str | None) -> Mapping[int, int]:
        """Return file value to `Tissue`.

        Raises:
            ValueError: There is no convention of that name.
        """
        return LabelConvention(convention).values

    def decide(self, labels: Mapping[str, Values], layout: Layout, stated: str | None) -> Reading:
        """Decide by file names, case ids and all label values; see `conventions`."""
        if stated is not None:
            return read_convention(labels, stated=LabelConvention(stated))
        if isinstance(layout, ImageFoldersLayout):
            return read_convention(labels, described=decide_in_folders(labels, layout.label_descriptions()))
        since_2023 = isinstance(layout, FilePerImageLayout) and layout.naming == SINCE_2023
        return read_convention(labels, since_2023=since_2023)


def brain_tumor_cases(inputs: tuple[str, ...] = INPUTS) -> SegmentationCases:
    """Return the case format of brain tumors.

    Args:
        inputs: The contrasts that are used.
    """
    return SegmentationCases(
        name="brain_tumor",
        inputs=inputs,
        vocabulary=WORDS,
        labels=BratsLabels(),
        normalization=StandardizedForeground(),
        own_checks=CHECKS,
    )


CASES: Final = brain_tumor_cases()
"""The case format of the task."""
