"""Outcome of a job and of those that continued it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from consilium.learning.model_file import LAST_MODEL, load_model
from consilium.learning.weights import Weights
from consilium.records.federation import FederationRecord


@dataclass(frozen=True)
class Outcome:
    """How a job and those that resumed it ended.

    Attributes:
        jobs: Their ids, the first first.
        status: Of the last one.
        folder: What was downloaded of the last one.
    """

    jobs: tuple[str, ...]
    status: str
    folder: Path

    @cached_property
    def record(self) -> FederationRecord:
        """What the last one wrote down."""
        return FederationRecord.load(self.folder)

    @cached_property
    def weights(self) -> Weights:
        """The final model."""
        return load_model(self.folder / LAST_MODEL)[0]

    def outcomes(self, site: str) -> list[str]:
        """What became of a site's answer in every round."""
        return [one.sites[site].outcome if site in one.sites else "absent" for one in self.record.rounds]


def largest_difference(first: Weights, second: Weights) -> float:
    """Return by how much two models differ at most in one weight."""
    assert first.keys() == second.keys()
    return max(float(np.max(np.abs(np.asarray(first[name], float) - second[name]))) for name in first)
