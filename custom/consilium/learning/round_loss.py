"""The loss of a round, as a site may report it while it trains and afterwards."""

from __future__ import annotations

from collections.abc import Iterable


class RoundLoss:
    """The mean loss of a round's steps, but for the last ones while they have shown too few patients.

    With one sample a step, the loss of a step is one patient's. So the mean moves only when the steps since
    it moved last have shown the minimum of different patients: the difference of two means is about as many.

    Args:
        minimum: Fewest patients.

    Attributes:
        mean: The mean; None as long as the whole round has shown fewer patients than the minimum.
    """

    def __init__(self, minimum: int) -> None:
        self._minimum = minimum
        self._total = 0.0
        self._steps = 0
        self._patients: set[str] = set()
        self.mean: float | None = None

    def add(self, loss: float, patients: Iterable[str]) -> None:
        """Record a step.

        Args:
            loss: Of its whole batch.
            patients: Those of its samples.
        """
        self._total += loss
        self._steps += 1
        self._patients.update(patients)
        if len(self._patients) >= self._minimum:
            self._patients.clear()
            self.mean = self._total / self._steps
