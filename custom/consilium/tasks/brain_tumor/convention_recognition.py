"""Recognition of a site's label convention: from file names, case ids and all of its label values.

The years share file names but not label values, so neither is enough alone. Where two readings remain, the
site says which: enhancing tumor taken for a resection cavity would train without any error. What hardly a
label of a whole site holds is evidence as well: hardly any hospital has only gliomas without edema. It stops
the site only where chance can't explain it; before that it is a doubt. A single label decides nothing: it may
be the faulty one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from consilium.counts import counted
from consilium.data.case import FolderError
from consilium.data.codes import DataCode
from consilium.tasks.brain_tumor.label_conventions import LabelConvention, Tissue
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.labels import Reading, Values, list_values

_STRAY_SHARE: Final = 0.1
"""Up to this share of foreign labels are faulty cases, left out one by one; with more, it is unclear."""
_ENOUGH_OTHERS: Final = 4
"""Of so many labels a single foreign one is a faulty case, too."""
_CHANCE: Final = 0.05
"""What is less likely than this at a hospital stops it until it has said what its labels mean: one line for
the few whom chance brought there, against a model that learns a wrong tissue without any error."""
_ALONE: Final = 0.05
"""Share of gliomas that are drawn with one tissue alone: two such labels and no other are no chance."""
_LACKING: Final = 0.5
"""Share of patients without a tissue: more than a third of low-grade gliomas does not enhance. Five labels
without it and none with it are no chance; a hospital that has no other patients says so once."""
_LACKING_TREATED: Final = 0.7
"""The same after surgery, where less is left to draw: nine labels."""

_PEDIATRIC = re.compile(r"(?i)BraTS[-_ ]?PEDs?(?![a-z])")
_SINCE_2023 = re.compile(r"(?i)BraTS[-_](?:GLI|MEN|MET|SSA|GoAT)(?![a-z])")
# Before treatment: no patient has a resection cavity.
_UNTREATED = re.compile(r"(?i)BraTS[-_](?:MEN|SSA)(?![a-z])")

_NAMES: Final[Mapping[Tissue, str]] = {
    Tissue.ENHANCING: "enhancing tumor",
    Tissue.EDEMA: "edema",
    Tissue.NECROTIC_CORE: "necrotic or non-enhancing core",
}


def read_convention(
    labels: Mapping[str, Values],
    *,
    since_2023: bool = False,
    described: LabelConvention | None = None,
    stated: LabelConvention | None = None,
) -> Reading:
    """Decide once for a whole site what its label values mean.

    Args:
        labels: Values of each label, by case id; those of no convention left out.
        since_2023: Whether files are named as BraTS has since 2023.
        described: What the layout, or a file in the folder that describes it, says.
        stated: What the hospital says: it is followed, and a doubt is still reported.

    Returns:
        The convention, and what speaks against it.

    Raises:
        FolderError: Names and values allow two readings.
    """
    marked = {case_id: values for case_id, values in labels.items() if values}
    if stated is not None:
        convention = stated
    elif described is not None:
        convention = _as_described(marked.values(), described)
    else:
        convention = _from_names(marked, since_2023=since_2023)
    doubt = find_doubt(
        [values for values in marked.values() if values <= convention.values.keys()], convention
    )
    if doubt is None:
        return Reading(convention.value)
    if doubt.strong and stated is None:
        raise ambiguous(doubt.evidence, *doubt.readings)
    return Reading(
        convention.value,
        f"{doubt.evidence}. Either they are {'; or '.join(doubt.readings)}. {how_to_state(convention)}",
    )


def _from_names(labels: Mapping[str, Values], *, since_2023: bool) -> LabelConvention:
    pediatric = sum(bool(_PEDIATRIC.search(case_id)) for case_id in labels)
    if pediatric:
        return _pediatric(labels, pediatric)
    if since_2023 or (labels and all(map(_SINCE_2023.search, labels))):
        return _from_2023_names(labels)
    return _from_2018_names(labels.values())


def _as_described(labels: Collection[Values], described: LabelConvention) -> LabelConvention:
    """Follow what the folder says of itself, unless many labels hold values that this doesn't have."""
    foreign = [values for values in labels if not values <= described.values.keys()]
    if not _is_stray(len(foreign), len(labels)):
        seen = list_values(frozenset().union(*foreign) - described.values.keys())
        fitting = [one.value for one in LabelConvention if all(one.values.keys() >= held for held in labels)]
        raise ambiguous(
            f"{_hold(len(foreign), len(labels))} {seen}, which {described.value} does not have, "
            "although the folder is named or described so",
            f"{described.value} labels with faulty ones among them",
            f"labels of another convention ({', '.join(fitting)})" if fitting else "of several conventions",
        )
    return described


