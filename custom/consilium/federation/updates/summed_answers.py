"""Reports of the sites where only sums of them reach the server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from consilium.records.score_bounds import read_scores
from consilium.records.summed_reports import SummedReports
from consilium.secagg.summed_numbers import SummedNumber
from consilium.tasks.evaluation import Evaluation
from consilium.tasks.metrics import Scores

_ROUNDING: Final = 1e-4
"""Of a score's range: what fixed point and sums of it are off at most."""


@dataclass(frozen=True)
class SummedAnswers:
    """What an opened sum holds beside the update.

    Attributes:
        reports: Cases and losses.
        scores: Sum of each score over the sites that have it, by metric.
    """

    reports: SummedReports
    scores: Mapping[str, SummedNumber]


def read_sum(summed: SummedAnswers, evaluation: Evaluation) -> Scores:
    """Return the scores of all sites together; none where no site has any.

    Args:
        summed: Of the opened sum.
        evaluation: The task's.

    Raises:
        ValueError: If they can't be scores of sites: out of their ranges, or of different sites.
    """
    if len({one.sites for one in summed.scores.values()}) > 1:
        raise ValueError("its scores are of different numbers of sites")
    values, tables = {}, defaultdict[str, float](float)
    for name, one in summed.scores.items():
        metric = evaluation.metrics[name]
        if not one.sites:
            return {}
        if metric.table is not None:
            values[name] = float(round(one.total))
            tables[metric.table] += values[name]
            continue
        mean, slack = one.total / one.sites, _ROUNDING * (metric.high - metric.low)
        near = metric.low - slack <= mean <= metric.high + slack
        values[name] = min(max(mean, metric.low), metric.high) if near else mean
    cases = int(next(iter(tables.values()))) if tables else None
    return read_scores(values, evaluation, final=False, cases=cases)
