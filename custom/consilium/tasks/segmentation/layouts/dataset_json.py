"""`dataset.json`: what the Decathlon and nnU-Net say about channels and label values.

Decathlon and nnU-Net 1: `"modality": {"0": "FLAIR"}`, `"labels": {"1": "edema"}`. nnU-Net 2:
`"channel_names": {"0": "T1"}`, `"labels": {"edema": 1}` or regions, `{"tumor core": [2, 3]}`
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
from consilium.tasks.brain_tumor.conventions import how_to_state
from consilium.tasks.brain_tumor.labels import LabelConvention, Tissue
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.layouts.endings import LABEL, FileEndings

FILE: Final = "dataset.json"

# In this order: what is named non-enhancing is not enhancing, and FLAIR hyperintensity is non-enhancing too.
_TISSUES: Final[tuple[tuple[Tissue, tuple[str, ...]], ...]] = (
    (Tissue.BACKGROUND, ("background",)),
    (Tissue.RESECTION_CAVITY, ("resection", "cavity")),
    (Tissue.EDEMA, ("edema", "oedema", "snfh", "flair", "infiltra")),
    (Tissue.NECROTIC_CORE, ("non", "necro", "ncr", "cyst")),
    (Tissue.ENHANCING, ("enhanc",)),
)
_SHORT: Final = {
    "ed": Tissue.EDEMA,
    "net": Tissue.NECROTIC_CORE,
    "netc": Tissue.NECROTIC_CORE,
    "et": Tissue.ENHANCING,
    "rc": Tissue.RESECTION_CAVITY,
}
_REGIONS: Final = {"wt": ("whole",), "tc": ("core",), "et": ("enhanc",)}


@dataclass(frozen=True)
class Description:
    """What a `dataset.json` says.

    Args:
        path: The file.
        channels: Canonical modality of each channel; empty where none is named.
        meanings: Tissue of each label value; None where the file doesn't say.
        nnunet: Whether nnU-Net 2 wrote it.
    """

    path: Path
    channels: tuple[str, ...]
    meanings: Mapping[int, Tissue] | None
    nnunet: bool

    def convention(self) -> LabelConvention | None:
        """The convention whose values mean what the file says; None where it doesn't say that.

        Raises:
            FolderError: There is no such convention.
        """
        if self.meanings is None:
            return None
        for convention in LabelConvention:
            if dict(convention.values) == self.meanings:
                return convention
        said = ", ".join(f"{value} {tissue.name.lower()}" for value, tissue in sorted(self.meanings.items()))
        raise FolderError(
            VolumeCode.AMBIGUOUS_CONVENTION,
            f"{self.path} gives the labels the meaning {said.replace('_', ' ')}, which is that of no "
            f"convention: renumber the labels, or correct the file. {how_to_state()}",
        )


def read_description(root: Path, endings: FileEndings) -> Description | None:
    """Read the description of a dataset folder; None if there is none.

    Args:
        root: The folder that holds `imagesTr`.
        endings: Knows how channels are spelled.

    Raises:
        FolderError: It names no channels, or channels that are not those of a brain tumor.
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
            '"modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}, or "channel_names" in a folder '
            "of nnU-Net 2; correct or remove the file.",
        ) from error
    roles = tuple(endings.role_of(name) or "" for name in names)
    if any(roles.count(name) != 1 for name in endings.modalities) or LABEL in roles:
        raise FolderError(
            DataCode.UNKNOWN_LAYOUT,
            f"{path} names the modalities {', '.join(names)}; "
            "a brain tumor cohort needs FLAIR, T1w, t1gd and T2w. Is this another dataset?",
        )
    return Description(path, roles, _meanings(content.get("labels")), nnunet)


def _meanings(labels: Any) -> dict[int, Tissue] | None:
    if not isinstance(labels, Mapping) or not labels:
        return None
    try:
        if any(isinstance(value, (list, tuple)) for value in labels.values()):
            return _from_regions({str(name).lower(): _numbers(value) for name, value in labels.items()})
        by_name = all(str(key).isdigit() for key in labels)
        pairs = [
            (int(key), str(value)) if by_name else (int(value), str(key)) for key, value in labels.items()
        ]
    except (TypeError, ValueError, OverflowError):
        return None
    meant = {value: _tissue(name) for value, name in pairs}
    if None in meant.values():
        return None
    return {value: tissue for value, tissue in meant.items() if tissue is not None} | {0: Tissue.BACKGROUND}


def _from_regions(regions: Mapping[str, frozenset[int]]) -> dict[int, Tissue] | None:
    """Tissues of nested regions: the core without what enhances, the whole without the core."""
    found: dict[str, frozenset[int]] = {}
    for region, words in _REGIONS.items():
        named = [
            values
            for name, values in regions.items()
            if "non" not in name and (name == region or any(word in name for word in words))
        ]
        if len(named) != 1:
            return None
        found[region] = named[0]
    if not found["et"] < found["tc"] < found["wt"]:
        return None
    return (
        dict.fromkeys(found["wt"] - found["tc"], Tissue.EDEMA)
        | dict.fromkeys(found["tc"] - found["et"], Tissue.NECROTIC_CORE)
        | dict.fromkeys(found["et"], Tissue.ENHANCING)
        | {0: Tissue.BACKGROUND}
    )


def _numbers(value: Any) -> frozenset[int]:
    return frozenset(int(one) for one in (value if isinstance(value, (list, tuple)) else [value]))


def _tissue(name: str) -> Tissue | None:
    lowered = name.lower()
    if lowered in _SHORT:
        return _SHORT[lowered]
    return next((tissue for tissue, words in _TISSUES if any(word in lowered for word in words)), None)
