"""Combine the sites' updates, one in memory at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from nvflare.app_common.aggregators.weighted_aggregation_helper import WeightedAggregationHelper

from consilium.errors import ConsiliumError
from consilium.learning.weights import Weights


class RefusedUpdate(ConsiliumError):
    """A site's update can't be used; the reason is for the operator and the site."""


class Aggregator(Protocol):
    """What the controller needs of an aggregator: it takes updates one by one and never keeps them."""

    def add(self, site: str, update: Weights, weight: float) -> float:
        """Take one site's update and return its Euclidean norm.

        Raises:
            RefusedUpdate: If the update can't be used. The aggregate is as if it had never come.
        """

    def result(self) -> tuple[dict[str, Any], dict[str, float]]:
        """Return the aggregated difference, and each site's share in it (they add up to 1)."""


class WeightedMean:
    """Federated averaging: the mean of the sites' weight differences, weighted by their training cases.

    McMahan et al. 2017, arXiv:1602.05629, algorithm 1. The sums are FLARE's own `WeightedAggregationHelper`,
    which adds each update as it arrives; this class looks at what may enter.

    Args:
        reference: The global weights that the round started from.
        round_number: For FLARE's aggregation history.
    """

    def __init__(self, reference: Weights, round_number: int) -> None:
        self._shapes = {name: np.shape(value) for name, value in reference.items()}
        self._kinds = {name: np.asarray(value).dtype.kind for name, value in reference.items()}
        self._round_number = round_number
        self._helper = WeightedAggregationHelper()
        self._weights: dict[str, float] = {}

    def add(self, site: str, update: Weights, weight: float) -> float:
        """Take one site's update and return its Euclidean norm.

        Raises:
            RefusedUpdate: If names, shapes or kinds of numbers differ from the model's, a value is not
                finite, the weight is not positive, or the site was already counted.
        """
        self._check(site, update, weight)
        norm = float(
            np.sqrt(sum(float(np.sum(np.square(value, dtype=np.float64))) for value in update.values()))
        )
        self._helper.add(
            data=dict(update), weight=weight, contributor_name=site, contribution_round=self._round_number
        )
        self._weights[site] = weight
        return norm

    def result(self) -> tuple[dict[str, Any], dict[str, float]]:
        """Return the aggregated difference, and each site's share in it.

        Raises:
            RefusedUpdate: If no update was taken, or the sum is not finite.
        """
        if not self._weights:
            raise RefusedUpdate("no site sent an update")
        aggregate: Mapping[str, Any] = self._helper.get_result()
        if not all(np.isfinite(value).all() for value in aggregate.values()):
            raise RefusedUpdate("the aggregate is not finite, although every update was")
        total = sum(self._weights.values())
        return dict(aggregate), {site: weight / total for site, weight in self._weights.items()}

    def _check(self, site: str, update: Weights, weight: float) -> None:
        if site in self._weights:
            raise RefusedUpdate("a second update in the same round")
        if not weight > 0 or not np.isfinite(weight):
            raise RefusedUpdate(f"its weight is {weight}, not a positive number")
        if update.keys() != self._shapes.keys():
            missing, unknown = self._shapes.keys() - update.keys(), update.keys() - self._shapes.keys()
            raise RefusedUpdate(f"{len(missing)} weights are missing and {len(unknown)} are unknown")
        for name, value in update.items():
            kind = getattr(getattr(value, "dtype", None), "kind", type(value).__name__)
            if kind != self._kinds[name]:
                raise RefusedUpdate(f"{name} holds values of kind {kind!r}, not {self._kinds[name]!r}")
            if np.shape(value) != self._shapes[name]:
                raise RefusedUpdate(f"{name} has shape {np.shape(value)}, not {self._shapes[name]}")
            if not np.isfinite(value).all():
                raise RefusedUpdate(f"{name} is not finite")
