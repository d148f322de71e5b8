"""Evidence for a model: what the record of its job says about the sites and their scores."""

from __future__ import annotations

from dataclasses import dataclass

from consilium.errors import ConfigurationError
from consilium.prediction.trained_model import TrainedModel
from consilium.records.federation import FEDERATION_FILE, FederationRecord, SiteReport
from consilium.records.job_record import load_record
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
        record, number = self.record, self.model.round
        if record is None or number is None:
            return {}
        last = record.rounds[-1].number if record.rounds else None
        by_round = {one.number: one.scores for one in record.rounds}
        scores = record.final_scores if number == last and record.final_scores else by_round.get(number, {})
        return {site: record.metrics.without_counts(one) for site, one in sorted(scores.items())}

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
    def mean_scores(self) -> Scores:
        """Means over the sites, each counting the same."""
        if self.record is None or not self.scores:
            return {}
        return self.record.metrics.combine(list(self.scores.values()))