def _pediatric(labels: Mapping[str, Values], pediatric: int) -> LabelConvention:
    """Convention of BraTS-PEDs, whose two releases number tissues differently; only that of 2024 has a 4."""
    if pediatric < len(labels):
        raise FolderError(
            DataCode.MIXED_LAYOUTS,
            f"{pediatric} of {counted(len(labels), 'labeled case')} are named BraTS-PED, where 1 may be "
            "enhancing "
            "tumor; the others are not. Give them a dataset folder of their own, or renumber the labels and "
            f"state the convention. {how_to_state()}",
        )
    values = list(labels.values())
    four = _count(values, 4)
    if four > _STRAY_SHARE * len(values):
        return LabelConvention.BRATS_PED_2024
    raise ambiguous(
        f"the case ids are those of BraTS-PEDs, and {four or 'none'} of {counted(len(values), 'label')} "
        f"{'hold' if four > 1 else 'holds'} 4",
        "brats-ped-2024 labels (1 enhancing, 2 non-enhancing, 3 cystic, 4 edema) of tumors without edema",
        "those of BraTS-PEDs 2023, which are read as brats-2023 (1 non-enhancing, 2 edema, 3 enhancing)",
    )


def _from_2018_names(labels: Collection[Values]) -> LabelConvention:
    """Convention behind `_seg` names (to 2021): enhancing tumor is 4, and 3 does not occur."""
    three, four, both = _count(labels, 3), _count(labels, 4), _count(labels, 3, 4)
    if three and not four:
        raise ambiguous(
            f"{_hold(three, len(labels))} 3 and none holds 4, "
            "but the file names are not those since 2023, and until 2021 3 is unused",
            "brats-2023 labels (3 enhancing tumor)",
            "brats-2018 labels of tumors without enhancement, with faulty ones among them",
        )
    if not _is_stray(three, three + four - both):
        together = f"{_hold(both, len(labels))} 3 and 4 together" if both else "none holds both"
        raise ambiguous(
            f"{_hold(three, len(labels))} 3, {_hold(four)} 4, {together}, but the file names are not "
            "those since 2023, and until 2021 3 is unused",
            "brats-2024 labels (3 enhancing tumor, 4 resection cavity)",
            "brats-2018 labels (4 enhancing tumor) with faulty or brats-2023 ones among them",
            "brats-2015 labels (3 non-enhancing, 4 enhancing tumor)",
        )
    return LabelConvention.BRATS_2018


def _from_2023_names(labels: Mapping[str, Values]) -> LabelConvention:
    """Convention behind `-seg` names (2023 and later): 4 is unused in 2023, the resection cavity in 2024.

    It is a cavity where most labels with a 4 hold enhancing tumor (3) beside it; a single one may be faulty.
    """
    values = labels.values()
    three, four, both = _count(values, 3), _count(values, 4), _count(values, 3, 4)
    untreated = sum(bool(_UNTREATED.search(case_id)) for case_id, held in labels.items() if 4 in held)
    if four and 2 * both >= four and not untreated:
        return LabelConvention.BRATS_2024
    if not _is_stray(four, three + four - both) or both:
        together = f"{_hold(both)} both" if both else "none holds both"
        raise ambiguous(
            f"{_hold(four, len(labels))} 4, {_hold(three)} 3, and {together}"
            + (
                f"; {untreated} with 4 are of a set before treatment (BraTS-MEN, BraTS-SSA)" * bool(untreated)
            ),
            "brats-2024 labels (4 resection cavity)",
            "brats-2018 labels under new names (4 enhancing tumor)",
        )
    return LabelConvention.BRATS_2023


@dataclass(frozen=True)
class Doubt:
    """Doubt about a convention: what is missing at a site.

    Args:
        evidence: What was counted.
        readings: What it can mean.
        strong: Whether there are too many labels for chance.
    """

    evidence: str
    readings: tuple[str, ...]
    strong: bool


