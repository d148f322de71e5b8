"""SCAFFOLD at the server: the sites' mean control variate is sent with the model; see the site's half.

Karimireddy et al. 2020, arXiv:1910.06378. After a round of sites with the share f of all training cases, the
server's is `c <- (1 - f) c + f sum_k p_k c_k`: with all sites, their mean by the shares of the round. The
paper adds up changes instead, and then c is never right again after one was lost on the way.

Costs twice the bytes of federated averaging, and state of one model, saved with every round.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from consilium.aggregation.rules import euclidean_norm
from consilium.federation.algorithms.base import Question, RoundStart
from consilium.federation.algorithms.fedavg import ServerFedAvg
from consilium.federation.component_state import DurableState
from consilium.federation.updates.intake import Aggregate, Contribution, ScreenedAggregation
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.learning.algorithms.base import MAX_GRADIENT_NORM
from consilium.learning.algorithms.scaffold import CONTROL, OWN_CONTROL
from consilium.learning.weights import Weights, join_sets, split_sets

_LARGEST = MAX_GRADIENT_NORM * 1.01
"""Of a site's control variate, with what rounding adds."""


class _ControlledAggregation(ScreenedAggregation):
    """Also rejects control variates that are longer than any mean of gradients."""

    def add(self, site: str, contribution: Contribution) -> float:
        with np.errstate(over="ignore"):
            norm = euclidean_norm(list(contribution.sets.get(OWN_CONTROL, {}).values()))
        if not norm <= _LARGEST:
            raise RejectedUpdate(f"its control variate has norm {norm:.3g}, and at most {_LARGEST:g} can be")
        return super().add(site, contribution)


class ServerScaffold(ServerFedAvg):
    """Federated averaging that sends the mean of the sites' control variates with the model."""

    aggregation_type: ClassVar[type[ScreenedAggregation]] = _ControlledAggregation

    def begin(self, weights: Weights) -> None:
        """Start with a control variate of zero."""
        self.control: Weights = {
            name: np.zeros_like(value) for name, value in self.settings.shared(weights).items()
        }

    def questions(self, start: RoundStart) -> Iterator[Question]:
        """Yield one question: to train, with the control variate."""
        yield Question(self.new_aggregation(start), sets={CONTROL: self.control})

    def step(self, weights: Weights, aggregate: Aggregate) -> Weights:
        """Return the weights of federated averaging, and renew the control variate."""
        new, share = aggregate.sets[OWN_CONTROL], self.job.screening.share_of_cases(aggregate.shares)
        self.control = {
            name: np.asarray((1 - share) * value + share * new[name], dtype=np.asarray(value).dtype)
            for name, value in self.control.items()
        }
        return super().step(weights, aggregate)

    def state(self) -> DurableState:
        """Return the control variate."""
        return DurableState(arrays=join_sets({CONTROL: self.control}))

    def restore(self, state: DurableState) -> None:
        """Continue with a control variate."""
        self.control = split_sets(state.arrays, (CONTROL,))[CONTROL]
