"""A round of local training: its loss and its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from consilium.learning.weights import Weights, WeightSets


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
        self._shown: set[str] = set()
        self.mean: float | None = None

    @property
    def patients(self) -> int:
        """How many different patients the steps have shown."""
        return len(self._shown)

    def add(self, loss: float, patients: Iterable[str]) -> None:
        """Record a step.

        Args:
            loss: Of its whole batch.
            patients: Those of its samples.
        """
        self._total += loss
        self._steps += 1
        new = set(patients)
        self._patients |= new
        self._shown |= new
        if len(self._patients) >= self._minimum:
            self._patients.clear()
            self.mean = self._total / self._steps


class RoundTime:
    """Time limit of a round's training at one site.

    Args:
        minutes: How long it may take; None for no limit.
        min_patients: Fewest patients that it shows all the same: an update of fewer could not be sent.
    """

    def __init__(self, minutes: float | None, min_patients: int) -> None:
        self._seconds = None if minutes is None else minutes * 60
        self._min_patients = min_patients
        self._started = time.monotonic()

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit."""
        return self._seconds is not None

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def is_over(self, patients: int) -> bool:
        """Return whether no further step begins.

        Args:
            patients: How many different patients the steps have shown.
        """
        return self._seconds is not None and self.seconds >= self._seconds and patients >= self._min_patients


OnStep = Callable[[int, int, float | None], None]
"""Called with the steps done, the steps in all, and the mean loss so far; see `RoundLoss`."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Result of a round of local training.

    Attributes:
        weights: The network's weights after the last step.
        loss: Mean loss, see `RoundLoss`; None if the algorithm withholds losses, or it would be of too few.
        steps: Optimizer steps made.
        seconds: Wall time of the steps, with loading the samples.
        unreadable: Ids of cases that could no longer be read and were left out. They stay at the site.
        sent: The algorithm's weight sets that are sent beside the difference.
        numbers: Its plain numbers that are sent.
        personal: Weights of this site's own, with which it evaluates the next model. They stay at the site.
    """

    weights: Weights
    loss: float | None
    steps: int
    seconds: float
    unreadable: tuple[str, ...] = ()
    sent: WeightSets = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    personal: Weights = field(default_factory=dict)
