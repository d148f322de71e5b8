"""Weights in the manner of FedPID at the server; Mächler et al. 2024, arXiv:2411.02152.

A site's share of a round's mean is, before limits,
`(1 - b - c) n_k / sum n + b d_k / sum d + c e_k / sum e`, with its training cases n, the fall d of its
training loss since the round before, and the fall e since its first round: sites from which the model still
learns count more.

Ours differs in three points: a loss that rose counts as no fall, since a negative share would turn an update
around; a site without an earlier loss, and a round in which none fell, are weighed by cases; and
`aggregation.max_site_share` limits a share, because a loss is what a site says of itself. The loss is the
mean over the round's steps, and part of every report.

Costs nothing: no bytes, no seconds, and two numbers a site of state. Excludes secure aggregation unless sites
weigh their updates themselves, and differential privacy that withholds losses. Only rules that weigh by
cases, `mean` and `clipped_mean`, use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from consilium.errors import ConfigurationError
from consilium.federation.algorithms.base import AlgorithmJob
from consilium.federation.algorithms.fedavg import ServerFedAvg
from consilium.federation.component_state import DurableState
from consilium.federation.updates.intake import Aggregate
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.algorithms.fedpid import FedPIDAlgorithmSettings
from consilium.learning.weights import Weights
from consilium.records.federation import SiteReport


class ServerFedPID(ServerFedAvg):
    """Federated averaging in which sites whose loss falls more count more."""

    settings: FedPIDAlgorithmSettings

    def __init__(self, settings: AlgorithmSettings, job: AlgorithmJob) -> None:
        super().__init__(settings, job)
        if self.aggregation["rule"] not in ("mean", "clipped_mean"):
            raise ConfigurationError(
                f"algorithm 'fedpid' sets the sites' weights, and rule {self.aggregation['rule']!r} has "
                "none; allowed: mean, clipped_mean"
            )
        self._first: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._losses: dict[str, float] = {}

    def votes(self, reports: Mapping[str, SiteReport]) -> dict[str, float]:
        """Return each site's weight in this round."""
        self._losses = {site: one.loss for site, one in reports.items() if one.loss is not None}
        cases = _parts({site: float(one.train_cases or 0) for site, one in reports.items()})
        last, whole = (
            _parts(
                {site: max(0.0, before[site] - loss) for site, loss in self._losses.items() if site in before}
            )
            for before in (self._last, self._first)
        )
        b, c = self.settings.last_drop if last else 0.0, self.settings.whole_drop if whole else 0.0
        return {
            site: (1 - b - c) * part + b * last.get(site, part) + c * whole.get(site, part)
            for site, part in cases.items()
        }

    def step(self, weights: Weights, aggregate: Aggregate) -> Weights:
        """Return the weights of federated averaging, and remember the losses of the sites that counted."""
        counted = {site: loss for site, loss in self._losses.items() if site in aggregate.shares}
        self._last, self._first = {**self._last, **counted}, {**counted, **self._first}
        return super().step(weights, aggregate)

    def state(self) -> DurableState:
        """Return the first and the last loss of each site."""
        return DurableState({"first": dict(self._first), "last": dict(self._last)})

    def restore(self, state: DurableState) -> None:
        """Continue with the losses of earlier rounds."""
        self._first, self._last = (_losses(state.values[name]) for name in ("first", "last"))


def _parts(values: Mapping[str, float]) -> dict[str, float]:
    """Each value's part of their sum; nothing where that is 0."""
    total = sum(values.values())
    return {site: value / total for site, value in values.items()} if total > 0 else {}


def _losses(values: Mapping[str, Any]) -> dict[str, float]:
    return {str(site): float(loss) for site, loss in values.items()}
