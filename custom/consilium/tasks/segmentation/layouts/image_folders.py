"""Layout of the Medical Segmentation Decathlon and of nnU-Net: `imagesTr`, `labelsTr`, `imagesTs`.

The Decathlon has one image a case, of several channels a 4D one (http://medicaldecathlon.com). nnU-Net has
one file a channel, `<case>_0000.nii.gz`, and says in `dataset.json` what channels and labels are
(https://github.com/MIC-DKFZ/nnUNet).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

from consilium.data.case import Case, FolderError, ImageFile
from consilium.data.case_format import FoundCases
from consilium.data.codes import DataCode
from consilium.data.finding import Finding
from consilium.tasks.segmentation.layouts.base import nifti_stem
from consilium.tasks.segmentation.layouts.dataset_json import FILE, Description, read_description
from consilium.tasks.segmentation.layouts.endings import FileEndings

DECATHLON: Final = "decathlon"
NNUNET: Final = "nnunet"
EXPECTS: Final = (
    "decathlon: imagesTr/<case> (4D) labelsTr/<case> imagesTs/<case>; "
    f"nnunet: imagesTr/<case>_0000 _0001 ... labelsTr/<case> {FILE}"
)
"""The files that they look for, as they stand in an error message."""

_TRAINING, _TEST = "imagesTr", "imagesTs"
_IMAGES, _LABELS = (_TRAINING, _TEST), ("labelsTr", "labelsTs")
_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


class ImageFoldersLayout:
    """Decathlon's folders, or nnU-Net's.

    Args:
        files: Every visible file of the dataset folder.
        endings: Knows how channels are spelled.
        claimed: Files that are of another layout, by their names.

    Raises:
        FolderError: A description contradicts the folder, or is missing where nothing else says what is what.
    """

    def __init__(self, files: Sequence[Path], endings: FileEndings, claimed: frozenset[Path]) -> None:
        self._endings = endings
        self._images, self._labels = (
            [path for path in files if path.parent.name in names and path not in claimed and nifti_stem(path)]
            for names in (_IMAGES, _LABELS)
        )
        self._roots = sorted({path.parent.parent for path in (*self._images, *self._labels)})

    @property
    def claims(self) -> int:
        """How many files belong to it."""
        return len(self._images) + len(self._labels)

    @property
    def name(self) -> str:
        """Short name, as it is in reports."""
        return NNUNET if self._by_channel else DECATHLON

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs that it knows."""
        return self._endings.inputs

    def find(self, files: Sequence[Path], modalities: Sequence[str]) -> FoundCases:
        """Pair the images with their labels.

        Args:
            files: Every visible file of the dataset folder.
            modalities: Canonical names of the images that a case must have.

        Raises:
            FolderError: `dataset.json` describes another dataset, or is missing where it is needed.
        """
        labels = {(path.parent.parent, nifti_stem(path) or ""): path for path in self._labels}
        cases: list[Case] = []
        incomplete: list[Case] = []
        problems: list[Finding] = []
        notices: list[Finding] = []
        for (folder, case_id), images in self._volumes().items():
            label = labels.pop((folder.parent, case_id), None)
            if label is None and self._labels and folder.name == _TRAINING:
                detail = f"{folder.parent / _LABELS[0]} has no label of it."
                notices.append(Finding(code=DataCode.NO_LABEL, detail=detail, case_id=case_id))
            missing = [name for name in modalities if name not in images]
            case = Case(
                id=case_id,
                patient=self._endings.vocabulary.patient_names.patient_of(case_id),
                images={name: images[name] for name in modalities if name in images},
                target=ImageFile(label) if label else None,
            )
            if not missing:
                cases.append(case)
                continue
            detail = f"{folder} has no {', '.join(missing)} image of it."
            problems.append(Finding(case_id=case_id, code=DataCode.MISSING_IMAGE, detail=detail))
            if case.images:
                incomplete.append(case)
        for (root, case_id), path in labels.items():
            detail = f"{path} has no image in {root / _TRAINING}."
            notices.append(Finding(code=DataCode.STRAY_LABEL, detail=detail, case_id=case_id))
        known = {root / FILE for root in self._roots}
        return FoundCases(
            tuple(cases),
            tuple(problems),
            tuple(incomplete),
            tuple(notices),
            frozenset({*self._images, *self._labels, *known}),
        )

    def label_descriptions(self) -> list[Description | None]:
        """Return what describes each folder that has labels."""
        return [self._descriptions[root] for root in sorted({path.parent.parent for path in self._labels})]

    def _volumes(self) -> dict[tuple[Path, str], dict[str, ImageFile]]:
        """The images of each case, by folder and id."""
        found: dict[tuple[Path, str], dict[str, ImageFile]] = defaultdict(dict)
        for path in self._images:
            stem = nifti_stem(path) or path.name
            description = self._descriptions[path.parent.parent]
            if not self._by_channel:
                order = description.channels if description else self._known_order(path.parent.parent)
                images = {
                    name: ImageFile(path, index if len(order) > 1 else None)
                    for index, name in enumerate(order)
                    if name
                }
                found[path.parent, stem] = images
                continue
            if description is None:
                example = self._endings.vocabulary.nnunet_example
                raise _undescribed(path.parent.parent, "like a raw dataset of nnU-Net", example)
            case_id, channel = _split(stem)
            images = found[path.parent, case_id]
            if channel is not None and channel < len(description.channels):
                images[description.channels[channel]] = ImageFile(path)
        return found

    def _known_order(self, root: Path) -> tuple[str, ...]:
        """The order of channels of a public set, which only cases that are named as its have for certain."""
        known = self._endings.vocabulary.known_set(
            [nifti_stem(path) or "" for path in self._images if path.parent.parent == root]
        )
        if known is not None:
            return known.channels
        if self._single:
            return self._endings.inputs
        example = self._endings.vocabulary.decathlon_example
        raise _undescribed(root, "like a dataset of the Decathlon", example)

    @property
    def _single(self) -> bool:
        """Whether there is but one input, so that channels need no description."""
        return len(self._endings.inputs) == 1

    @cached_property
    def _by_channel(self) -> bool:
        """Whether each channel is a file: the label of BRATS_001_0000 is then BRATS_001."""
        if any(description and description.nnunet for description in self._descriptions.values()):
            return True
        labels = {nifti_stem(path) for path in self._labels}
        stems = [nifti_stem(path) or "" for path in self._images]
        if labels:
            alike = sum(stem in labels for stem in stems)
            return sum(_split(stem)[1] is not None and _split(stem)[0] in labels for stem in stems) > alike
        numbers: dict[str, set[int]] = defaultdict(set)
        for case_id, channel in map(_split, stems):
            numbers[case_id].add(-1 if channel is None else channel)
        return bool(numbers) and all({0, 1} <= channels for channels in numbers.values())

    @cached_property
    def _descriptions(self) -> dict[Path, Description | None]:
        return {root: read_description(root, self._endings) for root in self._roots}


def _undescribed(root: Path, kind: str, example: str) -> FolderError:
    return FolderError(
        DataCode.UNKNOWN_LAYOUT,
        f"{root} looks {kind}, but has no {FILE}: nothing says which channel is which image. Write one "
        f"beside {_TRAINING}, in the order and with the numbers of these files"
        f"{f', for example {example}' if example else ''}.",
    )


def _split(stem: str) -> tuple[str, int | None]:
    """Case and channel of an nnU-Net file name; None for a name without a channel."""
    name = _CHANNEL.fullmatch(stem)
    return (name["case"], int(name["channel"])) if name else (stem, None)
