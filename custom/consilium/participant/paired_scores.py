"""Scores of two models on the same cases of a hospital."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PairedScores:
    """The scores of both models on one case. It names a patient and never leaves the site.

    Attributes:
        case: The case's id.
        patient: Whose it is.
        local: Of the local-only model; see `score_case`.
        federated: Of the federation's final model.
    """

    case: str
    patient: str
    local: Mapping[str, float]
    federated: Mapping[str, float]
