"""Medical Segmentation Decathlon, Task01: one 4D image a case in `imagesTr`, its label in `labelsTr`.

`imagesTs` holds unlabeled cases. The order of the channels and the meaning of the label values differ from
BraTS, although the patients are BraTS patients (http://medicaldecathlon.com).
"""

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from consilium.data.case import Case, CaseProblem, ProblemCode, Volume
from consilium.data.labels import LabelConvention
from consilium.data.layouts.base import FoundCases, nifti_stem
from consilium.data.visits import patient_by_name
from consilium.errors import DataError

_TRAINING, _TEST, _LABELS = "imagesTr", "imagesTs", "labelsTr"
_CHANNELS = ("flair", "t1", "t1ce", "t2")
# How the task's dataset.json spells the modalities.
_SPELLINGS = {
    "flair": "flair",
    "t1w": "t1",
    "t1": "t1",
    "t1gd": "t1ce",
    "t1ce": "t1ce",
    "t2w": "t2",
    "t2": "t2",
}


class DecathlonLayout:
    """Decathlon's folder for brain tumors."""

    name = "decathlon"
    expects = f"{_TRAINING}/<case>.nii[.gz] (4D) {_LABELS}/<case>.nii[.gz] {_TEST}/<case>.nii[.gz]"
    modalities = _CHANNELS

    def claims(self, path: Path) -> bool:
        """Whether a NIfTI file lies in one of Decathlon's folders."""
        return path.parent.name in (_TRAINING, _TEST, _LABELS) and nifti_stem(path) is not None

    def find(self, files: Sequence[Path], modalities: Sequence[str]) -> FoundCases:
        """Pair the images with their labels.

        Args:
            files: Every visible file of the dataset folder.
            modalities: Canonical names of the images that a case must have.

        Raises:
            DataError: `dataset.json` describes another task, or lacks one of the modalities.
        """
        ours = [path for path in files if self.claims(path)]
        labels = {(p.parent.parent, nifti_stem(p)): p for p in ours if p.parent.name == _LABELS}
        channels = {root: _channels(root) for root in {path.parent.parent for path in ours}}
        cases: list[Case] = []
        problems: list[CaseProblem] = []
        for image in (path for path in ours if path.parent.name != _LABELS):
            root, case_id = image.parent.parent, nifti_stem(image) or image.name
            label = labels.pop((root, case_id), None)
            if label is None and image.parent.name == _TRAINING:
                detail = f"{image} has no label in {root / _LABELS}."
                problems.append(CaseProblem(case_id, ProblemCode.NO_LABEL, detail))
                continue
            order = channels[root]
            images = {name: Volume(image, order.index(name)) for name in modalities}
            cases.append(
                Case(
                    id=case_id,
                    patient=patient_by_name(case_id),
                    images=images,
                    label=Volume(label) if label else None,
                )
            )
        for label in labels.values():
            detail = f"{label} has no image in {label.parent.parent / _TRAINING}."
            problems.append(
                CaseProblem(nifti_stem(label) or label.name, ProblemCode.MISSING_MODALITY, detail)
            )
        return FoundCases(tuple(cases), tuple(problems))

    def convention(self, labels: Collection[frozenset[float]]) -> LabelConvention:
        """Always Decathlon's own: the folder names leave no doubt."""
        return LabelConvention.DECATHLON


def _channels(root: Path) -> tuple[str, ...]:
    """Order of the channels of the 4D images: as `dataset.json` says, else as the task was published."""
    description = root / "dataset.json"
    if not description.is_file():
        return _CHANNELS
    try:
        stated = json.loads(description.read_text(encoding="utf-8"))["modality"]
        names = tuple(stated[str(index)] for index in range(len(stated)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{description} does not name the modalities of the channels ({error!r}). Expected "
            '"modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}; mend or remove the file.'
        ) from error
    order = tuple(_SPELLINGS.get(str(name).lower(), "") for name in names)
    if set(order) != set(_CHANNELS):
        raise DataError(
            f"{description} names the modalities {', '.join(map(str, names))}; "
            "a brain tumor cohort needs FLAIR, T1w, t1gd and T2w. Is this another Decathlon task?"
        )
    return order
