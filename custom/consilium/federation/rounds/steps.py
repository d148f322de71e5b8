"""The step from a round's aggregate to the next model."""

from __future__ import annotations

import numpy as np

from consilium.federation.algorithms.base import ServerAlgorithm
from consilium.federation.updates.intake import Aggregate
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.learning.weights import Weights


def take_step(algorithm: ServerAlgorithm, weights: Weights, aggregate: Aggregate) -> Weights:
    """Return the next model, by the algorithm's step.

    Finite updates can add up to more than the numbers of a model or of an optimizer's moments can hold, from
    which no later round would recover.

    Args:
        algorithm: The job's; it remembers what its step changes.
        weights: What the sites trained from.
        aggregate: Of their answers.

    Raises:
        RejectedUpdate: If the model is not finite, or what the algorithm would remember is not; it forgets
            that.
    """
    before = algorithm.state()
    with np.errstate(over="ignore", invalid="ignore"):
        made = algorithm.step(weights, aggregate)
    if _are_finite(made) and _are_finite(algorithm.state().arrays):
        return made
    algorithm.restore(before)
    raise RejectedUpdate("the model would not be finite after it, although the aggregate is")


def _are_finite(weights: Weights) -> bool:
    return all(bool(np.isfinite(value).all()) for value in weights.values())
