"""Rollback to the model before a round that made it worse."""

from __future__ import annotations

from consilium.federation.component_state import DurableState
from consilium.learning.weights import MODEL, Weights, join_sets, split_sets
from consilium.records.federation import FederationRecord
from consilium.records.model_comparison import kept_round, paired_difference

_ALGORITHM = "algorithm"


class Rollback:
    """Keeps the model before the last round until the sites have evaluated the new one.

    A round's model is evaluated with the next round's task, or with a later one if no scores came with that.
    If it is worse, that round is repeated from the model before; a round is repeated so at most once, and
    every job ends.

    A model is dropped only if more than half of the sites find it worse by more than the margin, each
    compared with itself; see `PairedDifference`. So one site's scores, false or true, drop no model where two
    or more evaluate, and with two sites both have to agree.

    Args:
        margin: By how much the key metric may get worse; None: by any amount.

    Attributes:
        algorithm_before: What the server's algorithm remembered before the last round's step.
    """

    def __init__(self, margin: float | None) -> None:
        self._margin = margin
        self._before: Weights | None = None
        self.algorithm_before = DurableState()
        self._restored: tuple[int, Weights] | None = None

    def start(self, round_index: int, weights: Weights) -> Weights:
        """Return a round's initial weights: those given, or the model restored for this round.

        Args:
            round_index: The round, from 0.
            weights: The last round's model.
        """
        return self._restored[1] if self._restored and self._restored[0] == round_index else weights

    def keep(self, weights: Weights, algorithm: DurableState = DurableState()) -> None:  # noqa: B008 - frozen
        """Keep the model that a round started from.

        Args:
            weights: The model.
            algorithm: What the server's algorithm remembered before the round's step.
        """
        if self._margin is not None:
            self._before, self.algorithm_before = weights, algorithm

    def state(self) -> DurableState:
        """Return the durable state: the model before the last round."""
        if self._before is None:
            return DurableState()
        algorithm = self.algorithm_before
        arrays = join_sets({MODEL: self._before, _ALGORITHM: algorithm.arrays})
        return DurableState({_ALGORITHM: dict(algorithm.values)}, arrays)

    def restore(self, state: DurableState) -> None:
        """Continue from a `state`; without a margin in this job, it is not needed."""
        if state.arrays:
            sets = split_sets(state.arrays, (_ALGORITHM,))
            self.keep(sets[MODEL], DurableState(state.values[_ALGORITHM], sets.get(_ALGORITHM, {})))

    def evaluate(self, record: FederationRecord, index: int) -> tuple[Weights, str] | None:
        """Restore the model before the last one that counts, if that one is worse.

        A model may be evaluated several times, as more scores of it come with another attempt at the round,
        or with a later one: where a round counted without an update, the model before it is still the last.

        Args:
            record: Of the job, with the model's scores.
            index: The round, from 0, that is repeated with the restored model.

        Returns:
            The model restored, and why; None if the last one stays.
        """
        number = kept_round(record, index)
        if self._margin is None or self._before is None or not number:
            return None
        before = kept_round(record, number - 1)
        difference = paired_difference(record, number, before)
        if difference is None or difference.upper_median >= -self._margin:
            return None
        self._restored, metrics = (index, self._before), record.metrics
        self._before = None  # of the model restored, no other is kept to compare it with
        model = f"that of round {before}" if before else "the initial one"
        return self._restored[1], (
            f"its model is at least {metrics.key_metric.text(-difference.upper_median)} worse than {model} "
            f"in {metrics.key_name} at more than half of {difference.basis}, and rollback_margin is "
            f"{self._margin:g}; {model} was restored"
        )
