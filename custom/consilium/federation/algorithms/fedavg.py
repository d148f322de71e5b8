"""Federated averaging at the server: the sites' differences are averaged and added to the model.

McMahan et al. 2017, arXiv:1602.05629, algorithm 1; with the job's `aggregation`, a median or another robust
rule in place of the mean. Sees every update in the clear, and remembers nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from consilium.aggregation.rules import AggregationSettings
from consilium.errors import ConsiliumError
from consilium.federation.algorithms.base import AlgorithmJob, Question, RoundStart, ServerAlgorithm
from consilium.federation.updates.intake import Aggregate, ScreenedAggregation, StepScaling
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.weights import MODEL
from consilium.records.federation import SiteReport


class ServerFedAvg(ServerAlgorithm):
    """Asks every site to train, screens the updates, and combines them by the job's rule.

    Weight sets that sites send beside the difference are combined by the same rule. With the shares p of the
    sites, `w <- w + sum_k p_k (w_k - w)`.
    """

    aggregation_type: ClassVar[type[ScreenedAggregation]] = ScreenedAggregation
    """Takes a round's answers."""

    def __init__(self, settings: AlgorithmSettings, job: AlgorithmJob) -> None:
        super().__init__(settings, job)
        self._rule = AggregationSettings.parse(job.aggregation, source="the job's aggregation")
        self.aggregation = self._rule.model_dump(mode="json")
        self._aggregation: ScreenedAggregation | None = None

    def questions(self, start: RoundStart) -> Iterator[Question]:
        """Yield one question: to train."""
        yield Question(self.new_aggregation(start))

    def new_aggregation(self, start: RoundStart) -> ScreenedAggregation:
        """Return the aggregator of a new round, replacing the previous one."""
        self.close()
        shared = self.settings.shared(start.weights)
        reference = {MODEL: shared, **dict.fromkeys(self.settings.declaration.sent, shared)}
        self._aggregation = self.aggregation_type(
            reference,
            start.index,
            self._rule,
            self.job.screening,
            start.folder,
            self.scaling(start.index),
            self.votes,
        )
        return self._aggregation

    def scaling(self, round_index: int) -> StepScaling | None:
        """Return the factors of the updates of a round; None: they count as they are.

        Args:
            round_index: The round, from 0.
        """
        return None

    def votes(self, reports: Mapping[str, SiteReport]) -> Mapping[str, float]:
        """Return what the shares of a round are proportional to, before limits.

        Args:
            reports: Of the sites whose updates are combined.
        """
        return {site: float(report.train_cases or 0) for site, report in reports.items()}

    def combine(self) -> Aggregate:
        """Combine the updates that were taken and not screened out."""
        if self._aggregation is None:
            raise ConsiliumError("no round was asked for updates")
        return self._aggregation.result()

    def close(self) -> None:
        """Remove the round's updates from the disk."""
        if self._aggregation is not None:
            self._aggregation.close()
        self._aggregation = None
