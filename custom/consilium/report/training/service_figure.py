"""Figure of each hospital's score and of its targets, the worst first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from consilium.report.training.answers.answer import is_level
from consilium.report.training.answers.service import scores_by_site, weakest_target
from consilium.report.training.axis import Axis, Tick
from consilium.report.training.study import Scores, StudyReport
from consilium.tasks.metrics import Metric

_SHARE: Final = (0.0, 1.0)


@dataclass(frozen=True)
class ServiceRow:
    """One hospital; places are percent of the figure's width.

    Attributes:
        site: Its name.
        value: Its key score.
        place: Where that is.
        ends: Where its lowest and its highest target are; None for a single one.
        weakest: The title of its weakest target, and the score.
        cases: The cases that it was scored on.
        is_worst: Whether it is the worst of several, by more than rounds away.
    """

    site: str
    value: float
    place: float
    ends: tuple[float, float] | None
    weakest: tuple[str, Metric, float] | None
    cases: int | None
    is_worst: bool


@dataclass(frozen=True)
class ServiceFigure:
    """The rows, the worst first; the place of the best score; the axis; hospitals without a score."""

    rows: tuple[ServiceRow, ...]
    best: float
    ticks: tuple[Tick, ...]
    unknown: tuple[str, ...]


def arrange_service(report: StudyReport) -> ServiceFigure | None:
    """Arrange the figure; None where fewer than two hospitals were scored: there is nothing to compare."""
    scores, key = scores_by_site(report), report.metrics.key_metric
    if len(scores) < 2:
        return None
    values = [*scores.values()]
    for site in scores:
        values += target_values(report, report.sites[site].global_)
    axis = Axis.around(values, *(_SHARE if (key.low, key.high) == _SHARE else (None, None)))
    worst, best = next(iter(scores)), list(scores)[-1]
    differs = not is_level(key, scores[best] - scores[worst])
    return ServiceFigure(
        rows=tuple(
            _row(report, site, value, axis, differs and site == worst) for site, value in scores.items()
        ),
        best=axis.place(scores[best]),
        ticks=axis.ticks(),
        unknown=tuple(site for site in report.sites if site not in scores),
    )


def target_values(report: StudyReport, scores: Scores | None) -> list[float]:
    """Return the scores of the targets in the key metric's title; none where there is a single target."""
    found = scores or {}
    shown = report.metrics.shown[report.metrics.key_metric.title]
    values = [found[one.name] for one in shown if one.target and one.name in found]
    return values if len(values) > 1 else []


def _row(report: StudyReport, site: str, value: float, axis: Axis, is_worst: bool) -> ServiceRow:
    one = report.sites[site]
    weakest = weakest_target(report, one.global_)
    return ServiceRow(
        site=site,
        value=value,
        place=axis.place(value),
        ends=_ends(axis.place(score) for score in target_values(report, one.global_)),
        weakest=None
        if weakest is None
        else (report.metrics.targets[weakest[0].target or ""], weakest[0], weakest[1]),
        cases=one.scored_cases,
        is_worst=is_worst,
    )


def _ends(places: Iterable[float]) -> tuple[float, float] | None:
    found = sorted(places)
    return (found[0], found[-1]) if found else None
