"""Rows of an evaluation's tables: one a measure, grouped by what they are of."""

from __future__ import annotations

from dataclasses import dataclass

from consilium.learning.bootstrap import FEWEST_PATIENTS
from consilium.learning.evaluation_summary import EvaluationSummary, MeasureSummary
from consilium.tasks import Task
from consilium.tasks.measures import Measure, derived_measures


@dataclass(frozen=True)
class MeasureRow:
    """One measure with its numbers."""

    measure: Measure
    summary: MeasureSummary

    @property
    def mean(self) -> str:
        """The mean as it is shown."""
        return self.measure.text(self.summary.mean)

    @property
    def interval(self) -> str:
        """The interval as it is shown; a dash where there is none."""
        if self.summary.interval is None:
            return "\N{EN DASH}"
        return " to ".join(self.measure.text(bound) for bound in self.summary.interval)

    @property
    def quantiles(self) -> tuple[str, ...]:
        """Quantiles as they are shown; empty where single patients have no value."""
        return tuple(self.measure.text(value) for value in self.summary.quantiles)


def measure_rows(task: Task, summary: EvaluationSummary) -> dict[str, list[MeasureRow]]:
    """Return the rows by the title of their target, the overall ones first.

    Args:
        task: The model's.
        summary: Of the evaluation.
    """
    evaluation = task.evaluation
    shown = [
        MeasureRow(one, summary.measures[one.name])
        for one in (*derived_measures(evaluation.metrics), *evaluation.measures)
        if one.name in summary.measures
    ]
    titles: dict[str | None, str] = {None: "Overall"} | {one.name: one.title for one in task.targets}
    groups = {title: [row for row in shown if row.measure.target == name] for name, title in titles.items()}
    return {title: rows for title, rows in groups.items() if rows}


def shows_quantiles(summary: EvaluationSummary) -> bool:
    """Return whether quantiles say more than the mean: of a few patients they are single values."""
    return summary.patients >= FEWEST_PATIENTS


def key_rows(task: Task, summary: EvaluationSummary) -> dict[str, MeasureRow]:
    """Return the rows of the metric of `key_row` by target; empty where single cases have no value of it."""
    key = key_row(task, summary)
    if key is None or not key.quantiles:
        return {}
    return {
        title: row
        for title, rows in measure_rows(task, summary).items()
        for row in rows
        if row.measure.title == key.measure.title
    }


def key_row(task: Task, summary: EvaluationSummary) -> MeasureRow | None:
    """Return the row of the metric by which models are selected; None where nothing was evaluated."""
    metrics = task.evaluation.metrics
    names = {metrics.key, *metrics.key_metric.mean_of[:1]}  # of a single target only that one is measured
    rows = [row for group in measure_rows(task, summary).values() for row in group]
    return next((row for row in rows if row.measure.name in names), None)
