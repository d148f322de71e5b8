"""Scores of a job's final models on this site's test patients, with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consilium.federation.site.replies import check_scores
from consilium.learning.weights import Weights
from consilium.records.score_intervals import ScoreInterval, measure_intervals
from consilium.tasks.evaluation import Evaluation
from consilium.tasks.metrics import Scores

if TYPE_CHECKING:
    from consilium.participant.participant import Participant


@dataclass(frozen=True)
class FinalScores:
    """The scores of one model on a site's test patients.

    Attributes:
        scores: Means over patients; none where they would be of too few patients to leave.
        intervals: By metric; none where they would be.
    """

    scores: Scores
    intervals: Mapping[str, ScoreInterval]


def score_final_model(
    participant: Participant,
    weights: Weights,
    evaluation: Evaluation,
    *,
    min_count: int,
    cancelled: Callable[[], bool] = lambda: False,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> FinalScores:
    """Score a model on the test patients of a site, by all metrics.

    Args:
        participant: The site.
        weights: The model, as this site uses it.
        evaluation: The task's.
        min_count: The hospital's minimum for intervals.
        cancelled: Asked before every case.
        on_case: Called with the cases done and the cases in all.
    """
    cases = participant.score(weights, final=True, cancelled=cancelled, on_case=on_case)
    patients = [case.patient for case in participant.data.test]
    intervals = measure_intervals(cases, patients, evaluation, min_count=min_count) if cases else {}
    scores = evaluation.summarize(cases, patients)
    checked = check_scores(scores, evaluation, final=True, cases=participant.data.tested)
    return FinalScores(checked, intervals)
