"""Selection of the best round's model by paired comparison with the best one before."""

from __future__ import annotations

from consilium.federation.rounds.announcements import ModelAnnouncements
from consilium.learning.weights import Weights
from consilium.records.federation import FederationRecord
from consilium.records.model_comparison import (
    DEFAULT_SELECTION,
    SelectionRule,
    key_scores,
    scoring_sites,
    selection_gain,
)


class BestModel:
    """The best of the rounds' models, determined from the job's record.

    A model becomes a candidate when its evaluation is complete: when the round counts whose task the scores
    came with, after the final validation, or when the job fails for want of a quorum. A candidate is compared
    with the best model so far and replaces it if it is better by the job's rule, on the sites' validation
    patients. By the default, that is better in the median over the sites; see `PairedDifference`. Where no
    more than half of the sites evaluated both, they can't be compared and the best model stays. By the other
    rules it stays unless all sites that count evaluated both; see `selection_gain`.

    The first candidate with a score is the best until another one is. So that a model that few sites
    evaluated does not stay the best for ever, one that no more than half of the sites evaluated (by the other
    rules: not all of them) also gives way to a candidate that more sites evaluated.

    Models are compared one after the other, as the server keeps the weights of the best one only. With false
    or missing scores, or sites that disagree, A may be better than B, B than C, and C than A; then the order
    of the rounds decides.

    Args:
        announcements: Publishes the best model to FLARE's components.
        rule: Which model is better.
    """

    def __init__(self, announcements: ModelAnnouncements, rule: SelectionRule = DEFAULT_SELECTION) -> None:
        self._announcements = announcements
        self._rule = rule

    def consider(self, record: FederationRecord, number: int, weights: Weights) -> None:
        """Compare a round's model with the best so far, and publish it if it is better.

        Neither the initial model nor one that was dropped is ever the best.

        Args:
            record: Of the job, with the model's scores; the best round is noted in it.
            number: The round that made the model.
            weights: The model.
        """
        if number == 0 or record.rounds[number - 1].rolled_back is not None:
            return
        scores = key_scores(record, number)
        if scores and _replaces_best(record, number, self._rule):
            record.best_round = number
            self._announcements.announce_best(number, weights, scores, record.metrics.key_metric)

    def restore(self, record: FederationRecord, weights: Weights | None) -> None:
        """Publish the best model of an interrupted job; without its weights, the job has none so far.

        Args:
            record: Of the interrupted job.
            weights: The best model, None where its checkpoint is lost.
        """
        if record.best_round is None:
            return
        if weights is None:
            record.best_round = None
            return
        scores = key_scores(record, record.best_round)
        self._announcements.announce_best(record.best_round, weights, scores, record.metrics.key_metric)


def _replaces_best(record: FederationRecord, number: int, rule: SelectionRule) -> bool:
    best = record.best_round
    if best is None:
        return True
    gain = selection_gain(record, number, best, rule)
    if gain is not None:
        return gain > 0
    evaluated, evaluated_best = len(key_scores(record, number)), len(key_scores(record, best))
    sites = len(scoring_sites(record))
    by_few = 2 * evaluated_best <= sites if rule == "median" else evaluated_best < sites
    return by_few and evaluated > evaluated_best