def find_doubt(labels: Collection[Values], convention: LabelConvention) -> Doubt | None:
    """What hardly a label of a site holds although its convention has it.

    Args:
        labels: Values of each label that holds any, all of them of the convention.
        convention: What they are taken to mean.
    """
    if not labels:
        return None
    name = convention.value
    stray = int(_STRAY_SHARE * len(labels))
    usual, alike = Counter(labels).most_common(1)[0]
    if len(usual) == 1 and len(labels) - alike <= stray:
        (value,) = map(int, usual)
        tissue = _NAMES.get(convention.values[value], "resection cavity")
        return Doubt(
            f"{_hold(alike, len(labels))} {value} and nothing else",
            (
                "masks of one region, such as the whole tumor, which no convention has: without their label "
                "files the cases count as unlabeled",
                f"{name} labels of patients who have {tissue} ({value}) and nothing else",
            ),
            strong=_chance(len(labels) - alike, len(labels), 1 - _ALONE) < _CHANCE,
        )
    if convention is LabelConvention.BRATS_PED_2024:  # many have no edema, no cyst, or no enhancement
        return None
    lacking = _LACKING_TREATED if convention is LabelConvention.BRATS_2024 else _LACKING
    for missing, called in _NAMES.items():
        numbers = {value for value, meant in convention.values.items() if meant is missing}
        holding = sum(not numbers.isdisjoint(held) for held in labels)
        if holding <= stray:
            return Doubt(
                f"{_hold(holding, len(labels))} {called} "
                f"({list_values(numbers)} in {name}); they hold {list_values(frozenset().union(*labels))}",
                (
                    f"{name} labels of patients {'hardly any' if holding else 'none'} of whom has {called}",
                    f"labels numbered otherwise, {called} under another value or merged into it",
                ),
                strong=_chance(holding, len(labels), 1 - lacking) < _CHANCE,
            )
    return None


def ambiguous(evidence: str, *readings: str) -> FolderError:
    """The error of a site whose labels can be read in several ways.

    Args:
        evidence: What was counted.
        readings: What it can mean.
    """
    either = "; or ".join(readings)
    return FolderError(
        VolumeCode.AMBIGUOUS_CONVENTION,
        f"The label convention of this site is ambiguous: {evidence}. Either they are {either}. "
        f"{how_to_state()}",
    )


def how_to_state(convention: LabelConvention | None = None) -> str:
    """How a hospital says what its labels mean, for each command.

    Args:
        convention: The one to show; default: a placeholder, with all that are allowed.
    """
    name = convention.value if convention else "CONVENTION"
    allowed = "" if convention else f" Allowed: {', '.join(one.value for one in LabelConvention)}."
    return (
        f"State it after looking at a label: consilium check DIR --convention {name}; consilium simulate ... "
        f"--convention SITE={name}; on a site, the property label_convention of its scope in "
        f"local/privacy.json.{allowed} If the labels don't distinguish a region, such as et, name it as "
        "well: --missing et; --missing SITE=et; missing_targets."
    )


def _is_stray(count: int, total: int) -> bool:
    """Whether so few labels are foreign that these are faulty cases, which say nothing of the others."""
    return count <= max(_STRAY_SHARE * total, 1 if total >= _ENOUGH_OTHERS else 0)


def _chance(holding: int, total: int, share: float) -> float:
    """How likely it is that no more than some of a site's labels hold what this share of patients has."""
    return sum(
        math.comb(total, count) * share**count * (1 - share) ** (total - count)
        for count in range(holding + 1)
    )


def _hold(count: int, total: int | None = None) -> str:
    """`2 of 3 labels hold`, `none of 3 labels holds`, `all 3 labels hold`; without a total `2 hold`."""
    verb = "hold" if count > 1 else "holds"
    if total is None:
        return f"{count or 'none'} {verb}"
    if total == 1:
        return "the only label holds" if count else "the only label does not hold"
    return f"all {total} labels hold" if count == total else f"{count or 'none'} of {total} labels {verb}"


def _count(labels: Collection[Values], *values: int) -> int:
    """How many labels hold all of some values."""
    return sum(held.issuperset(values) for held in labels)
