"""Going back to the model before a round that has made it worse."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from consilium.federation.algorithm_state import AlgorithmState
from consilium.learning.weights import Weights


class Rollback:
    """Keeps the model before the last round until the sites have judged what the round made of it.

    A round's model is judged with the next round's task. If it is worse, that next round is asked for again
    with the model before; a round goes back at most once, so a job always comes to its end.

    Args:
        margin: By how much the score may fall; None to go on whatever it does.
    """

    def __init__(self, margin: float | None) -> None:
        self._margin = margin
        self._before: tuple[Weights, dict[str, float]] | None = None
        self._restored: tuple[int, Weights] | None = None

    def start(self, round_index: int, weights: Weights) -> Weights:
        """Return what a round starts from: the weights given, but for a round that has gone back before."""
        return self._restored[1] if self._restored and self._restored[0] == round_index else weights

    def went_back(self, round_index: int) -> bool:
        """Return whether a round has gone back to the model before."""
        return self._restored is not None and self._restored[0] == round_index

    def keep(self, weights: Weights, scores: Mapping[str, float]) -> None:
        """Keep the model that a round started from.

        Args:
            weights: The model.
            scores: What it scored, by site.
        """
        if self._margin is not None:
            self._before = weights, dict(scores)

    def state(self) -> AlgorithmState:
        """Return what has to outlive the process: the model that the last round started from."""
        if self._before is None:
            return AlgorithmState()
        weights, scores = self._before
        return AlgorithmState({"scores": scores}, weights)

    def restore(self, state: AlgorithmState) -> None:
        """Go on from a `state`; whether that model is needed is for the job that goes on to say."""
        if state.arrays:
            scores = {str(site): float(score) for site, score in state.values["scores"].items()}
            self.keep(state.arrays, scores)

    def judge(self, round_index: int, scores: Mapping[str, float]) -> str | None:
        """Go back if the last round's model is worse than the one kept, and return the reason; else None.

        The change is the median over the sites that judged both models: a single site's scores, false or
        true, neither cause nor prevent it where there are three.

        Args:
            round_index: The round that goes back, of which these scores came.
            scores: Of the last round's model, by site.
        """
        before, self._before = self._before, None
        if before is None or self._margin is None:
            return None
        weights, scores_before = before
        changes = [scores[site] - scores_before[site] for site in scores.keys() & scores_before.keys()]
        if not changes or median(changes) >= -self._margin:
            return None
        self._restored = round_index, weights
        return (
            f"its model scored {-median(changes):.3f} lower than the one before, in the median of "
            f"{len(changes)} site(s), and rollback_margin is {self._margin:g}; the one before was restored"
        )
