"""The statistics as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from consilium.counts import Count
from consilium.records.remedies import remedy_for
from consilium.records.statistics import FeatureRecord, StatisticsRecord
from consilium.report.chart_style import DARK, LIGHT
from consilium.report.html import page_environment
from consilium.report.statistics.charts import draw_amounts, draw_spreads
from consilium.report.statistics.distances import Distance
from consilium.report.statistics.drift import Drift, assess_drift
from consilium.tasks.features import FeatureGroup, Role


def render_statistics(record: StatisticsRecord) -> str:
    """Render the page; names and reasons come from other machines, and the template escapes them."""
    reporting = record.reporting  # also sites of which a job that was aborted has no other answer
    sites = sorted(record.sites.keys() | record.missing.keys() | reporting)
    drift = assess_drift(record)
    shown = [site for site in sites if site not in record.missing or site in reporting]
    sizes = list(record.groups("spacing", "extent").values())
    return (
        page_environment()
        .get_template("statistics.html.j2")
        .render(
            record=record,
            drift=drift,
            remedies={site: remedy_for(one.code, "statistics") for site, one in record.missing.items()},
            limits=record.drift,
            rows=[_site_row(record, site) for site in sites],
            sizes=[features[0].group for features in sizes],
            axes=[feature.title for feature in sizes[0]] if sizes else [],
            images=_sections(record, drift, shown, ("appearance", "scale", "other")),
            targets=_sections(record, drift, shown, ("target",)),
            light=LIGHT,
            dark=DARK,
        )
    )


@dataclass(frozen=True)
class SiteRow:
    """One hospital in the first table; None is what it did not report.

    Attributes:
        sizes: By group, its medians along the axes.
    """

    site: str
    patients: Count
    cases: Count
    left_out: dict[str, Count]
    label_convention: str | None
    min_count: int | None
    sizes: dict[str, tuple[float, ...] | None]


@dataclass(frozen=True)
class StatisticsCell:
    """One hospital's number.

    Attributes:
        value: The number; None if it reported none.
        heat: From 0 to 1, how far it is from other hospitals; None where that is not shown by color.
        marked: Whether chance would hardly put it so far from all others.
    """

    value: float | None
    heat: float | None = None
    marked: bool = False


@dataclass(frozen=True)
class Section:
    """One group of features: its pictures, light and dark, and a table of hospitals.

    Attributes:
        group: The group.
        caption: What the table has.
        columns: Titles of the features.
        rows: Hospital to its cells.
        pictures: Two PNGs; empty for none.
    """

    group: FeatureGroup
    caption: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[StatisticsCell, ...]]
    digits: int
    pictures: tuple[bytes, ...] = ()


def median(feature: FeatureRecord, site: str) -> float | None:
    """Return the center of the bin in which a hospital's median patient is; None if it reported nothing."""
    bins = feature.reported.get(site)
    if bins is None:
        return None
    middle = np.searchsorted(np.cumsum(bins), bins.sum() / 2)
    return float(feature.centers(len(bins))[middle])


def _counted_nothing(record: StatisticsRecord, site: str) -> bool:
    """Whether a hospital declined before it counted anything; its reason is above the table."""
    answer = record.sites.get(site)
    return answer is not None and answer.reason is not None and answer.patients == 0 and not answer.left_out


def _site_row(record: StatisticsRecord, site: str) -> SiteRow:
    answer = None if _counted_nothing(record, site) else record.sites.get(site)
    return SiteRow(
        site=site,
        patients=answer.patients if answer else None,
        cases=answer.cases if answer else None,
        left_out=answer.left_out if answer else {},
        label_convention=answer.label_convention if answer else None,
        min_count=answer.min_count if answer else None,
        sizes={name: _medians(axes, site) for name, axes in record.groups("spacing", "extent").items()},
    )


def _medians(features: Sequence[FeatureRecord], site: str) -> tuple[float, ...] | None:
    found = [value for feature in features if (value := median(feature, site)) is not None]
    return tuple(found) if found and len(found) == len(features) else None


def _sections(
    record: StatisticsRecord, drift: Drift, sites: Sequence[str], roles: Sequence[Role]
) -> list[Section]:
    sections = []
    for features in record.groups(*roles).values():
        distances = [drift.distances.get(feature.name, {}) for feature in features]
        rows = {
            site: tuple(
                _cell(record, feature, own, site) for feature, own in zip(features, distances, strict=True)
            )
            for site in sites
        }
        group = features[0].group
        sections.append(
            Section(
                group=group,
                caption=_caption(record, group),
                columns=tuple(feature.title for feature in features),
                rows=rows,
                digits=group.digits,
                pictures=_draw(features, group, sites),
            )
        )
    return sections


def _draw(features: Sequence[FeatureRecord], group: FeatureGroup, sites: Sequence[str]) -> tuple[bytes, ...]:
    if group.form == "spread":
        return tuple(draw_spreads(features, sites, palette) for palette in (LIGHT, DARK))
    if group.form == "number" and group.role == "target":
        return tuple(draw_amounts(features, sites, palette) for palette in (LIGHT, DARK))
    return ()


def _cell(
    record: StatisticsRecord, feature: FeatureRecord, distances: Mapping[str, Distance], site: str
) -> StatisticsCell:
    known = distances.get(site)
    group = feature.group
    if group.form == "spread":
        reach = record.drift.tried if record.drift else None
        heat = None if known is None or reach is None else min(known.value / reach, 1)
        return StatisticsCell(known.value if known else None, heat=heat)
    if group.role == "scale":
        logarithm = median(feature, site)
        return StatisticsCell(None if logarithm is None else 10**logarithm)
    mean = _mean(feature, site)
    percent = 100 if group.form == "yes_no" else 1
    return StatisticsCell(
        None if mean is None else percent * mean, marked=known is not None and known.beyond_chance
    )


def _caption(record: StatisticsRecord, group: FeatureGroup) -> str:
    """What the table of a group has."""
    if group.form == "spread":
        limits = record.drift
        text = "Distance of each hospital from all others (Wasserstein-1"
        text += f", in {group.unit})." if group.unit else ")."
        if limits is None:
            return f"{text} From which distance drift is to be expected is not known for this task."
        return (
            f"{text} Up to {limits.same_source} images look as if from one {limits.source}; beyond "
            f"{limits.tried} they are farther apart than those of any hospitals that the jobs were tried on."
        )
    if group.role == "scale":
        return f"{group.title}. {group.note}".strip()
    unit = "%" if group.form == "yes_no" else group.unit
    return f"{group.title}{f', {unit}' if unit else ''}: means over a hospital's patients."


def _mean(feature: FeatureRecord, site: str) -> float | None:
    bins = feature.reported.get(site)
    if bins is None:
        return None
    return float(np.average(feature.centers(len(bins)), weights=bins))
