"""Vocabulary of a problem: the endings of file names by which its images and labels are distinguished."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from consilium.data.visits import PatientNames

LABEL = "label"
"""The role of a reference segmentation, beside those of the inputs."""


@dataclass(frozen=True)
class BidsNames:
    """Meaning of BIDS suffixes and entities for a problem.

    Args:
        suffixes: Suffix to input, or `LABEL`.
        enhanced: With a contrast agent (`_ce-`) an input is another one.
        label: Entities by which a mask is a label of the problem.
        anatomy: Entities by which a segmentation is none.
        prepared: Entities by which an image is the one that training wants.
    """

    suffixes: Mapping[str, str]
    enhanced: Mapping[str, str] = field(default_factory=dict)
    label: str = r"(?i)-(?:[a-z]*lesion)"
    anatomy: str = r"(?i)(?:aseg|aparc|tissue|atlas)"
    prepared: str = r"(?i)_desc-preproc"


@dataclass(frozen=True)
class KnownSet:
    """A public set of 4D images that ships without a usable `dataset.json`.

    Args:
        pattern: Its case ids.
        channels: The inputs, in the order of its channels.
    """

    pattern: str
    channels: tuple[str, ...]


LABEL_WORDS: Final = frozenset(
    (
        *("seg", "segm", "segmentation", "label", "labels", "mask", "roi", "lesion", "gt", "truth"),
        *("manual", "manually", "auto", "automated", "automatic", "final", "corrected", "expert"),
        *("reviewed", "revised", "approved", "consensus", "fused", "staple", "rater", "reader"),
    )
)
"""Words that may stand between a case and its label, whatever the task."""

IMAGING_WORDS: Final = frozenset(
    (
        *("pre", "post", "reg", "registered", "native", "raw", "core", "whole", "image", "map", "new"),
        *("old", "copy", "backup", "v1", "v2", "v3", "prob", "probability", "contrast", "axial", "ax"),
        *("sag", "cor", "dicom", "ct", "pet", "mri"),
    )
)
"""Words that identify no patient, but may say that a file is something else, whatever the task."""


@dataclass(frozen=True)
class Vocabulary:
    """Vocabulary of file names of a problem.

    Words are joined by "_" here; in a file name "-", "." and a space do as well, and case does not matter.

    Args:
        images: Input to its endings.
        labels: Endings of labels; those of an earlier group count before those of a later one.
        prepared: How a pipeline names the image that training wants, `{}` being an ending; earlier is better.
        plain: How it names the others.
        short: More endings of inputs, as they stand, to whether they say that the image is prepared.
        others: Endings of images and masks that lie beside the others and are none of them.
        label_words: Words that may stand between a case and its label.
        imaging_words: Further words that identify no patient, but may say that a file is something else.
        naming: Of which release the names are, by a plain ending and whether "-" precedes it; None where
            they may be of any.
        namings: Releases to what a message calls them; files of two never lie in one folder.
        layouts: Names of layouts, by release.
        plain_layout: Name of the layout, and the pattern that all its names have.
        bids: What BIDS' names mean.
        misnamed_labels: Label to the case that it is of, where a public set ships it under a wrong name.
        known_sets: Public sets of 4D images.
        patient_names: How ids name patients, those of public collections among them.
        example_ending: An input and an ending, for messages.
        expects: The files that are looked for, for messages.
        needs: Channels that `dataset.json` must name, for messages.
        decathlon_example: A `dataset.json` of the Decathlon, for messages.
        nnunet_example: One of nnU-Net, for messages.
        after_dicom: What to do once DICOM is converted, for messages.
    """

    images: Mapping[str, tuple[str, ...]]
    labels: tuple[tuple[str, ...], ...] = (("seg", "segm", "segmentation", "label", "mask"),)
    prepared: tuple[str, ...] = ()
    plain: tuple[str, ...] = ("{}",)
    short: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    label_words: frozenset[str] = LABEL_WORDS
    imaging_words: frozenset[str] = IMAGING_WORDS
    naming: Callable[[str, bool], str | None] | None = None
    namings: Mapping[str, str] = field(default_factory=dict)
    layouts: Mapping[str, str] = field(default_factory=dict)
    plain_layout: tuple[str, str] | None = None
    bids: BidsNames | None = None
    misnamed_labels: Mapping[str, str] = field(default_factory=dict)
    known_sets: tuple[KnownSet, ...] = ()
    patient_names: PatientNames = field(default_factory=PatientNames)
    example_ending: tuple[str, str] | None = None
    expects: str = ""
    needs: str = ""
    decathlon_example: str = ""
    nnunet_example: str = ""
    after_dicom: str = ""

    @property
    def example(self) -> tuple[str, str]:
        """An input and an ending that a hospital may add for it."""
        name = next(iter(self.images))
        return self.example_ending or (name, f"{name}_new")

    @property
    def looked_for(self) -> str:
        """The files that are looked for, as they stand in a message."""
        endings = " ".join(f"_{names[0]}" for names in (*self.images.values(), self.labels[0]))
        return self.expects or f"<case>{endings}, all .nii or .nii.gz"

    @property
    def needed(self) -> str:
        """What `dataset.json` must name, as it is in a message."""
        return self.needs or f"needed are {', '.join(self.images)}"

    def known_set(self, case_ids: list[str]) -> KnownSet | None:
        """Return the public set as whose all of some cases are named."""
        return next(
            (one for one in self.known_sets if all(re.fullmatch(one.pattern, name) for name in case_ids)),
            None,
        )
