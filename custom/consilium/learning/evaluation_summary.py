"""Summary of an evaluation over a hospital's patients, for the hospital itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict

from consilium.learning.bootstrap import interval_of_mean, interval_of_statistic
from consilium.learning.patient_summary import average_by_patient
from consilium.tasks.evaluation import Evaluation

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Shares of patients at whose values a distribution is described."""


class MeasureSummary(BaseModel):
    """One measure over patients.

    Attributes:
        mean: Over patients; of what is derived from counts, such as kappa, the value of all cases.
        interval: 95 % interval of it, by bootstrap over patients; None for fewer than five.
        quantiles: Values at `QUANTILES`; empty for what a single patient has no value of.
        low: The lowest value of a patient.
        high: The highest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: float
    interval: tuple[float, float] | None
    quantiles: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None


class EvaluationSummary(BaseModel):
    """An evaluation over patients. Values of few patients are theirs: it stays where the images are.

    Attributes:
        patients: How many they are.
        cases: How many cases they have.
        measures: Name of each of the task's measures, or derived metrics, to its summary.
        counts: Counts of cases, such as the cells of a confusion matrix; those above 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    patients: int
    cases: int
    measures: dict[str, MeasureSummary]
    counts: dict[str, int] = {}


def summarize_evaluation(
    evaluation: Evaluation, rows: Sequence[Mapping[str, float]], patients: Sequence[str]
) -> EvaluationSummary:
    """Summarize what cases were measured; each patient counts once in a mean, however many cases there are.

    Args:
        evaluation: The task's.
        rows: What `Evaluation.measure` returned for each case.
        patients: Whose case each row is.
    """
    if not rows:
        return EvaluationSummary(patients=0, cases=0, measures={})
    return EvaluationSummary(
        patients=len(set(patients)),
        cases=len(rows),
        measures={**_summarize(evaluation, rows, patients), **derive_measures(evaluation, rows, patients)},
        counts=count_cases(evaluation, rows),
    )


def count_cases(evaluation: Evaluation, rows: Sequence[Mapping[str, float]]) -> dict[str, int]:
    """Return the counts of cases that the task has, such as the cells of a confusion matrix, above 0.

    Args:
        evaluation: The task's.
        rows: What `Evaluation.measure` returned for each case.
    """
    names = [one.name for one in evaluation.metrics.metrics if one.is_count]
    totals = {name: round(sum(row.get(name, 0.0) for row in rows)) for name in names}
    return {name: count for name, count in totals.items() if count}


def _summarize(
    evaluation: Evaluation, rows: Sequence[Mapping[str, float]], patients: Sequence[str]
) -> dict[str, MeasureSummary]:
    names = [one.name for one in evaluation.measures]
    if not names:
        return {}
    table = average_by_patient(rows, patients, names)
    interval = interval_of_mean(table, sorted(set(patients)))
    quantiles = np.quantile(table, QUANTILES, axis=0)
    return {
        name: MeasureSummary(
            mean=float(table[:, column].mean()),
            interval=interval and (float(interval[0][column]), float(interval[1][column])),
            quantiles=tuple(float(one) for one in quantiles[:, column]),
            low=float(table[:, column].min()),
            high=float(table[:, column].max()),
        )
        for column, name in enumerate(names)
    }


def derive_measures(
    evaluation: Evaluation, rows: Sequence[Mapping[str, float]], patients: Sequence[str]
) -> dict[str, MeasureSummary]:
    """Return the metrics of all cases together, such as kappa, with intervals over resampled patients.

    Args:
        evaluation: The task's.
        rows: What `Evaluation.measure` returned for each case.
        patients: Whose case each row is.
    """
    derived = [one.name for one in evaluation.metrics.metrics if one.combines == "derived"]
    counts = [one.name for one in evaluation.metrics.metrics if one.is_count]
    if not derived:
        return {}
    whole = evaluation.summarize(rows)
    values = np.array([[row.get(name, 0.0) for name in counts] for row in rows], dtype=np.float64)

    def interval(name: str) -> tuple[float, float] | None:
        return interval_of_statistic(
            values, patients, lambda sums: evaluation.derive(dict(zip(counts, sums, strict=True)))[name]
        )

    return {
        name: MeasureSummary(mean=whole[name], interval=interval(name)) for name in derived if name in whole
    }
