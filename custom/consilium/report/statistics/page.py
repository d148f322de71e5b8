"""The statistics as one HTML page that needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from consilium.counts import Count
from consilium.records.statistics import FeatureRecord, StatisticsRecord
from consilium.report.drawing import DARK, LIGHT
from consilium.report.html import page_environment
from consilium.report.statistics.drawing import draw_intensities, draw_volumes
from consilium.report.statistics.drift import SCANNER_LIMIT, TRIED_LIMIT, judge_drift
from consilium.tasks import get_task


def render_statistics(record: StatisticsRecord) -> str:
    """Render the page; names and reasons come from other machines, and the template escapes them."""
    sites = sorted(record.sites.keys() | record.missing.keys())
    titles = {region.name: region.title for region in get_task(record.task).targets}
    intensities, volumes = record.of_group("intensity"), record.of_group("volume")
    pictures = [
        (
            draw_intensities(intensities, sites, palette),
            draw_volumes(volumes, titles, sites, palette),
        )
        for palette in (LIGHT, DARK)
        if record.features
    ]
    return (
        page_environment()
        .get_template("statistics.html.j2")
        .render(
            record=record,
            drift=judge_drift(record),
            rows=[_site_row(record, site) for site in sites],
            region_rows=[_region_row(record, site, list(titles)) for site in sites],
            titles=titles,
            pictures=pictures,
            scanner_limit=SCANNER_LIMIT,
            tried_limit=TRIED_LIMIT,
            light=LIGHT,
            dark=DARK,
        )
    )


@dataclass(frozen=True)
class SiteRow:
    """One hospital in the first table; None is what it did not tell."""

    site: str
    patients: Count
    cases: Count
    left_out: dict[str, Count]
    label_convention: str | None
    min_count: int | None
    spacing_mm: tuple[float, ...] | None
    extent_mm: tuple[float, ...] | None
    scale: dict[str, float | None]


@dataclass(frozen=True)
class RegionRow:
    """One hospital's tumors: by region, mean volume in mL and the share of patients without."""

    site: str
    volume_ml: dict[str, float | None]
    absent: dict[str, float | None]


def median(feature: FeatureRecord, site: str) -> float | None:
    """Return the center of the bin in which a hospital's median patient is; None if it told nothing."""
    bins = feature.reported.get(site)
    if bins is None:
        return None
    middle = np.searchsorted(np.cumsum(bins), bins.sum() / 2)
    return float(feature.centers(len(bins))[middle])


def _counted_nothing(record: StatisticsRecord, site: str) -> bool:
    """Whether a hospital refused before it counted anything; its reason is above the table."""
    answer = record.sites.get(site)
    return answer is not None and answer.reason is not None and answer.patients == 0 and not answer.left_out


def _site_row(record: StatisticsRecord, site: str) -> SiteRow:
    answer = None if _counted_nothing(record, site) else record.sites.get(site)
    scales = record.of_group("scale")
    return SiteRow(
        site=site,
        patients=answer.patients if answer else None,
        cases=answer.cases if answer else None,
        left_out=answer.left_out if answer else {},
        label_convention=answer.label_convention if answer else None,
        min_count=answer.min_count if answer else None,
        spacing_mm=_medians(list(record.of_group("spacing").values()), site),
        extent_mm=_medians(list(record.of_group("extent").values()), site),
        scale={name: _power(median(feature, site)) for name, feature in scales.items()},
    )


def _medians(features: list[FeatureRecord], site: str) -> tuple[float, ...] | None:
    found = [value for feature in features if (value := median(feature, site)) is not None]
    return tuple(found) if found and len(found) == len(features) else None


def _power(logarithm: float | None) -> float | None:
    return None if logarithm is None else 10**logarithm


def _region_row(record: StatisticsRecord, site: str, regions: list[str]) -> RegionRow:
    volumes, absences = record.of_group("volume"), record.of_group("absence")
    return RegionRow(
        site=site,
        volume_ml={region: _mean(volumes.get(region), site) for region in regions},
        absent={region: _mean(absences.get(region), site) for region in regions},
    )


def _mean(feature: FeatureRecord | None, site: str) -> float | None:
    bins = feature.reported.get(site) if feature else None
    if feature is None or bins is None:
        return None
    return float(np.average(feature.centers(len(bins)), weights=bins))
