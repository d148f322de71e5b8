"""What is compared: starts, trained weights and epsilons, and how much of everything."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from consilium.learning.algorithms.dp_sgd import DpSgdAlgorithmSettings
from consilium.privacy.promise import FORMAL_EPSILON

Start: TypeAlias = Literal["scratch", "pretrained"]
"""From drawn weights, or from a model of other hospitals' patients."""

Trainable: TypeAlias = Literal["all", "last_layers"]
"""See `DpSgdAlgorithmSettings.trainable`."""

Method: TypeAlias = Literal["dp_sgd", "fedavg", "untrained"]
"""DP-SGD by patient, federated averaging without any of it, or the start as it is."""

EPSILONS: Final = (1.0, 3.0, 8.0, 20.0, 50.0, 1000.0, math.inf)

_ORDER: Final = (8.0, math.inf, 1.0, 1000.0, 3.0, 50.0, 20.0)
"""In which they are run: an interrupted run still shows the range."""

RATES: Final[dict[tuple[Start, Trainable], float]] = {
    ("scratch", "all"): 8e-3,
    ("scratch", "last_layers"): 8e-3,
    ("pretrained", "all"): 1e-3,
    ("pretrained", "last_layers"): 1e-3,
}
"""Learning rates, chosen before any figure was known: from drawn weights that of the job of federated
averaging, from a trained model that of the job of DP-SGD."""


@dataclass(frozen=True)
class Way:
    """One way to train.

    Attributes:
        method: The algorithm.
        start: What it starts from.
        trainable: Which weights are trained.
        epsilon: Of the whole job; infinite for DP-SGD without noise and clipping, and without DP-SGD.
    """

    method: Method
    start: Start
    trainable: Trainable = "all"
    epsilon: float = math.inf

    @property
    def name(self) -> str:
        """Short name, in results and progress."""
        text = f"{self.method} {self.start}"
        return f"{text} {self.trainable} {self.epsilon:g}" if self.method == "dp_sgd" else text

    def settings(self, clip: float) -> DpSgdAlgorithmSettings:
        """Return the settings of DP-SGD with this epsilon, as a job has them; the largest one for infinity.

        Args:
            clip: The bound of a patient's gradient.
        """
        values: dict[str, Any] = {"trainable": self.trainable, "clip": clip}
        values["level"] = "formal" if self.epsilon <= FORMAL_EPSILON else "reconstruction"
        if math.isfinite(self.epsilon):
            values["epsilon"] = self.epsilon
        return DpSgdAlgorithmSettings(**values)


def list_ways() -> list[Way]:
    """Return all ways in the order in which they are run: what says most comes first."""
    pretrained: Start = "pretrained"
    scratch: Start = "scratch"
    ways = [Way("untrained", pretrained), Way("fedavg", pretrained), Way("fedavg", scratch)]
    for epsilon in _ORDER:
        ways += [
            Way("dp_sgd", pretrained, "all", epsilon),
            Way("dp_sgd", pretrained, "last_layers", epsilon),
            Way("dp_sgd", scratch, "all", epsilon),
        ]
    return ways + [Way("dp_sgd", scratch, "last_layers", epsilon) for epsilon in _ORDER]


@dataclass(frozen=True)
class Effort:
    """Numbers of a run.

    Attributes:
        rounds: Of the federation.
        scored: Held-out patients of each hospital that models are scored on, at most.
        pretraining_patients: Of the other hospital.
        pretraining_steps: On these.
        small: Whether the federation's hospitals have a few patients each.
    """

    rounds: int = 6
    scored: int = 6
    pretraining_patients: int = 24
    pretraining_steps: int = 96
    small: bool = False


WHOLE: Final = Effort()
QUICK: Final = Effort(rounds=1, scored=1, pretraining_patients=3, pretraining_steps=2, small=True)
