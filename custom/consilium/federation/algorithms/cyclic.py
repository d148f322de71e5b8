"""Cyclic weight transfer at the server: one hospital a round; Chang et al. 2018, 10.1093/jamia/ocy017.

The model goes from hospital to hospital. With the n hospitals that train and are connected, by name, the
update of round r (from 0) is that of hospital k = r mod n alone: `w <- w_k`, with w_k what it trained from w.
Attempt a of a round (from 1) takes the hospital a - 1 places further on, so that one that is lost or whose
update is rejected costs an attempt, and never the job; the one after it then has a turn more. Nothing but the
round decides, so a resumed job continues the order.

Unlike in the paper, and in FLARE's `CyclicController`, the server stays in between: all sites evaluate the
model of every round, so that the best model, the rollback and the report are those of any other job, and the
update is screened as any other. A hospital decides the model of its turn: no other update of the round can be
compared with its own, and only its pace with that of the turn before (`screening.max_norm_ratio`; nothing in
the first round). `rollback_margin` drops a model that makes the scores worse.

Costs: as many rounds as turns, one after the other, so n times the rounds of federated averaging for as many
steps at each site, in each of which the others wait; in a round the model to all, as always, and one update
back. No state. Excludes secure aggregation, as there is no sum, and every rule but the mean, as there is
nothing to combine. Noise that hides a hospital as a whole is averaged with nobody's: the model takes all of
it.

The next hospital sees the update of the one before: it has the model before and after. So does every
other hospital. No encryption changes that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from consilium.errors import ConfigurationError
from consilium.federation.algorithms.base import AlgorithmJob, Question, RoundStart
from consilium.federation.algorithms.fedavg import ServerFedAvg
from consilium.federation.updates.intake import Contribution, ScreenedAggregation
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.algorithms.cyclic import TURN


class ServerCyclic(ServerFedAvg):
    """Federated averaging in which a round has one hospital's update; they take turns."""

    def __init__(self, settings: AlgorithmSettings, job: AlgorithmJob) -> None:
        super().__init__(settings, job)
        if self.aggregation["rule"] != "mean":
            raise ConfigurationError(
                f"algorithm 'cyclic' has one update a round, and rule {self.aggregation['rule']!r} combines "
                "several; allowed: mean"
            )

    def questions(self, start: RoundStart) -> Iterator[Question]:
        """Yield one question: the site whose turn it is trains, and the others evaluate.

        Raises:
            RejectedUpdate: If no site could train.
        """
        order = sorted(start.trainers)
        if not order:
            raise RejectedUpdate("no hospital that trains is connected")
        turn = order[(start.index + start.attempt - 1) % len(order)]
        updates = _TurnAggregator(turn, self.new_aggregation(start))
        yield Question(updates, content={TURN: turn}, turn=turn)


@dataclass(frozen=True)
class _TurnAggregator:
    """Takes the update of one site, and rejects every other."""

    turn: str
    updates: ScreenedAggregation

    def add(self, site: str, contribution: Contribution) -> float:
        if site != self.turn:
            raise RejectedUpdate(f"it is the turn of {self.turn}")
        return self.updates.add(site, contribution)

    def screen(self) -> dict[str, str]:
        return self.updates.screen()
