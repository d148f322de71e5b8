"""Gain of a hospital: the federation's final model compared with its local-only one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator
from typing_extensions import Self

from consilium.learning.bootstrap import interval_of_mean, interval_of_statistic
from consilium.learning.patient_summary import average_by_patient
from consilium.records.bounds import (
    LARGEST_SCORE,
    MOST_CASES,
    MOST_ENTRIES,
    Record,
    Score,
    Word,
    limit_entries,
)
from consilium.records.score_bounds import read_scores, round_score, round_scores
from consilium.records.score_intervals import allows_interval, round_outwards, score_of
from consilium.tasks.evaluation import Evaluation
from consilium.tasks.metrics import Metric, Scores

if TYPE_CHECKING:
    from consilium.participant.local_only import PairedScores

_TOLERANCE: Final = 1e-6

Difference = Annotated[
    float, Field(strict=True, allow_inf_nan=False, ge=-2 * LARGEST_SCORE, le=2 * LARGEST_SCORE)
]
"""Of two scores."""

_Scores = Annotated[dict[Word, Score], BeforeValidator(partial(limit_entries, most=MOST_ENTRIES))]


class Gain(Record):
    """Improvement of a metric with the federation's model, with its interval."""

    mean: Difference
    low: Difference | None = Field(
        default=None, description="Lower bound of the 95 % interval; null where it is of too few patients."
    )
    high: Difference | None = Field(default=None, description="Its upper bound.")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval has two bounds")
        if self.low is not None and self.high is not None and not self.low <= self.mean <= self.high:
            raise ValueError("the mean lies outside of its interval")
        return self


class SiteGain(Record):
    """Gain of one hospital; both models are scored on the same test patients of this hospital."""

    patients: Annotated[int, Field(strict=True, ge=1, le=MOST_CASES)]
    local: _Scores = Field(description="Scores of the model that the hospital trained alone.")
    federated: _Scores = Field(description="Scores of the federation's final model.")
    gains: Annotated[dict[Word, Gain], BeforeValidator(partial(limit_entries, most=MOST_ENTRIES))] = Field(
        description="By metric: those that the task is compared by, such as its key metric; positive where "
        "the federation's model is better, whichever way the metric counts."
    )


def measure_gain(
    pairs: Sequence[PairedScores], evaluation: Evaluation, *, min_count: int = 1
) -> SiteGain | None:
    """Compare both models of a hospital; each patient counts once, however many examinations they have.

    A metric that each case has is compared case by case, and its interval is that of the mean difference. One
    that only several cases have together, such as kappa, is computed from resampled patients for both models;
    the interval is that of the difference.

    Args:
        pairs: Their scores, by case.
        evaluation: The task's.
        min_count: The hospital's: an interval stays there whose bounds are means of fewer patients, see
            `allows_interval`. Whether means may leave was decided when the cases were selected.

    Returns:
        The gain; None where there is no case.
    """
    if not pairs:
        return None
    owners = [pair.patient for pair in pairs]
    local, federated = (
        round_scores(evaluation.summarize(rows, owners), evaluation)
        for rows in ([pair.local for pair in pairs], [pair.federated for pair in pairs])
    )
    patients = len(set(owners))
    intervals = _intervals(pairs, evaluation) if allows_interval(patients, min_count) else {}
    gains = {}
    for name in evaluation.metrics.gained:
        metric = evaluation.metrics[name]
        span, bounds = metric.high - metric.low, intervals.get(name)
        low, high = round_outwards(bounds, metric.digits, (-span, span)) if bounds else (None, None)
        gain = metric.gain(federated[name], local[name])
        gains[name] = Gain(mean=round_score(gain, metric), low=low, high=high)
    return SiteGain(patients=patients, local=local, federated=federated, gains=gains)


def patient_gains(pairs: Iterable[PairedScores], evaluation: Evaluation) -> list[float]:
    """Return how much better each patient's key metric is with the federation's model, in ascending order.

    Each is one patient's value: they are for the hospital's own people. Nobody has one where the key metric
    is of several patients together.
    """
    key = evaluation.metrics.key_metric
    by_patient: dict[str, list[PairedScores]] = {}
    if key.combines == "derived":
        return []
    for pair in pairs:
        by_patient.setdefault(pair.patient, []).append(pair)
    return sorted(
        float(np.mean([_difference(pair, key, evaluation) for pair in cases]))
        for cases in by_patient.values()
    )


