"""Bounds of the scores that a site reports: all of a task's, each within its range, or none."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from consilium.counts import counted
from consilium.tasks.evaluation import Evaluation
from consilium.tasks.metrics import Metric, Scores

_DECIMALS: Final = 6


def read_scores(
    said: Mapping[str, object], evaluation: Evaluation, *, final: bool, cases: int | None
) -> Scores:
    """Return a site's scores, with the metrics computed from them.

    A site may keep its scores to itself: no score at all is in order. Some of them are not, as means and
    comparisons are over sites that have the same. Metrics that are computed from others are computed here:
    what a site says of them is not even read.

    Args:
        said: By name.
        evaluation: The task's.
        final: Whether the scores are of a final model; see `Metric.final_only`.
        cases: How many cases the scores are of, as the site says; None where it says no number.

    Returns:
        All scores of the task in its metrics' order, or none.

    Raises:
        ValueError: If a score is missing, unknown, no number, or out of its range, or if counts are no whole
            numbers or don't add up to the number of cases. The message holds no text of the site's.
    """
    if not said:
        return {}
    metrics = evaluation.metrics.in_round(final=final)
    measured = {one.name: one for one in metrics if one.is_measured}
    known = {one.name for one in metrics}
    missing, unknown = measured.keys() - said.keys(), said.keys() - known
    if missing or unknown:
        raise ValueError(
            f"{len(missing)} of {counted(len(measured), 'score')} are missing and {len(unknown)} are unknown"
        )
    values = {name: _read_score(metric, said[name], cases) for name, metric in measured.items()}
    _check_tables(values, measured, cases)
    scores = evaluation.complete(values)
    for name, value in scores.items():
        if not math.isfinite(value):
            raise ValueError(f"{name} is not finite")
    return scores


def round_scores(scores: Mapping[str, float], evaluation: Evaluation) -> Scores:
    """Round scores before they leave a site: their last bits say nothing about a model, only about patients.

    Args:
        scores: A site's; those computed from others are computed again.
        evaluation: The task's.
    """
    metrics = evaluation.metrics
    measured = {
        one.name: scores[one.name] if one.is_count else round_score(scores[one.name], one)
        for one in metrics.metrics
        if one.is_measured and one.name in scores
    }
    return evaluation.complete(measured)


def round_score(value: float, metric: Metric) -> float:
    """Round a score of a metric, or a difference of two, to six decimals, or to as many as are shown."""
    return round(value, max(_DECIMALS, metric.digits))


def _read_score(metric: Metric, value: object, cases: int | None) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{metric.name} is no number")
    high = metric.high if not metric.is_count or cases is None else min(metric.high, cases)
    if not metric.low <= value <= high:  # NaN is not, either
        shown = f"{value:.6g}" if isinstance(value, float) else "too large"
        raise ValueError(f"{metric.name} is {shown}; it lies between {metric.low:g} and {high:g}")
    if metric.is_count and value != int(value):
        raise ValueError(f"{metric.name} is a number of cases, and {value:.6g} is no whole number")
    return float(value)


def _check_tables(values: Scores, metrics: Mapping[str, Metric], cases: int | None) -> None:
    sums: dict[str, float] = defaultdict(float)
    for name, metric in metrics.items():
        if metric.table is not None:
            sums[metric.table] += values[name]
    for table, total in sums.items():
        if total != cases:
            raise ValueError(
                f"the counts of {table} add up to {total:g}, and the scores are of "
                f"{'an unknown number of cases' if cases is None else counted(cases, 'case')}"
            )
