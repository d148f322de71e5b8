"""Distances between each site's patients and those of all others, by feature.

The distance is Wasserstein-1 (Villani 2009, doi 10.1007/978-3-540-71050-9): how far on average one histogram
must be moved to become the other. Unlike bin-by-bin measures such as Jensen-Shannon's it knows which bins
are neighbors, so a few patients do not look far apart only because they fall beside each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from consilium.records.statistics import FeatureRecord

Bins = NDArray[np.float64]

_RESAMPLES = 1000
_CONFIDENCE = 0.99


@dataclass(frozen=True)
class Distance:
    """A site against the pooled patients of all others.

    Attributes:
        value: Wasserstein-1, in the feature's unit.
        standardized: The same over the standard deviation of all patients' values.
        chance: What `value` exceeds once in a hundred times by chance alone, were all patients of one kind;
            None where a patient is spread over the bins, and so not one draw.
        direction: By how much the site's mean is above that of the others.
    """

    value: float
    standardized: float
    chance: float | None
    direction: float

    @property
    def beyond_chance(self) -> bool:
        """Whether so many patients would hardly differ so much by chance."""
        return self.chance is None or self.value > self.chance


def site_distances(feature: FeatureRecord, minimums: Mapping[str, int]) -> dict[str, Distance]:
    """Return each site's distance from the rest; empty with fewer than two sites that report anything.

    Args:
        feature: The histograms.
        minimums: Fewest patients that a number of each site is about: the size of micro-aggregated groups.
    """
    reported = feature.reported
    if len(reported) < 2:
        return {}
    total = np.sum(list(reported.values()), axis=0)
    groups = {site: max(1, int(bins.sum()) // minimums.get(site, 1)) for site, bins in reported.items()}
    draws = {site: (own, sum(groups.values()) - own) for site, own in groups.items()}
    return {site: _distance(feature, bins, total - bins, draws[site]) for site, bins in reported.items()}


def _distance(feature: FeatureRecord, site: Bins, rest: Bins, draws: tuple[int, int]) -> Distance:
    centers = feature.centers(len(site))
    value = float(wasserstein(centers, site, rest))
    deviation = _deviation(centers, site + rest)
    chance = None if feature.group.form == "spread" else _chance(centers, site + rest, draws)
    return Distance(
        value=value,
        standardized=value / deviation if deviation else 0.0,
        chance=chance,
        direction=float(np.average(centers, weights=site) - np.average(centers, weights=rest)),
    )


def _chance(centers: Bins, pooled: Bins, draws: tuple[int, int]) -> float:
    """A quantile of the distance between two samples of the pooled patients.

    Micro-aggregated patients are drawn as groups, one draw a group: they vary less than patients do, and as
    many draws as patients would take the ordinary for rare. The draws are seeded, so that a record always
    gives the same page.
    """
    random = np.random.default_rng(0)
    shares = pooled / pooled.sum()
    own, others = (random.multinomial(size, shares, _RESAMPLES).astype(np.float64) for size in draws)
    return float(np.quantile(wasserstein(centers, own, others), _CONFIDENCE))


def wasserstein(centers: Bins, first: Bins, second: Bins) -> Bins:
    """Return Wasserstein-1 of histograms in the same equal bins: the area between their cumulative shares.

    Args:
        centers: Of the bins, `(bins,)`.
        first: Histograms, `(..., bins)`, none of them empty.
        second: As many.

    Returns:
        Distances in the unit of the centers, `(...)`.
    """
    shares = (one / one.sum(axis=-1, keepdims=True) for one in (first, second))
    own, other = (np.cumsum(one, axis=-1) for one in shares)
    area: Bins = np.abs(own - other).sum(axis=-1) * (centers[1] - centers[0])
    return area


def _deviation(centers: Bins, weights: Bins) -> float:
    mean = np.average(centers, weights=weights)
    return math.sqrt(float(np.average((centers - mean) ** 2, weights=weights)))
