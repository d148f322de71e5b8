"""Optimizers at the server: the sites' mean change is taken as a gradient.

With the round's combined change D of the sites (that of federated averaging, by the job's rule), element by
element:

- FedAvgM, Hsu et al. 2019, arXiv:1909.06335, section 4: `m <- momentum m + D`, `w <- w + rate m`.
- FedAdam and FedYogi, Reddi et al. 2021, arXiv:2003.00295, algorithm 2: `m <- beta1 m + (1 - beta1) D`,
  `w <- w + rate m / (sqrt(v) + tau)`, with `v <- beta2 v + (1 - beta2) D^2` (Adam) or
  `v <- v - (1 - beta2) D^2 sign(v - D^2)` (Yogi). m starts at 0 and v at tau^2; as in the paper, neither is
  corrected for its start.

FedAvgM with momentum 0 and rate 1 is federated averaging, bit for bit. The adaptive ones never are: a weight
moves by up to about the rate, however little its change is, as long as that is above tau. So the rate has to
suit the changes of a round, which depend on local steps and learning rate.

Costs no bytes and nothing at the sites; at the server one model more of memory and of each checkpoint, two
with the adaptive ones, and about as long as writing these. Excludes nothing: only the combined change is
seen, so it may come from masked updates. Privacy is not changed by what is computed from that change.

Integers and running statistics of normalization layers are averaged as by federated averaging: momentum
could make a variance negative.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

import numpy as np
from numpy.typing import NDArray

from consilium.federation.algorithms.fedavg import ServerFedAvg
from consilium.federation.component_state import DurableState
from consilium.federation.updates.intake import Aggregate
from consilium.learning.algorithms.server_optimizers import (
    FedAdamAlgorithmSettings,
    FedAvgMAlgorithmSettings,
    FedYogiAlgorithmSettings,
)
from consilium.learning.weights import MODEL, Weights, join_sets, split_sets

_FIRST, _SECOND = "first_moment", "second_moment"
_STATISTICS: Final = ("running_mean", "running_var", "num_batches_tracked")

_Array = NDArray[np.floating]


class ServerFedAvgM(ServerFedAvg):
    """Federated averaging with momentum at the server."""

    settings: FedAvgMAlgorithmSettings

    def begin(self, weights: Weights) -> None:
        """Start without momentum."""
        optimized = _optimized(self.settings.shared(weights))
        self._momentum = {name: np.zeros_like(value) for name, value in optimized.items()}

    def step(self, weights: Weights, aggregate: Aggregate) -> Weights:
        """Return the weights after a step with momentum."""
        change = dict(aggregate.sets[MODEL])
        momentum = {}
        for name, before in self._momentum.items():
            momentum[name] = _as(self.settings.momentum * before + change[name], before)
            change[name] = _as(self.settings.server_rate * momentum[name], before)
        self._momentum = momentum
        return super().step(weights, Aggregate({MODEL: change}, aggregate.shares))

    def state(self) -> DurableState:
        """Return the momentum."""
        return DurableState(arrays=join_sets({_FIRST: self._momentum}))

    def restore(self, state: DurableState) -> None:
        """Continue with the momentum."""
        self._momentum = split_sets(state.arrays, (_FIRST,))[_FIRST]


class _ServerAdaptive(ServerFedAvg):
    """Federated averaging with an adaptive optimizer at the server."""

    settings: FedAdamAlgorithmSettings | FedYogiAlgorithmSettings

    def begin(self, weights: Weights) -> None:
        """Start with moments of zero and tau squared."""
        optimized = _optimized(self.settings.shared(weights))
        self._first = {name: np.zeros_like(value) for name, value in optimized.items()}
        self._second = {name: np.full_like(value, self.settings.tau**2) for name, value in optimized.items()}

    def step(self, weights: Weights, aggregate: Aggregate) -> Weights:
        """Return the weights after a step of the optimizer."""
        settings, change = self.settings, dict(aggregate.sets[MODEL])
        first, second = {}, {}
        for name, before in self._first.items():
            seen = change[name]
            first[name] = _as(settings.beta1 * before + (1 - settings.beta1) * seen, before)
            second[name] = _as(self._next_second(self._second[name], np.square(seen)), before)
            change[name] = _as(
                settings.server_rate * first[name] / (np.sqrt(second[name]) + settings.tau), before
            )
        self._first, self._second = first, second
        return super().step(weights, Aggregate({MODEL: change}, aggregate.shares))

    @abstractmethod
    def _next_second(self, second: _Array, squared: _Array) -> _Array:
        """The second moment after a change with these squares."""

    def state(self) -> DurableState:
        """Return both moments."""
        return DurableState(arrays=join_sets({_FIRST: self._first, _SECOND: self._second}))

    def restore(self, state: DurableState) -> None:
        """Continue with both moments."""
        sets = split_sets(state.arrays, (_FIRST, _SECOND))
        self._first, self._second = sets[_FIRST], sets[_SECOND]


class ServerFedAdam(_ServerAdaptive):
    """Federated averaging with Adam at the server."""

    def _next_second(self, second: _Array, squared: _Array) -> _Array:
        beta = self.settings.beta2
        return beta * second + (1 - beta) * squared


class ServerFedYogi(_ServerAdaptive):
    """Federated averaging with Yogi at the server."""

    def _next_second(self, second: _Array, squared: _Array) -> _Array:
        return second - (1 - self.settings.beta2) * squared * np.sign(second - squared)


def _optimized(weights: Weights) -> dict[str, _Array]:
    """The weights that are optimized: floating, and no running statistics."""
    return {
        name: np.asarray(value)
        for name, value in weights.items()
        if np.asarray(value).dtype.kind == "f" and name.rpartition(".")[2] not in _STATISTICS
    }


def _as(value: _Array, like: _Array) -> _Array:
    return np.asarray(value, dtype=like.dtype)
