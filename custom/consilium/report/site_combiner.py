"""Combined scores of several sites, also where the task of a record is not installed here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from consilium.errors import ConfigurationError
from consilium.tasks import Task, get_task
from consilium.tasks.metrics import MetricSet, Scores


def installed_task(name: str) -> Task | None:
    """Return the task of a record; None where it is not installed here, or the policy does not list it."""
    try:
        return get_task(name)
    except ConfigurationError:
        return None


class SiteCombiner:
    """Combines sites' scores into those of several sites together.

    Args:
        task: Name of the task. Where it is not installed here, metrics that only it can compute from the
            others, such as kappa from a confusion matrix, are left out.
        metrics: What the record says of its metrics.
    """

    def __init__(self, task: str, metrics: MetricSet) -> None:
        known = installed_task(task)
        evaluation = None if known is None else known.evaluation
        self._combine: Callable[[Sequence[Mapping[str, float]]], Scores | None] = (
            evaluation.combine
            if evaluation is not None and evaluation.metrics == metrics
            else metrics.combine
        )

    def combine(self, rows: Iterable[Mapping[str, float]]) -> Scores | None:
        """Combine the scores that all rows have; None when there is no row."""
        rows = list(rows)
        return self._combine(rows) if rows else None

    def over(self, sites: Sequence[str], scores: Mapping[str, Scores]) -> Scores | None:
        """Combine the scores of these sites; None when one of them has none."""
        return self.combine(scores[site] for site in sites) if all(site in scores for site in sites) else None
