"""Scores of a model on the validation and test patients of each site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from consilium.counts import count_patients
from consilium.data.cached_case import CachedCase
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.device import open_device
from consilium.learning.evaluator import score_cases
from consilium.learning.weights import Weights
from consilium.participant.site_data import SiteData
from consilium.records.local_training import TestedScores
from consilium.records.model_comparison import SelectionRule, score_gain
from consilium.records.score_intervals import measure_intervals
from consilium.tasks import get_task
from consilium.tasks.evaluation import Evaluation
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.metrics import Scores
from consilium.tasks.partial_labels import partial_evaluation


class ModelScorer:
    """Scores models on the sites' patients. Nothing of it is limited: it stays on this machine.

    Args:
        learning: The settings of the network.
        data: The sites.
        compute: The machine's part.
        selection: The rule by which two rounds' models are compared.
    """

    def __init__(
        self,
        learning: LearningSettings,
        data: Mapping[str, SiteData],
        compute: ComputeSettings,
        selection: SelectionRule,
    ) -> None:
        self._learning, self._data, self._selection = learning, data, selection
        self._task, self._device = get_task(learning.task), open_device(compute)

    def validate(self, weights: Weights) -> dict[str, Scores]:
        """Return the scores on each site's validation patients, as of a round's model."""
        found = {}
        for site, data in self._data.items():
            if scored := self._score(weights, data, data.validation, final=False):
                rows, patients = zip(*scored, strict=True)
                found[site] = self._evaluation(data).summarize(rows, patients)
        return found

    def test(self, weights: Weights) -> dict[str, TestedScores]:
        """Return the scores on each site's test patients with intervals, as of a final model."""
        found = {}
        for site, data in self._data.items():
            evaluation = self._evaluation(data)
            if scored := self._score(weights, data, data.test, final=True):
                rows, patients = zip(*scored, strict=True)
                intervals = measure_intervals(rows, patients, evaluation, min_count=1)
                scores = evaluation.summarize(rows, patients)
                found[site] = TestedScores(scores=scores, intervals=intervals)
        return found

    def is_better(self, scores: Mapping[str, Scores], best: Mapping[str, Scores]) -> bool:
        """Return whether a model is better than the best one so far, by the job's rule over the sites.

        Args:
            scores: The model's, by site; one without any is not better.
            best: The best one's; empty for none.
        """
        metrics = self._task.evaluation.metrics
        now, before = (
            {site: row[metrics.key] for site, row in one.items() if metrics.key in row}
            for one in (scores, best)
        )
        if not now or not before:
            return bool(now)
        common = {site: now[site] for site in now if site in before}
        patients = {site: count_patients(self._data[site].validation) for site in common}
        rule = self._selection
        return bool(common) and score_gain(common, before, rule, metrics.key_metric, patients) > 0

    def describe(self, scores: Mapping[str, Scores]) -> str:
        """Return the key metric over sites, as the end of a line; empty without scores."""
        value, metrics = self._key_score(scores), self._task.evaluation.metrics
        if value is None:
            return ""
        return f", {metrics.key_name} {metrics.key_metric.text(value)} on validation patients"

    def _key_score(self, scores: Mapping[str, Scores]) -> float | None:
        evaluation = self._task.evaluation
        combined = evaluation.combine(list(scores.values())) or {}
        return combined.get(evaluation.metrics.key)

    def _evaluation(self, data: SiteData) -> Evaluation:
        return partial_evaluation(self._task.evaluation, data.missing_targets)

    def _score(
        self, weights: Weights, data: SiteData, cases: Sequence[CachedCase], *, final: bool
    ) -> list[tuple[Scores, str]]:
        """Return the scores of a site's cases, each with its patient, without those that can't be read."""
        if not cases:
            return []
        evaluation = self._evaluation(data)
        rows = score_cases(self._task, self._learning, weights, cases, self._device, final=final)
        return [
            (evaluation.restrict(row), case.patient)
            for case, row in zip(cases, rows, strict=True)
            if row is not None
        ]
