"""Description of channels and label values in `dataset.json` of the Decathlon and nnU-Net.

Decathlon and nnU-Net 1: `"modality": {"0": "CT"}`, `"labels": {"1": "lesion"}`. nnU-Net 2:
`"channel_names": {"0": "CT"}`, `"labels": {"lesion": 1}` or regions, `{"lesion": [1, 2]}`
(https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from consilium.data.case import FolderError
from consilium.data.codes import DataCode
from consilium.tasks.segmentation.layouts.endings import LABEL, FileEndings

FILE: Final = "dataset.json"


@dataclass(frozen=True)
class Description:
    """Content of a `dataset.json`.

    Args:
        path: The file.
        channels: Input of each channel; empty where none is named.
        labels: Content of `labels`: value to name, name to value, or region to values.
        nnunet: Whether nnU-Net 2 wrote it.
    """

    path: Path
    channels: tuple[str, ...]
    labels: Mapping[str, Any]
    nnunet: bool

    def names(self) -> dict[int, str] | None:
        """Return label value to name; None where the file names regions, or nothing that can be read."""
        try:
            by_name = all(str(key).isdigit() for key in self.labels)
            pairs = [
                (int(key), str(value)) if by_name else (int(value), str(key))
                for key, value in self.labels.items()
            ]
        except (TypeError, ValueError, OverflowError):
            return None
        return dict(pairs) or None

    def regions(self) -> dict[str, frozenset[int]] | None:
        """Return name of a region, in small letters, to its label values; None where none has several."""
        if not any(isinstance(value, (list, tuple)) for value in self.labels.values()):
            return None
        try:
            return {str(name).lower(): _numbers(value) for name, value in self.labels.items()}
        except (TypeError, ValueError, OverflowError):
            return None


def read_description(root: Path, endings: FileEndings) -> Description | None:
    """Read the description of a dataset folder; None if there is none.

    Args:
        root: The folder that holds `imagesTr`.
        endings: Knows how channels are spelled.

    Raises:
        FolderError: It names no channels, or channels that are not those of the problem.
    """
    path = root / FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        nnunet = "channel_names" in content
        stated = content["channel_names" if nnunet else "modality"]
        names = tuple(str(stated[str(index)]) for index in range(len(stated)))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FolderError(
            DataCode.UNKNOWN_LAYOUT,
            f"{path} does not name the modalities of the channels ({error!r}). Expected "
            f'{_example(endings)}, or "channel_names" in a folder of nnU-Net 2; correct or remove the file.',
        ) from error
    roles = tuple(endings.role_of(name) or "" for name in names)
    if any(roles.count(name) != 1 for name in endings.inputs) or LABEL in roles:
        raise FolderError(
            DataCode.UNKNOWN_LAYOUT,
            f"{path} names the modalities {', '.join(names)}; {endings.vocabulary.needed}. Is this another "
            "dataset?",
        )
    labels = content.get("labels")
    return Description(path, roles, labels if isinstance(labels, Mapping) else {}, nnunet)


def _example(endings: FileEndings) -> str:
    inputs = {str(index): name for index, name in enumerate(endings.inputs)}
    example = endings.vocabulary.decathlon_example
    return (example.partition(', "labels"')[0].removeprefix("{")) or f'"modality": {json.dumps(inputs)}'


def _numbers(value: Any) -> frozenset[int]:
    return frozenset(int(one) for one in (value if isinstance(value, (list, tuple)) else [value]))
