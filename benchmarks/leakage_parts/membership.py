"""Membership inference: whether a patient was trained on, from the loss of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

_LEAST_SPREAD = 1e-6


def loss_scores(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Score by one threshold for all patients: a low loss looks like a member (Yeom 2018, arXiv:1709.01604).

    Args:
        losses: `(models, patients)`.
    """
    return -losses


def lira_scores(losses: NDArray[np.float64], member: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Score by likelihood ratio (Carlini et al. 2022, arXiv:2112.03570), each model in turn the target.

    For every patient a normal distribution of the loss is fitted to the other models with the patient, and
    one to those without. With so few models, all share one spread.

    Args:
        losses: `(models, patients)`.
        member: Whether the model has seen the patient.

    Raises:
        ValueError: If a patient has no other model on one of the sides.
    """
    scores = np.empty_like(losses)
    for target in range(len(losses)):
        others, seen = np.delete(losses, target, axis=0), np.delete(member, target, axis=0)
        if not (seen.any(axis=0) & (~seen).any(axis=0)).all():
            raise ValueError("every patient needs another model with it and one without it")
        sides = (seen, ~seen)
        centers = [np.where(side, others, 0).sum(axis=0) / side.sum(axis=0) for side in sides]
        rest = np.where(seen, others - centers[0], others - centers[1])
        # Two means a patient are fitted.
        spread = np.sqrt((rest**2).sum() / max(rest.size - 2 * rest.shape[1], 1))
        inside, outside = (norm.logpdf(losses[target], one, max(spread, _LEAST_SPREAD)) for one in centers)
        scores[target] = inside - outside
    return scores


def success(scores: NDArray[np.float64], member: NDArray[Any], *, fpr: float = 0.01) -> dict[str, float]:
    """Return the area under the ROC curve, and the true-positive rate at a false-positive rate.

    Args:
        scores: Higher for members.
        member: The truth.
        fpr: Largest share of others that may be taken for members.

    Example:
        >>> success(np.array([3.0, 2.0, 1.0, 0.0]), np.array([True, False, True, False]))
        {'auc': 0.75, 'tpr': 0.5}
    """
    inside, outside = scores[member], np.sort(scores[~member])
    below = np.searchsorted(outside, inside, side="left") + np.searchsorted(outside, inside, side="right")
    # The threshold is above all but the allowed number of others.
    allowed = int(fpr * len(outside))
    threshold = outside[len(outside) - 1 - allowed]
    return {"auc": float(below.mean() / 2 / len(outside)), "tpr": float((inside > threshold).mean())}
