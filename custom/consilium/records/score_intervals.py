"""Intervals of a model's scores at one hospital, by bootstrap over its test patients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, model_validator
from typing_extensions import Self

from consilium.learning.bootstrap import interval_of_mean, interval_of_statistic
from consilium.learning.patient_summary import average_by_patient
from consilium.records.bounds import MOST_ENTRIES, Finite, Record, Word, limit_entries
from consilium.tasks.evaluation import Evaluation
from consilium.tasks.metrics import Metric, Scores

FEW_AT_A_BOUND: Final = 4
"""Patients who hardly count at a bound of an interval: that of n patients is a mean of about n - 4 of them.

Measured as the effective number of patients, 1 / sum of squared weights, of the resamples at the bound: 1.6
of 5, 4.2 of 8, 5.2 of 9, 8.1 of 12 and 16 of 20. With the mean and the bounds of five, the patient at the end
is known to a hundredth of a score from 0 to 1.
"""


class ScoreInterval(Record):
    """The 95 % interval of a score, rounded outwards."""

    low: Finite
    high: Finite

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.low > self.high:
            raise ValueError("the interval's bounds are in the wrong order")
        return self


ScoreIntervals = Annotated[
    dict[Word, ScoreInterval], BeforeValidator(partial(limit_entries, most=MOST_ENTRIES))
]
"""Interval by metric."""


def measure_intervals(
    cases: Sequence[Scores], patients: Sequence[str], evaluation: Evaluation, *, min_count: int
) -> dict[str, ScoreInterval]:
    """Return the intervals of the metrics that models are compared by.

    Args:
        cases: The scores of each case; see `score_case`.
        patients: Whose each case is.
        evaluation: The task's.
        min_count: The hospital's: an interval stays there whose bounds are means of fewer patients.

    Returns:
        By metric; empty where they would be of too few patients.
    """
    if not allows_interval(len(set(patients)), min_count):
        return {}
    found: dict[str, ScoreInterval] = {}
    for name in evaluation.metrics.gained:
        metric = evaluation.metrics[name]
        bounds = _bounds(cases, patients, evaluation, metric)
        if bounds is not None:
            low, high = round_outwards(bounds, metric.digits, (metric.low, metric.high))
            found[name] = ScoreInterval(low=low, high=high)
    return found


def allows_interval(patients: int, min_count: int) -> bool:
    """Return whether an interval over patients may leave: both of its bounds are means of enough of them.

    Args:
        patients: How many the interval is over.
        min_count: Fewest patients behind a number.
    """
    return patients - FEW_AT_A_BOUND >= min_count


def round_outwards(
    bounds: tuple[float, float], digits: int, limits: tuple[float, float]
) -> tuple[float, float]:
    """Round an interval: the bounds of few patients would reveal more digits of them than needed.

    Args:
        bounds: Of the interval.
        digits: Decimals that stay.
        limits: The lowest and the highest value that there is.

    Example:
        >>> round_outwards((0.7123, 0.9999), 3, (0.0, 1.0))
        (0.712, 1.0)
    """
    steps = 10.0**digits
    low, high = math.floor(bounds[0] * steps) / steps, math.ceil(bounds[1] * steps) / steps
    return max(low, limits[0]), min(high, limits[1])


def score_of(case: Mapping[str, float], metric: Metric, evaluation: Evaluation) -> float:
    """Return a metric of one case, which is measured or a mean of what is.

    Args:
        case: The scores of the case.
        metric: No derived one.
        evaluation: The task's.
    """
    return case[metric.name] if metric.name in case else evaluation.metrics.means(case)[metric.name]


def check_intervals(intervals: Mapping[str, ScoreInterval], scores: Scores, evaluation: Evaluation) -> None:
    """Check that a site's intervals fit its scores.

    Raises:
        ValueError: If one is of an unknown metric, out of the metric's range, or does not hold the score. The
            message holds no text of the site's.
    """
    if intervals.keys() - set(evaluation.metrics.gained):
        raise ValueError("there are intervals of unknown metrics")
    for name, one in sorted(intervals.items()):
        metric = evaluation.metrics[name]
        if name not in scores or not metric.low <= one.low <= scores[name] <= one.high <= metric.high:
            raise ValueError(f"the interval of {name} does not fit its score")


def _bounds(
    cases: Sequence[Scores], patients: Sequence[str], evaluation: Evaluation, metric: Metric
) -> tuple[float, float] | None:
    if metric.combines != "derived":
        rows = [{metric.name: score_of(one, metric, evaluation)} for one in cases]
        table = average_by_patient(rows, patients, [metric.name])
        interval = interval_of_mean(table, sorted(set(patients)))
        return None if interval is None else (float(interval[0][0]), float(interval[1][0]))
    measured = [one for one in evaluation.metrics.metrics if one.is_measured]

    def statistic(sums: NDArray[np.float64]) -> float:
        values = zip(measured, sums[1:], strict=True)
        scores = {one.name: float(value if one.is_count else value / sums[0]) for one, value in values}
        return evaluation.complete(scores)[metric.name]

    table = np.array([[1.0, *(one.get(other.name, 0.0) for other in measured)] for one in cases])
    return interval_of_statistic(table, patients, statistic)
