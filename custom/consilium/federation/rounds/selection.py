"""Which round's model is the best so far."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from consilium.federation.rounds.announcements import ModelAnnouncements
from consilium.learning.weights import Weights
from consilium.report.records import FederationRecord


class BestModel:
    """Compares the rounds' models by the mean of the sites' scores of the model itself.

    Args:
        announcements: Tell FLARE's components of a new best model.
    """

    def __init__(self, announcements: ModelAnnouncements) -> None:
        self._announcements = announcements
        self.score: float | None = None

    def judge(
        self, record: FederationRecord, rounds_done: int, weights: Weights, scores: Mapping[str, float]
    ) -> float | None:
        """Compare the model after so many rounds with the best before; returns its mean score.

        The model that training starts from is never the best.

        Args:
            record: Where the best round is kept.
            rounds_done: The number.
            weights: The model.
            scores: Of it, by site; without any, there is nothing to compare.
        """
        if not scores:
            return None
        mean = fmean(scores.values())
        if rounds_done > 0 and (self.score is None or mean > self.score):
            self.score = mean
            record.best_round = rounds_done
            self._announcements.announce_best(rounds_done, weights, mean)
        return mean

    def restore(self, record: FederationRecord, score: float | None, weights: Weights | None) -> None:
        """Go on from what an interrupted job knew; the weights are None where they are no longer at hand."""
        self.score = score
        if record.best_round is not None and score is not None and weights is not None:
            self._announcements.announce_best(record.best_round, weights, score)
