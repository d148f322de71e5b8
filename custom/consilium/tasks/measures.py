"""Measures of a finished model's cases: meaning, unit and direction of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from consilium.tasks.metrics import Metric, MetricSet

Direction: TypeAlias = Literal["higher", "lower", "zero", "none"]
"""Which values are better: higher or lower ones, those near zero, or none as it describes the patient."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that each case of a finished model is measured by.

    Attributes:
        name: Its name in a case's scores: `dice_wt`.
        title: Its name for people, without target and unit: `Dice`.
        target: Name of the target that it is of; None for the overall one.
        unit: Empty for a plain number.
        digits: Decimals that are shown.
        better: See `Direction`.
        definition: What a reader must know of it, in sentences; may be empty.
    """

    name: str
    title: str
    target: str | None = None
    unit: str = ""
    digits: int = 3
    better: Direction = "higher"
    definition: str = ""

    @property
    def label(self) -> str:
        """The title with the unit: `HD95, mm`."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    def text(self, value: float) -> str:
        """Return a value as it is shown, without its unit.

        Example:
            >>> Measure("hd95", "HD95", unit="mm", digits=1).text(3.14)
            '3.1'
        """
        return f"{value:.{self.digits}f}"


def measures_of(metrics: MetricSet) -> tuple[Measure, ...]:
    """Return the metrics that each case has a value of: no counts, and nothing computed from counts.

    Of a task with a single target, the overall metric is left out where it is the same number.
    """
    return tuple(
        _convert(one, metrics)
        for one in metrics.metrics
        if not one.is_count and one.combines != "derived" and (one.is_mean or not one.mean_of)
    )


def derived_measures(metrics: MetricSet) -> tuple[Measure, ...]:
    """Return the metrics that only all cases together have, such as kappa of a confusion matrix."""
    return tuple(_convert(one, metrics) for one in metrics.metrics if one.combines == "derived")


def tables_of(metrics: MetricSet) -> tuple[str, ...]:
    """Return the names of the tables in which each case is counted once, such as a confusion matrix."""
    return tuple(dict.fromkeys(one.table for one in metrics.metrics if one.table is not None))


def cells_of(metrics: MetricSet, scores: Mapping[str, float]) -> dict[str, str]:
    """Return where a case is counted: each table to the name of the count.

    Args:
        metrics: The task's.
        scores: The case's.
    """
    return {one.table: one.name for one in metrics.metrics if one.table is not None and scores.get(one.name)}


def _convert(one: Metric, metrics: MetricSet) -> Measure:
    return Measure(
        one.name,
        one.title,
        one.target,
        one.unit,
        one.digits,
        "higher" if one.higher_is_better else "lower",
        metrics.definitions.get(one.title, ""),
    )
