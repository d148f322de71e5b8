"""Expected drift between hospitals, and the job that suits it.

The limits are the task's own (`DriftLimits`), for the input in which a hospital's images are farthest from
those of all others. Where a task has none, distances are shown and nothing is concluded from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from consilium.default_task import training_job
from consilium.records.statistics import FeatureRecord, StatisticsRecord
from consilium.report.statistics.distances import Distance, site_distances
from consilium.tasks.features import DriftLimits

Level = Literal["unknown", "unmeasured", "none", "moderate", "large"]


@dataclass(frozen=True)
class Drift:
    """Expected drift, from the distances between hospitals.

    Attributes:
        level: Of the hospital whose images are farthest from the others'.
        distances: Feature to hospital to its distance from all others.
        findings: What was found, a sentence each.
        advice: What to do about it, a sentence each.
    """

    level: Level
    distances: Mapping[str, Mapping[str, Distance]]
    findings: tuple[str, ...]
    advice: tuple[str, ...]


def assess_drift(record: StatisticsRecord) -> Drift:
    """Compare every hospital with all others."""
    minimums = {site: answer.min_count for site, answer in record.sites.items()}
    distances = {
        name: site_distances(feature, minimums)
        for name, feature in record.features.items()
        if feature.group.role in ("appearance", "target")
    }
    farthest = _farthest(record, distances)
    level = _level(max((value for _, value in farthest.values()), default=None), record.drift)
    return Drift(
        level=level,
        distances=distances,
        findings=(*_about_images(farthest, record.drift), *_about_targets(record, distances)),
        advice=tuple(_advice(level, record.task, record.drift)),
    )


def _farthest(
    record: StatisticsRecord, distances: Mapping[str, Mapping[str, Distance]]
) -> dict[str, tuple[str, float]]:
    """Each hospital's input with the largest distance, and that distance."""
    farthest: dict[str, tuple[str, float]] = {}
    for name, feature in record.features.items():
        if feature.group.role != "appearance":
            continue
        for site, distance in distances[name].items():
            if site not in farthest or distance.value > farthest[site][1]:
                farthest[site] = (feature.title, distance.value)
    return farthest


def _level(largest: float | None, limits: DriftLimits | None) -> Level:
    if largest is None:
        return "unknown"
    if limits is None:
        return "unmeasured"
    if largest <= limits.same_source:
        return "none"
    return "moderate" if largest <= limits.tried else "large"


def _about_images(farthest: Mapping[str, tuple[str, float]], limits: DriftLimits | None) -> Iterator[str]:
    if limits is None or not farthest:
        return
    apart = [
        f"{site} ({title} by {value:.2f})"
        for site, (title, value) in sorted(farthest.items())
        if value > limits.same_source
    ]
    if apart:
        yield f"Images look as if from another {limits.source} than all others' at {', '.join(apart)}."
    else:
        yield f"The hospitals' images look as alike as those of one {limits.source}."


def _about_targets(
    record: StatisticsRecord, distances: Mapping[str, Mapping[str, Distance]]
) -> Iterator[str]:
    targets = {name: one for name, one in record.features.items() if one.group.role == "target"}
    for of in dict.fromkeys(one.of for one in targets.values()):
        for name, feature in targets.items():
            if feature.of != of:
                continue
            for site, distance in distances[name].items():
                if distance.beyond_chance and feature.group.form != "spread":
                    yield f"{_difference(feature, site, distance)}: more than chance would explain."


def _difference(feature: FeatureRecord, site: str, distance: Distance) -> str:
    """Say how a hospital's patients differ from those of all others."""
    group, size = feature.group, abs(distance.direction)
    if group.form == "yes_no":
        word = "more" if distance.direction > 0 else "fewer"
        share = f"{100 * size:.0f} in a hundred"
        return f"At {site} {word} patients {group.phrase} {feature.title.lower()}, by {share}"
    word = "larger" if distance.direction > 0 else "smaller"
    amount = f"{size:.{group.digits}f} {group.unit}".rstrip()
    return f"{feature.title} is {word} at {site} than elsewhere, by {amount} on average"


def _advice(level: Level, task: str, limits: DriftLimits | None) -> Iterator[str]:
    job = training_job(task)
    by_hospital = (
        "Evaluate its model hospital by hospital, in the training report: a mean over hospitals hides the "
        "one that drift hurts."
    )
    if level == "unknown":
        yield "Fewer than two hospitals answered how their images look, so nothing can be said about drift."
    elif limits is None:
        yield (
            "Whether drift is to be expected is not known for this task: nobody has measured from which "
            f"distance hospitals disturb each other. Train with {job}."
        )
        yield by_hospital
    elif level == "none":
        yield f"No drift is to be expected from the images: train with {job} as it is."
    elif level == "moderate":
        yield f"Drift is to be expected. {job} is the job at hand: {limits.evidence}."
        yield by_hospital
    else:
        yield (
            f"Large drift is to be expected, and no job in the catalog is made for it yet. {job} is the one "
            "at hand, and was not tried on hospitals so far apart."
        )
        if limits.settings:
            changes = " ".join(f"--set {setting}" for setting in limits.settings)
            yield (
                "Let hospitals drift less between averages (Li et al. 2020, arXiv:1812.06127), with fewer "
                f"local steps and more rounds: `consilium jobs export {job} {changes}`."
            )
        yield by_hospital
