"""What the hospitals' data and machines are like, read from the results of the jobs that ask for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from pydantic import ValidationError

from consilium.counts import counted
from consilium.errors import ConfigurationError
from consilium.records.readiness import READINESS_FILE, ReadinessRecord
from consilium.records.statistics import STATISTICS_FILE, StatisticsRecord
from consilium.tasks.features import AXES, Group

Box: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True)
class Data:
    """What the hospitals' data are like.

    Attributes:
        spacing_mm: Median voxel size along R, A and S.
        extent_mm: Median size of the images along the same axes.
        extent_of: What that size is of.
        fewest_patients: At the hospital with the fewest.
        scales: How many times brighter the images of one hospital are stored than those of another; None
            where that is not known.
    """

    spacing_mm: Box
    extent_mm: Box
    extent_of: str
    fewest_patients: int
    scales: float | None = None


@dataclass(frozen=True)
class Fingerprint:
    """What the hospitals' data and machines are like.

    Attributes:
        data: The data.
        machines: What is known about the machines, in words.
        gpu_gib: Memory of the smallest GPU, if every hospital that can train is known to have one.
    """

    data: Data
    machines: str
    gpu_gib: float | None = None


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
        raise ConfigurationError(
            f"{', '.join(map(str, paths))}: no hospital told voxel size and extent of its images; run "
            "jobs/brain_tumor_stats, or ask the hospitals for a smaller min_count"
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
    for kind in (StatisticsRecord, ReadinessRecord):
        try:
            return kind.model_validate_json(found.read_bytes())
        except ValidationError:
            continue
    raise ConfigurationError(f"{found} is no {STATISTICS_FILE} and no {READINESS_FILE}")


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


def _from_statistics(record: StatisticsRecord) -> Data | None:
    spacing, extent = (_medians(record, group) for group in ("spacing", "extent"))
    if spacing is None or extent is None:
        return None
    patients = [sum(bins) for bins in record.of_group("spacing")[AXES[0]].told.values()]
    return Data(
        spacing_mm=spacing,
        extent_mm=extent,
        extent_of="without the empty space around the head",
        fewest_patients=round(min(patients)),
        scales=_scales(record),
    )


def _medians(record: StatisticsRecord, group: Group) -> Box | None:
    """The medians over the patients of all sites, along each axis."""
    features = record.of_group(group)
    medians = []
    for axis in AXES:
        told = list(features[axis].told.values()) if axis in features else []
        if not told:
            return None
        bins = np.sum(told, axis=0)
        middle = int(np.searchsorted(np.cumsum(bins), bins.sum() / 2))
        medians.append(float(features[axis].centers(len(bins))[middle]))
    return _box(medians)


def _scales(record: StatisticsRecord) -> float | None:
    """The largest ratio of two sites' mean scales in one modality."""
    ratios = []
    for feature in record.of_group("scale").values():
        means = [
            float(np.average(feature.centers(len(bins)), weights=bins)) for bins in feature.told.values()
        ]
        if len(means) > 1:
            ratios.append(10 ** (max(means) - min(means)))
    return max(ratios, default=None)


def _from_readiness(record: ReadinessRecord) -> Data | None:
    sites = [site for site in record.sites.values() if site.grid is not None and site.usable_patients]
    if not sites:
        return None
    grids = [site.grid for site in sites if site.grid is not None]
    spacing = np.median([grid.spacing_mm for grid in grids], axis=0)
    extent = np.median([np.multiply(grid.shape, grid.spacing_mm) for grid in grids], axis=0)
    return Data(
        spacing_mm=_box(spacing),
        extent_mm=_box(extent),
        extent_of="whole images, as no statistics were given",
        fewest_patients=min(site.usable_patients or 1 for site in sites),
    )


def _box(values: Iterable[float]) -> Box:
    x, y, z = (float(value) for value in values)
    return x, y, z
