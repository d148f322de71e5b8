"""Evidence for a model: what the record of its job says about the sites and their scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from consilium.data.split import EvaluatedSet
from consilium.errors import ConfigurationError
from consilium.prediction.trained_model import TrainedModel
from consilium.records.federation import (
    FEDERATION_FILE,
    FederationRecord,
    SiteReport,
    SiteRound,
)
from consilium.records.job_record import load_record
from consilium.records.model_comparison import kept_round
from consilium.records.score_intervals import ScoreInterval
from consilium.tasks.metrics import Scores


@dataclass(frozen=True)
class Evidence:
    """The job of a model.

    Attributes:
        record: Of the job; None for a model file alone.
        model: The model.
    """

    record: FederationRecord | None
    model: TrainedModel

    @classmethod
    def find(cls, model: TrainedModel) -> Evidence:
        """Read the record beside a model's file.

        Raises:
            ConfigurationError: The record can't be read, or is of another job.
        """
        folder = model.path.parent
        if not (folder / FEDERATION_FILE).is_file():
            return cls(None, model)
        record = load_record(folder)
        if not isinstance(record, FederationRecord):
            return cls(None, model)
        if record.settings.get("learning") != model.learning.model_dump(mode="json"):
            raise ConfigurationError(
                f"{model.path} was trained with other settings than {folder / FEDERATION_FILE} says; "
                "keep a model and the record of its job together, or move the model's file into a folder "
                "of its own"
            )
        return cls(record, model)

    @property
    def job(self) -> str:
        """Name of the job, for sentences."""
        return (self.record.job if self.record else self.model.job) or "unknown"

    @property
    def scores(self) -> dict[str, Scores]:
        """Each site's scores of this very model, without counts; empty where the record has none."""
        if self.record is None:
            return {}
        metrics, scores = self.record.metrics, self._tested[0] or self._validated
        return {site: metrics.without_counts(one) for site, one in sorted(scores.items())}

    @property
    def scored_on(self) -> EvaluatedSet:
        """The set of patients that `scores` are of."""
        if self.record is None or not self._tested[0]:
            return "validation"
        return self.record.scored_on

    @property
    def intervals(self) -> dict[str, dict[str, ScoreInterval]]:
        """The 95 % intervals of `scores`, by site and metric, as far as sites sent them."""
        sites = self._tested[1].items()
        return {site: dict(one.report.intervals) for site, one in sites if one.report is not None}

    @property
    def _tested(self) -> tuple[Mapping[str, Scores], Mapping[str, SiteRound]]:
        """What sites sent of this model after the last round: the final or the best one's scores."""
        record, number = self.record, self.model.round
        if record is None or number is None:
            return {}, {}
        if number == kept_round(record, len(record.rounds)):
            return record.final_scores, record.final_sites
        if number == record.best_round:
            return record.best_scores, record.best_sites
        return {}, {}

    @property
    def _validated(self) -> Mapping[str, Scores]:
        rounds = self.record.rounds if self.record else []
        return next((one.scores for one in rounds if one.number == self.model.round), {})

    @property
    def reports(self) -> dict[str, SiteReport]:
        """The last that each site said about its part."""
        if self.record is None:
            return {}
        asked = [self.record.preparation, *(one.sites for one in self.record.rounds), self.record.final_sites]
        return {
            site: one.report
            for sites in asked
            for site, one in sorted(sites.items())
            if one.report is not None
        }

    @property
    def sites(self) -> list[str]:
        """The sites whose patients the model was trained or evaluated on; empty where they are unknown."""
        alone = self.model.standalone
        return list(alone.sites) if alone is not None else sorted(self.reports)

    @property
    def mean_scores(self) -> Scores:
        """Means over the sites, each counting the same."""
        if self.record is None or not self.scores:
            return {}
        return self.record.metrics.combine(list(self.scores.values()))
