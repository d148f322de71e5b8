"""Label conventions of brain tumor cohorts described by `dataset.json`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from consilium.counts import counted
from consilium.data.case import FolderError
from consilium.tasks.brain_tumor.convention_recognition import ambiguous, how_to_state
from consilium.tasks.brain_tumor.label_conventions import LabelConvention, Tissue
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.labels import Values, list_values
from consilium.tasks.segmentation.layouts.dataset_json import FILE, Description

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


# The Decathlon's patients are those of BraTS, its labels are numbered otherwise, as in nnU-Net's conversions.
_TASK01 = re.compile(r"BRATS_\d+")


def decide_in_folders(
    labels: Mapping[str, Values], descriptions: Sequence[Description | None]
) -> LabelConvention:
    """Return what the folders of the Decathlon or of nnU-Net say that labels mean.

    Without a description it is the Decathlon's own where the cases are named as its are.

    Args:
        labels: Values of each label, by case id.
        descriptions: Of each folder with labels.

    Raises:
        FolderError: Nothing says what the labels of a folder mean, or folders contradict one another.
    """
    if not any(descriptions) and all(map(_TASK01.fullmatch, labels)):
        return LabelConvention.DECATHLON
    said = [described_convention(one) if one else None for one in descriptions]
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
    return described.pop()


def described_convention(description: Description) -> LabelConvention | None:
    """Return the convention whose values mean what the file says; None where it doesn't say that.

    Raises:
        FolderError: There is no such convention.
    """
    meanings = _meanings(description)
    if meanings is None:
        return None
    for convention in LabelConvention:
        if dict(convention.values) == meanings:
            return convention
    said = ", ".join(f"{value} {tissue.name.lower()}" for value, tissue in sorted(meanings.items()))
    raise FolderError(
        VolumeCode.AMBIGUOUS_CONVENTION,
        f"{description.path} gives the labels the meaning {said.replace('_', ' ')}, which is that of no "
        f"convention: renumber the labels, or correct the file. {how_to_state()}",
    )


def _meanings(description: Description) -> dict[int, Tissue] | None:
    regions = description.regions()
    if regions is not None:
        return _from_regions(regions)
    names = description.names()
    if names is None:
        return None
    meant = {value: _tissue(name) for value, name in names.items()}
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


def _tissue(name: str) -> Tissue | None:
    lowered = name.lower()
    if lowered in _SHORT:
        return _SHORT[lowered]
    return next((tissue for tissue, words in _TISSUES if any(word in lowered for word in words)), None)
