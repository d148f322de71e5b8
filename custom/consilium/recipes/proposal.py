"""Proposal of a job's settings for the hospitals' data and machines.

Both are read from the results of the jobs that ask the hospitals for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from consilium.counts import counted
from consilium.default_task import DEFAULT
from consilium.errors import ConfigurationError
from consilium.recipes.base import JobSettings
from consilium.records.readiness import READINESS_FILE, ReadinessRecord
from consilium.records.reading import check_record, read_json
from consilium.records.statistics import STATISTICS_FILE, StatisticsRecord
from consilium.tasks import LearningSettings, get_task
from consilium.tasks.features import Role
from consilium.tasks.proposals import Box, Choice, DataFingerprint, Fingerprint

_AXES = 3


def propose(fingerprint: Fingerprint, job: JobSettings) -> list[Choice]:
    """Propose settings for a job that trains, each with its reason.

    Args:
        fingerprint: The hospitals.
        job: What the job has by itself; its network stays.

    Raises:
        ConfigurationError: If the job trains nothing, or too little is known for what its task proposes.
    """
    learning = getattr(job, "learning", None)
    if not isinstance(learning, LearningSettings):
        raise ConfigurationError(f"job {job.name!r} trains nothing: there is nothing to propose for it")
    from consilium.learning.estimate import gpu_bytes  # it loads torch: only for who wants a proposal

    return list(get_task(learning.task).method.propose(fingerprint, learning, gpu_bytes))


def as_changes(choices: Sequence[Choice]) -> dict[str, Any]:
    """Return the settings that the choices propose."""
    return {
        one.setting: list(one.value) if isinstance(one.value, tuple) else one.value
        for one in choices
        if one.setting is not None
    }


def read_fingerprint(paths: Sequence[Path]) -> Fingerprint:
    """Read what is known about data and machines.

    Args:
        paths: `statistics.json`, `readiness.json` or both, or folders of these jobs' results.

    Raises:
        ConfigurationError: If there is nothing to read, or nothing in it about any data.
    """
    statistics: StatisticsRecord | None = None
    readiness: ReadinessRecord | None = None
    for path in paths:
        record = _read_record(path)
        if isinstance(record, StatisticsRecord):
            statistics = record
        else:
            readiness = record
    machines, gpu_gib = _machines(readiness)
    data = _from_statistics(statistics) if statistics else None
    data = data or (_from_readiness(readiness) if readiness else None)
    if data is None:
        asked = statistics or readiness
        job = f"{asked.task if asked else DEFAULT}_stats"
        raise ConfigurationError(
            f"{', '.join(map(str, paths))}: no hospital reported how many patients it has; run the job "
            f"{job}, or ask the hospitals for a smaller min_count"
        )
    return Fingerprint(data, machines, gpu_gib)


def _read_record(path: Path) -> StatisticsRecord | ReadinessRecord:
    found = path
    if path.is_dir():
        both = sorted([*path.rglob(STATISTICS_FILE), *path.rglob(READINESS_FILE)])
        if len(both) != 1:
            raise ConfigurationError(
                f"{path} holds {counted(len(both), 'file')} {STATISTICS_FILE} or {READINESS_FILE}, not one: "
                "name the file"
            )
        found = both[0]
    if not found.is_file():
        raise ConfigurationError(
            f"{path} does not exist; give the {STATISTICS_FILE} of a statistics job's result, or the "
            f"{READINESS_FILE} of a readiness job's"
        )
    content = read_json(found)
    if isinstance(content, dict) and "features" in content:
        return check_record(StatisticsRecord, content, found)
    return check_record(ReadinessRecord, content, found)


def _machines(readiness: ReadinessRecord | None) -> tuple[str, float | None]:
    """What is known about the machines of the sites that can train, and the smallest GPU's memory."""
    if readiness is None:
        return f"no {READINESS_FILE} was given, so no GPU is known", None
    if not readiness.able_to_train:
        return "no hospital is ready to train", None
    gpus = {name: readiness.sites[name].hardware.gpus_gib for name in readiness.able_to_train}
    without = [name for name, memory in gpus.items() if not memory]
    if without:
        return f"no GPU at {', '.join(without)}", None
    name, smallest = min(((name, min(memory)) for name, memory in gpus.items()), key=lambda one: one[1])
    return f"the smallest GPU is at {name}", smallest


def _from_statistics(record: StatisticsRecord) -> DataFingerprint | None:
    patients: dict[str, float] = {}
    for feature in record.features.values():
        for site, bins in feature.reported.items():
            patients[site] = max(patients.get(site, 0.0), float(sum(bins)))
    if not patients:
        return None
    return DataFingerprint(
        fewest_patients=round(min(patients.values())),
        spacing_mm=_medians(record, "spacing"),
        extent_mm=_medians(record, "extent"),
        extent_of="without the empty space around what is imaged",
        scales=_scales(record),
    )


def _medians(record: StatisticsRecord, role: Role) -> Box | None:
    """The medians over the patients of all sites, along each axis; None unless all three are known."""
    medians = []
    for feature in record.of_role(role):
        reported = list(feature.reported.values())
        if not reported:
            return None
        bins = np.sum(reported, axis=0)
        middle = int(np.searchsorted(np.cumsum(bins), bins.sum() / 2))
        medians.append(float(feature.centers(len(bins))[middle]))
    return _box(medians) if len(medians) == _AXES else None


def _scales(record: StatisticsRecord) -> float | None:
    """The largest ratio of two sites' mean scales of one input."""
    ratios = []
    for feature in record.of_role("scale"):
        means = [
            float(np.average(feature.centers(len(bins)), weights=bins)) for bins in feature.reported.values()
        ]
        if len(means) > 1:
            ratios.append(10 ** (max(means) - min(means)))
    return max(ratios, default=None)


def _from_readiness(record: ReadinessRecord) -> DataFingerprint | None:
    sites = [site for site in record.sites.values() if site.usable_patients]
    if not sites:
        return None
    grids = [
        (site.grid.shape, site.grid.spacing_mm)
        for site in sites
        if site.grid and site.grid.spacing_mm and len(site.grid.shape) == _AXES
    ]
    spacing = np.median([edges for _, edges in grids], axis=0) if grids else None
    extent = np.median([np.multiply(*grid) for grid in grids], axis=0) if grids else None
    return DataFingerprint(
        fewest_patients=min(site.usable_patients or 1 for site in sites),
        spacing_mm=None if spacing is None else _box(spacing),
        extent_mm=None if extent is None else _box(extent),
        extent_of="whole images, as no statistics were given",
    )


def _box(values: Iterable[float]) -> Box:
    x, y, z = (float(value) for value in values)
    return x, y, z
