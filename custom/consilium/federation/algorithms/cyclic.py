"""Cyclic weight transfer at the server: one hospital a round; Chang et al. 2018, 10.1093/jamia/ocy017.

The model goes from hospital to hospital. With the n hospitals that ever said that they train, by name, the
update of round r (from 0) is that of hospital k = r mod n alone: `w <- w_k`, with w_k what it trained from w.
One that is not connected is passed over, and attempt a of a round (from 1) takes the hospital a - 1 places
further on, so that one that is lost or whose update is rejected costs an attempt, and never the job; the one
after it then has a turn more, and the others keep theirs. The record says whose turn failed, and a job with a
hospital that had no turn that counts is a partial success. Nothing but the record and the round decides, so a
resumed job continues the order.

Unlike in the paper, and in FLARE's `CyclicController`, the server stays in between: all sites evaluate the
model of every round, so that the best model, the rollback and the report are those of any other job, and the
update is screened as any other. A hospital decides the model of its turn: no other update of the round can be
compared with its own, and only its length with those of the last turns (`screening.max_norm_ratio`, see
`TurnPaces`; nothing in the first two turns). `rollback_margin` drops a model that makes the scores worse at
more than half of the hospitals: of two, if both say so.

Costs: as many rounds as turns, one after the other, so n times the rounds of federated averaging for as many
steps at each site, in each of which the others wait; in a round the model to all, as always, and one update
back. State: one number a site. Excludes secure aggregation, as there is no sum, and every rule but the mean,
as there is nothing to combine. Noise that hides a hospital as a whole is averaged with nobody's: the model
takes all of it.

The next hospital sees the update of the one before: it has the model before and after. So does every
other hospital. No encryption changes that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from consilium.aggregation.turns import TurnPaces
from consilium.errors import ConfigurationError
from consilium.federation.algorithms.base import AlgorithmJob, Question, RoundStart
from consilium.federation.algorithms.fedavg import ServerFedAvg
from consilium.federation.component_state import DurableState
from consilium.federation.updates.intake import Aggregate, Contribution, ScreenedAggregation
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.algorithms.cyclic import TURN
from consilium.learning.weights import Weights


class ServerCyclic(ServerFedAvg):
    """Federated averaging in which a round has one hospital's update; they take turns."""

    def __init__(self, settings: AlgorithmSettings, job: AlgorithmJob) -> None:
        super().__init__(settings, job)
        if self.aggregation["rule"] != "mean":
            raise ConfigurationError(
                f"algorithm 'cyclic' has one update a round, and rule {self.aggregation['rule']!r} combines "
                "several; allowed: mean"
            )
        self._paces = TurnPaces(job.screening.settings.max_norm_ratio)
        self._asked: _TurnAggregator | None = None

    def questions(self, start: RoundStart) -> Iterator[Question]:
        """Yield one question: the site whose turn it is trains, and the others evaluate.

        Raises:
            RejectedUpdate: If no site could train.
        """
        if not start.trainers:
            raise RejectedUpdate("no hospital that trains is connected")
        turn = whose_turn(start)
        updates = self._asked = _TurnAggregator(turn, self.new_aggregation(start), self._paces)
        yield Question(updates, content={TURN: turn}, turn=turn)

    def step(self, weights: Weights, aggregate: Aggregate) -> Weights:
        """Return the model of the hospital with the turn, and remember how long its update is."""
        if self._asked is not None:
            for site, pace in self._asked.paces.items():
                self._paces.keep(site, pace)
        return super().step(weights, aggregate)

    def state(self) -> DurableState:
        """Return how long the update of each hospital's last turn was."""
        return DurableState({"paces": self._paces.values})

    def restore(self, state: DurableState) -> None:
        """Continue from a `state`."""
        self._paces.restore(state.values.get("paces", {}))  # none in a checkpoint of an earlier version


def whose_turn(start: RoundStart) -> str:
    """Return the hospital whose turn an attempt at a round is.

    Args:
        start: What the round starts from; at least one site that trains is connected.

    Example:
        >>> from pathlib import Path
        >>> known = ("east", "north", "west")
        >>> [
        ...     whose_turn(RoundStart(index, {}, Path(), trainers=("east", "west"), known_trainers=known))
        ...     for index in range(3)
        ... ]
        ['east', 'west', 'west']
    """
    order = sorted({*start.trainers, *start.known_trainers})
    place = start.index % len(order)
    following = [site for site in (*order[place:], *order[:place]) if site in start.trainers]
    return following[(start.attempt - 1) % len(following)]


@dataclass(frozen=True)
class _TurnAggregator:
    """Takes the update of one site, and rejects every other."""

    turn: str
    updates: ScreenedAggregation
    last: TurnPaces

    def add(self, site: str, contribution: Contribution) -> float:
        if site != self.turn:
            raise RejectedUpdate(f"it is the turn of {self.turn}")
        return self.updates.add(site, contribution)

    @property
    def paces(self) -> dict[str, float]:
        return self.updates.paces

    def screen(self) -> dict[str, str]:
        found = ((site, self.last.fault(site, pace)) for site, pace in self.paces.items())
        rejected = {site: fault for site, fault in found if fault is not None}
        self.updates.drop(rejected)
        return rejected
