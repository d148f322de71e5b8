"""Bounds of a site's answer about a model: all of a task's measures, each as its own histogram allows."""

from __future__ import annotations

from consilium.records.evaluation import GroupAnswer, MeasureAnswer, SiteEvaluation
from consilium.records.score_intervals import allows_interval
from consilium.tasks.evaluation import Evaluation
from consilium.tasks.histograms import Histogram, MetricBins, enclose_mean
from consilium.tasks.measures import derived_measures
from consilium.tasks.metrics import Metric

_ROUNDING = 1e-6
"""Share of a range by which a mean may lie beyond its bounds: it is rounded."""


def check_evaluation(
    answer: SiteEvaluation, evaluation: Evaluation, local: SiteEvaluation | None = None
) -> None:
    """Check a site's answer about a model, with all its subgroups.

    A site states its own minimum, and a number below it is none that its software would send: it is not kept.

    Args:
        answer: The answer.
        evaluation: The task's.
        local: Its answer about its own model; None where it has none.

    Raises:
        ValueError: If a measure is missing, unknown, or can't be so. The message holds no text of the site's.
    """
    _check_group(answer.whole, evaluation, answer.min_count)
    _check_gains(answer, evaluation, local)
    for values in answer.subgroups.values():
        for one in values.values():
            _check_part(one, answer.whole, answer.min_count)
            _check_group(one, evaluation, answer.min_count)


def _check_part(part: GroupAnswer, whole: GroupAnswer, minimum: int) -> None:
    """A subgroup, and what the whole site's answer less it says of the others, are of enough patients."""
    if part.patients > whole.patients or part.cases > whole.cases:
        raise ValueError("a subgroup has more patients than the site")
    if 0 < whole.cases - part.cases < minimum:  # they are of as many patients at most
        raise ValueError("a subgroup leaves fewer patients than its minimum for the others")
    if any(one.edges or one.counts for one in part.measures.values()):
        raise ValueError("a subgroup has counts of patients, which leave counts of few for the others")


def _check_gains(answer: SiteEvaluation, evaluation: Evaluation, local: SiteEvaluation | None) -> None:
    """Gains are those of the two answers' means, of the metrics that models are compared by."""
    if not answer.gains:
        return
    metrics = evaluation.metrics
    if local is None or local.set != answer.set or answer.gains.keys() - {*metrics.gained}:
        raise ValueError("it has gains over a model that it did not evaluate, or of unknown metrics")
    if not allows_interval(answer.whole.patients, answer.min_count) and any(
        one.low is not None for one in answer.gains.values()
    ):
        raise ValueError("a gain has an interval of too few patients for its minimum")
    received, own = (_means(one.whole, evaluation) for one in (answer, local))
    for name, gain in answer.gains.items():
        slack = 4 * _ROUNDING * (metrics[name].high - metrics[name].low)
        if (
            name not in received
            or name not in own
            or abs(metrics[name].gain(received[name], own[name]) - gain.mean) > slack
        ):
            raise ValueError(f"{name} has a gain that is not the difference of its means")


def _means(group: GroupAnswer, evaluation: Evaluation) -> dict[str, float]:
    """The means of all metrics: the overall one of a single target is no measure of its own."""
    means = {name: one.mean for name, one in group.measures.items()}
    return {**evaluation.metrics.means(means), **means}


def _check_group(group: GroupAnswer, evaluation: Evaluation, minimum: int) -> None:
    if group.patients < minimum or group.cases < group.patients:
        raise ValueError("a number is of fewer patients than its minimum, or of fewer cases than patients")
    bins = evaluation.bins
    derived = {one.name for one in derived_measures(evaluation.metrics)}
    wanted = bins.keys() | derived
    if group.measures.keys() != wanted:
        raise ValueError(
            f"{len(wanted - group.measures.keys())} of {len(wanted)} measures are missing, and "
            f"{len(group.measures.keys() - wanted)} are unknown"
        )
    if not allows_interval(group.patients, minimum) and any(one.interval for one in group.measures.values()):
        raise ValueError("an interval is of too few patients for its minimum")
    if any(0 < count < minimum for one in group.measures.values() for count in one.counts):
        raise ValueError("a count of patients is below its minimum")
    _check_counts(group, [one for one in evaluation.metrics.metrics if one.is_count])
    for name, edges in bins.items():
        _check_measure(name, group.measures[name], edges, group.patients)
    if derived:
        all_counts = {one.name: 0.0 for one in evaluation.metrics.metrics if one.is_count} | {
            name: float(count) for name, count in group.counts.items()
        }
        true = evaluation.derive(all_counts)
        for name in derived:
            one = group.measures[name]
            if one.edges or one.counts or abs(one.mean - true[name]) > _ROUNDING:
                raise ValueError(f"{name} does not follow from the counts")
            _check_interval(name, one, evaluation.metrics[name].low, evaluation.metrics[name].high)


def _check_counts(group: GroupAnswer, metrics: list[Metric]) -> None:
    tables: dict[str, int] = {one.table: 0 for one in metrics if one.table is not None}
    if group.counts.keys() - {one.name for one in metrics}:
        raise ValueError("a count is unknown")
    for one in metrics:
        if one.table is not None:
            tables[one.table] += group.counts.get(one.name, 0)
    if any(total != group.cases for total in tables.values()):
        raise ValueError("counts don't add up to the number of cases")


def _check_measure(name: str, one: MeasureAnswer, bins: MetricBins, patients: int) -> None:
    ends = (bins.edges[0], bins.edges[-1])
    slack = _ROUNDING * (ends[1] - ends[0])
    if not one.edges and not one.counts:  # of too few patients for counts, or of a subgroup
        if not ends[0] - slack <= one.mean <= ends[1] + slack:
            raise ValueError(f"{name} has a mean out of its range")
        _check_interval(name, one, *ends)
        return
    if len(one.edges) != len(one.counts) + 1 or (one.edges[0], one.edges[-1]) != ends:
        raise ValueError(f"{name} has other bins than the public ones")
    if one.edges != sorted(set(one.edges)) or not set(one.edges) <= set(bins.edges):
        raise ValueError(f"{name} has other bins than the public ones")
    if sum(one.counts) != patients:
        raise ValueError(f"{name} counts another number of patients")
    bounds = enclose_mean([Histogram(tuple(one.edges), tuple(one.counts))])
    if not bounds.low - slack <= one.mean <= bounds.high + slack:
        raise ValueError(f"{name} has a mean that its counts of patients rule out")
    _check_interval(name, one, *ends)


def _check_interval(name: str, one: MeasureAnswer, low: float, high: float) -> None:
    slack = _ROUNDING * (high - low)
    if one.interval is not None and not (
        low - slack <= one.interval[0] <= one.mean + slack
        and one.mean - slack <= one.interval[1] <= high + slack
    ):
        raise ValueError(f"{name} has an interval without its mean")
