"""Whether drift between hospitals is to be expected, and which job answers it.

The limits are for the modality in which a hospital's images are farthest from those of all others, and come
from synthetic hospitals (`benchmarks/site_distances.py`): of groups of 4 patients of one scanner 2 in a
hundred are farther from others of the same scanner than `SCANNER_LIMIT`, of groups of 8 two in a thousand,
and nine in ten groups of another scanner are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from consilium.records.statistics import StatisticsRecord
from consilium.report.statistics.distances import Distance, site_distances
from consilium.tasks import get_task

SCANNER_LIMIT = 0.07
"""Beyond it, images look as if from another scanner; in standard deviations of the brain's intensities."""

TRIED_LIMIT = 0.20
"""Beyond it, images are farther apart than those of any hospitals that the jobs were tried on."""

Level = Literal["unknown", "none", "moderate", "large"]

_Distances = Mapping[str, Mapping[str, Distance]]


@dataclass(frozen=True)
class Drift:
    """What distances between hospitals mean for training.

    Attributes:
        level: Of the hospital whose images are farthest from the others'.
        images: Modality to hospital to its distance from all others.
        volumes: Region to hospital to its distance from all others.
        absences: The same for the share of patients without the region.
        findings: What was found, a sentence each.
        advice: What to do about it, a sentence each.
    """

    level: Level
    images: _Distances
    volumes: _Distances
    absences: _Distances
    findings: tuple[str, ...]
    advice: tuple[str, ...]


def judge_drift(record: StatisticsRecord) -> Drift:
    """Compare every hospital with all others."""
    minimums = {site: answer.min_count for site, answer in record.sites.items()}
    images, volumes, absences = (
        {of: site_distances(feature, minimums) for of, feature in record.of_group(group).items()}
        for group in ("intensity", "volume", "absence")
    )
    farthest = _farthest(images)
    largest = max((value for _, value in farthest.values()), default=None)
    level = _level(largest)
    return Drift(
        level=level,
        images=images,
        volumes=volumes,
        absences=absences,
        findings=(*_about_images(farthest), *_about_cases(record.task, volumes, absences)),
        advice=_ADVICE[level],
    )


def _farthest(images: _Distances) -> dict[str, tuple[str, float]]:
    """Each hospital's modality with the largest distance, and that distance."""
    farthest: dict[str, tuple[str, float]] = {}
    for modality, distances in images.items():
        for site, distance in distances.items():
            if site not in farthest or distance.value > farthest[site][1]:
                farthest[site] = (modality, distance.value)
    return farthest


def _level(largest: float | None) -> Level:
    if largest is None:
        return "unknown"
    if largest <= SCANNER_LIMIT:
        return "none"
    return "moderate" if largest <= TRIED_LIMIT else "large"


def _about_images(farthest: Mapping[str, tuple[str, float]]) -> Iterator[str]:
    apart = [
        f"{site} ({modality.upper()} by {value:.2f})"
        for site, (modality, value) in sorted(farthest.items())
        if value > SCANNER_LIMIT
    ]
    if apart:
        yield f"Images look as if from another scanner than all others' at {', '.join(apart)}."
    elif farthest:
        yield "The hospitals' images look as alike as those of one scanner."


def _about_cases(task: str, volumes: _Distances, absences: _Distances) -> Iterator[str]:
    for region in get_task(task).targets:
        for site, distance in volumes.get(region.name, {}).items():
            if distance.beyond_chance:
                word = "larger" if distance.direction > 0 else "smaller"
                yield (
                    f"{region.title} is {word} at {site} than elsewhere, by {abs(distance.direction):.0f} mL "
                    "on average: more than chance would explain."
                )
        for site, distance in absences.get(region.name, {}).items():
            if distance.beyond_chance:
                word = "more" if distance.direction > 0 else "fewer"
                yield (
                    f"At {site} {word} patients have no {region.title.lower()}, by "
                    f"{100 * abs(distance.direction):.0f} in a hundred: more than chance would explain."
                )


_ADVICE: Mapping[Level, tuple[str, ...]] = {
    "unknown": ("Fewer than two hospitals told their intensities, so nothing can be said about drift.",),
    "none": ("No drift is to be expected from the images: train with brain_tumor_fedavg as it is.",),
    "moderate": (
        "Drift is to be expected. brain_tumor_fedavg is the job at hand: among the demo's hospitals, which "
        "are about as far apart, it came within 0.005 Dice of one model trained on all data in one place.",
        "Judge its model hospital by hospital, in the training report: a mean over hospitals hides the one "
        "that drift hurts.",
    ),
    "large": (
        "Large drift is to be expected, and no job in the catalog is made for it yet. brain_tumor_fedavg is "
        "the one at hand, and was not tried on hospitals so far apart.",
        "Let hospitals drift less between averages (Li et al. 2020, arXiv:1812.06127): half the local steps "
        "and twice the rounds, `consilium jobs export brain_tumor_fedavg --set rounds=12 --set "
        "learning.local_steps=8`; and judge the model hospital by hospital.",
    ),
}
