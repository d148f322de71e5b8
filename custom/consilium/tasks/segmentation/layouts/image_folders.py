"""`imagesTr`, `labelsTr`, `imagesTs`: the folders of the Medical Segmentation Decathlon and of nnU-Net.

The Decathlon's Task01 has one 4D image a case, its channels in another order and its labels numbered
otherwise than BraTS, although the patients are BraTS patients (http://medicaldecathlon.com). nnU-Net has one
file a channel, `<case>_0000.nii.gz`, and says in `dataset.json` what channels and labels are; its own
conversions of BraTS number labels as the Decathlon does (https://github.com/MIC-DKFZ/nnUNet).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

from consilium.counts import counted
from consilium.data.case import Case, CaseProblem, FolderError, ImageFile, Notice
from consilium.data.case_format import FoundCases
from consilium.data.codes import DataCode
from consilium.data.visits import patient_by_name
from consilium.tasks.brain_tumor.conventions import ambiguous, read_convention
from consilium.tasks.brain_tumor.labels import LabelConvention
from consilium.tasks.segmentation.labels import Reading, Values, list_values
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
_CHANNELS: Final = ("flair", "t1", "t1ce", "t2")
_TASK01 = re.compile(r"BRATS_\d+")
_DECATHLON_EXAMPLE: Final = (
    '{"modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}, '
    '"labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}}'
)
_NNUNET_EXAMPLE: Final = (
    '{"channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"}, '
    '"labels": {"background": 0, "edema": 1, "non-enhancing tumor": 2, "enhancing tumor": 3}}'
)
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
        """Short name, as it stands in reports."""
        return NNUNET if self._by_channel else DECATHLON

    @property
    def modalities(self) -> tuple[str, ...]:
        """Canonical names of the modalities that it knows."""
        return self._endings.modalities

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
        problems: list[CaseProblem] = []
        notices: list[Notice] = []
        for (folder, case_id), images in self._volumes().items():
            label = labels.pop((folder.parent, case_id), None)
            if label is None and self._labels and folder.name == _TRAINING:
                detail = f"{folder.parent / _LABELS[0]} has no label of it."
                notices.append(Notice(DataCode.NO_LABEL, detail, case_id))
            missing = [name for name in modalities if name not in images]
            case = Case(
                id=case_id,
                patient=patient_by_name(case_id),
                images={name: images[name] for name in modalities if name in images},
                target=ImageFile(label) if label else None,
            )
            if not missing:
                cases.append(case)
                continue
            detail = f"{folder} has no {', '.join(missing)} image of it."
            problems.append(CaseProblem(case_id, DataCode.MISSING_MODALITY, detail))
            if case.images:
                incomplete.append(case)
        for (root, case_id), path in labels.items():
            detail = f"{path} has no image in {root / _TRAINING}."
            notices.append(Notice(DataCode.STRAY_LABEL, detail, case_id))
        known = {root / FILE for root in self._roots}
        return FoundCases(
            tuple(cases),
            tuple(problems),
            tuple(incomplete),
            tuple(notices),
            frozenset({*self._images, *self._labels, *known}),
        )

    def convention(self, labels: Mapping[str, Values], stated: LabelConvention | None = None) -> Reading:
        """What `dataset.json` says; without one, the Decathlon's own where the cases are named as its are.

        Raises:
            FolderError: Nothing says what the labels of a folder mean, or values contradict it.
        """
        if stated is not None:
            return read_convention(labels, stated=stated)
        files = [self._descriptions[root] for root in sorted({path.parent.parent for path in self._labels})]
        if not any(files) and all(map(_TASK01.fullmatch, labels)):
            return read_convention(labels, described=LabelConvention.DECATHLON)
        said = [file.convention() if file else None for file in files]
        described = {convention for convention in said if convention}
        if None in said:
            where = (
                f"{said.count(None)} of {counted(len(said), 'folder')} with labels"
                if described
                else "this folder"
            )
            raise ambiguous(
                f"no {FILE} in {where} says which tissue each label value is; "
                f"the labels hold {list_values(frozenset().union(*labels.values()))}",
                "decathlon labels (1 edema, 2 non-enhancing), as in nnU-Net's own conversions of BraTS",
                "brats-2023 labels (1 necrotic and non-enhancing core, 2 edema)",
            )
        if len(described) > 1:
            raise ambiguous(
                f"the {FILE} files below this folder contradict one another",
                *sorted(f"{one.value} labels" for one in described),
            )
        return read_convention(labels, described=described.pop())

    def _volumes(self) -> dict[tuple[Path, str], dict[str, ImageFile]]:
        """The images of each case, by folder and id."""
        found: dict[tuple[Path, str], dict[str, ImageFile]] = defaultdict(dict)
        for path in self._images:
            stem = nifti_stem(path) or path.name
            description = self._descriptions[path.parent.parent]
            if not self._by_channel:
                order = description.channels if description else self._order_of_task01(path.parent.parent)
                images = {name: ImageFile(path, index) for index, name in enumerate(order) if name}
                found[path.parent, stem] = images
                continue
            if description is None:
                raise _undescribed(path.parent.parent, "like a raw dataset of nnU-Net", _NNUNET_EXAMPLE)
            case_id, channel = _split(stem)
            images = found[path.parent, case_id]
            if channel is not None and channel < len(description.channels):
                images[description.channels[channel]] = ImageFile(path)
        return found

    def _order_of_task01(self, root: Path) -> tuple[str, ...]:
        """The Decathlon's order of channels, which only cases that are named as its are have for certain."""
        names = [nifti_stem(path) or "" for path in self._images if path.parent.parent == root]
        if not all(map(_TASK01.fullmatch, names)):
            raise _undescribed(root, "like a dataset of the Decathlon", _DECATHLON_EXAMPLE)
        return _CHANNELS

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
        f"beside {_TRAINING}, in the order and with the numbers of these files, for example {example}.",
    )


def _split(stem: str) -> tuple[str, int | None]:
    """Case and channel of an nnU-Net file name; None for a name without a channel."""
    name = _CHANNEL.fullmatch(stem)
    return (name["case"], int(name["channel"])) if name else (stem, None)