def check_gain(gain: SiteGain, evaluation: Evaluation, cases: int | None) -> SiteGain:
    """Check the consistency of a site's gain, beyond the bounds of each number.

    Args:
        gain: As it said.
        evaluation: The task's.
        cases: Cases that it evaluates models on, as it says; None where their number stays there.

    Returns:
        The gain, with computed metrics as they follow from the measured ones.

    Raises:
        ValueError: If a score or gain is missing, unknown or out of its range, they don't fit each other, or
            are of more patients than cases. The message holds no text of the site's.
    """
    if cases is None or gain.patients > cases:
        raise ValueError("the gain is of more patients than models are evaluated on")
    local = read_scores(gain.local, evaluation, final=True, cases=cases)
    federated = read_scores(gain.federated, evaluation, final=True, cases=cases)
    names = evaluation.metrics.gained
    if not local or not federated or gain.gains.keys() != set(names):
        raise ValueError("scores or gains are missing or unknown")
    for name in sorted(names):
        metric, one = evaluation.metrics[name], gain.gains[name]
        if abs(metric.gain(federated[name], local[name]) - one.mean) > _TOLERANCE:
            raise ValueError(f"the gain of {name} is not the difference of its scores")
        span = metric.high - metric.low
        if one.low is not None and one.high is not None and not -span <= one.low <= one.high <= span:
            raise ValueError(f"the interval of {name} is wider than its range")
    return gain.model_copy(update={"local": local, "federated": federated})


def _intervals(pairs: Sequence[PairedScores], evaluation: Evaluation) -> dict[str, tuple[float, float]]:
    """Intervals of the gained metrics, none where they are of too few patients."""
    metrics = [evaluation.metrics[name] for name in evaluation.metrics.gained]
    patients = [pair.patient for pair in pairs]
    own = [one for one in metrics if one.combines != "derived"]
    found: dict[str, tuple[float, float]] = {}
    differences = [{one.name: _difference(pair, one, evaluation) for one in own} for pair in pairs]
    interval = None
    if own:
        table = average_by_patient(differences, patients, [one.name for one in own])
        interval = interval_of_mean(table, sorted(set(patients)))
    if interval is not None:
        found = {one.name: (interval[0][place], interval[1][place]) for place, one in enumerate(own)}
    for one in metrics:
        if one.combines == "derived":
            sums = _Sums(pairs, evaluation, one)
            derived = interval_of_statistic(sums.rows, patients, sums.gain)
            if derived is not None:
                found[one.name] = derived
    return found


class _Sums:
    """Both models' measured scores by case, as numbers that add up, and the gain that follows from a sum."""

    def __init__(self, pairs: Sequence[PairedScores], evaluation: Evaluation, metric: Metric) -> None:
        self._evaluation = evaluation
        self._metric = metric
        measured = [one for one in evaluation.metrics.metrics if one.is_measured]
        self._names = [one.name for one in measured]
        self._is_count = [one.is_count for one in measured]
        self.rows: NDArray[np.float64] = np.array(
            [
                [
                    1.0,
                    *(
                        scores.get(name, 0.0)
                        for scores in (pair.local, pair.federated)
                        for name in self._names
                    ),
                ]
                for pair in pairs
            ]
        )

    def gain(self, sums: NDArray[np.float64]) -> float:
        cases, middle = sums[0], 1 + len(self._names)
        local, federated = self._scores(sums[1:middle], cases), self._scores(sums[middle:], cases)
        return self._metric.gain(federated[self._metric.name], local[self._metric.name])

    def _scores(self, sums: NDArray[np.float64], cases: float) -> Scores:
        measured = zip(self._names, self._is_count, sums, strict=True)
        return self._evaluation.complete(
            {name: float(value if is_count else value / cases) for name, is_count, value in measured}
        )


def _difference(pair: PairedScores, metric: Metric, evaluation: Evaluation) -> float:
    local, federated = (score_of(one, metric, evaluation) for one in (pair.local, pair.federated))
    return metric.gain(federated, local)
