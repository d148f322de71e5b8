"""Records of statistics, made of what each hospital's patients are like."""

from collections.abc import Mapping, Sequence

import numpy as np

from consilium.errors import RefusalCode
from consilium.records.bounds import MissingSite
from consilium.records.statistics import FeatureRecord, SiteAnswer, SiteHistogram, StatisticsRecord
from consilium.tasks import get_task

TASK = get_task("brain_tumor")


def record(
    sites: Mapping[str, int],
    values: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    missing: Mapping[str, str] | None = None,
) -> StatisticsRecord:
    """Return the record of sites with so many patients.

    Args:
        sites: Site to its number of patients.
        values: Feature to site to a value for each of its patients; others have one value in the middle. For
            intensities, one value: where the site's patients have all of theirs.
        missing: Sites without statistics, and why.
    """
    features = {}
    for feature in TASK.statistics.features():
        own = (values or {}).get(feature.name, {})
        middle = float(feature.centers[feature.bins // 2])
        features[feature.name] = FeatureRecord(
            group=feature.group,
            of=feature.of,
            title=feature.title,
            low=feature.low,
            high=feature.high,
            sites={
                site: SiteHistogram(patients=count, bins=_bins(feature, own.get(site, [middle] * count)))
                for site, count in sites.items()
            },
        )
    return StatisticsRecord(
        job="brain_tumor_stats",
        task=TASK.name,
        title=TASK.title,
        drift=TASK.statistics.drift,
        status="finished",
        settings={"min_count": 1},
        sites={
            site: SiteAnswer(patients=patients, cases=patients, min_count=1, label_convention="brats-2018")
            for site, patients in sites.items()
        },
        missing={
            site: MissingSite(reason=reason, code=RefusalCode.DATASET)
            for site, reason in (missing or {}).items()
        },
        features=features,
    )


def _bins(feature, values):
    return (
        np.histogram(values, bins=feature.bins, range=(feature.low, feature.high))[0].astype(float).tolist()
    )
