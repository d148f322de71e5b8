"""Tables that compare models, with the best number marked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from consilium.counts import counted
from consilium.records.score_intervals import ScoreInterval
from consilium.report.site_combiner import SiteCombiner
from consilium.report.training.study import Comparison, Scores, SiteSummary, StudyReport
from consilium.tasks.metrics import Metric


@dataclass(frozen=True)
class Cell:
    """One number of a table; `best` marks the best of its group, unless all are the same."""

    value: float | None
    best: bool = False


@dataclass(frozen=True)
class ModelRow:
    """One model: its cells by the metrics' title, and how far the federation's is ahead in the key metric."""

    model: str
    cells: Mapping[str, tuple[Cell, ...]]
    lead: float | None


@dataclass(frozen=True)
class Group:
    """The models that were evaluated on the same patients."""

    title: str
    cases: int | None
    rows: tuple[ModelRow, ...]


@dataclass(frozen=True)
class MatrixRow:
    """One model, evaluated at every hospital; `home` is where it was trained, if at one hospital alone."""

    model: str
    home: str | None
    values: Mapping[str, float | None]


def compare_models(report: StudyReport) -> list[Group]:
    """Return the means over hospitals, then each hospital; a model that was not evaluated has no row.

    The columns of a row are those of `report.metrics.shown`.
    """
    evaluated = {
        name: site for name, site in report.sites.items() if site.global_ or site.local or site.pooled
    }
    groups = [_group(name, site.scored_cases, site, report) for name, site in evaluated.items()]
    if len(groups) > 1:
        cases = sum(site.scored_cases or 0 for site in evaluated.values())
        groups.insert(
            0, _group(f"Mean over {counted(len(groups), 'hospital')}", cases, report.summary, report)
        )
    return groups


def cross_sites(report: StudyReport) -> list[MatrixRow]:
    """Return every local-only model's key metric at every hospital, then the pooled and the global model's.

    There is nothing to return where models never left their hospitals, as in a real federation.
    """
    key = report.metrics.key
    rows = [
        MatrixRow(trained, trained, {site: _of(key, evaluated.get(site)) for site in report.sites})
        for trained, evaluated in report.local_models.items()
    ]
    if rows:
        pooled = {name: _of(key, site.pooled) for name, site in report.sites.items()}
        federated = {name: _of(key, site.global_) for name, site in report.sites.items()}
        rows += [MatrixRow("Pooled", None, pooled), MatrixRow("Federated", None, federated)]
    return rows


@dataclass(frozen=True)
class TestedRow:
    """The key metric of the final and of the best model at one hospital, each with its interval, if any."""

    __test__ = False  # not a test of pytest's

    site: str
    cases: int | None
    final: float | None
    final_interval: ScoreInterval | None
    best: float | None
    best_interval: ScoreInterval | None


@dataclass(frozen=True)
class TestedModels:
    """A job's two models on the patients to report on.

    Attributes:
        final: Round of the final model.
        best: Round of the best model; None where there is none: no patient chose it.
        rows: By hospital, then the mean over those that have both.
    """

    __test__ = False

    final: int
    best: int | None
    rows: tuple[TestedRow, ...]

    @property
    def is_same(self) -> bool:
        """Whether the final model is the best one."""
        return self.final == self.best


def compare_tested(report: StudyReport) -> TestedModels | None:
    """Return how the final and the best model do on test patients; None where neither was tested."""
    key = report.metrics.key
    rows = [
        TestedRow(
            name,
            site.scored_cases,
            _of(key, site.global_),
            site.intervals.get(key),
            _of(key, site.best),
            site.best_intervals.get(key),
        )
        for name, site in report.sites.items()
        if site.global_ or site.best
    ]
    if not rows:
        return None
    rounds = (one.number for one in reversed(report.rounds) if one.rolled_back is None)
    return TestedModels(next(rounds, 0), report.best_round, (*rows, *_mean_row(report, rows)))


def _mean_row(report: StudyReport, rows: Sequence[TestedRow]) -> Iterator[TestedRow]:
    """Both models over the hospitals that have a score of both, so that they can be compared."""
    both = [
        row for row in rows if row.final is not None and (row.best is not None or report.best_round is None)
    ]
    combiner = SiteCombiner(report.task, report.metrics)
    final = combiner.combine(one for row in both if (one := report.sites[row.site].global_))
    best = combiner.combine(one for row in both if (one := report.sites[row.site].best))
    if len(both) > 1:
        key = report.metrics.key
        cases = sum(row.cases or 0 for row in both)
        title = f"Mean over {counted(len(both), 'hospital')}"
        yield TestedRow(title, cases, _of(key, final), None, _of(key, best), None)


def _group(title: str, cases: int | None, scores: Comparison, report: StudyReport) -> Group:
    models = {"Federated": scores.global_}
    if isinstance(scores, SiteSummary):
        models["Local-only, own"] = scores.own
    models |= {"Local-only, mean": scores.local, "Pooled": scores.pooled}
    evaluated = {model: one for model, one in models.items() if one}
    columns = {
        title: [_column(evaluated.values(), metric) for metric in metrics]
        for title, metrics in report.metrics.shown.items()
    }
    key, rows = report.metrics.key_metric, []
    for place, (model, one) in enumerate(evaluated.items()):
        reference = None if one is scores.global_ else scores.global_
        rows.append(
            ModelRow(
                model=model,
                cells={title: tuple(column[place] for column in found) for title, found in columns.items()},
                lead=key.gain(reference[key.name], one[key.name])
                if reference and key.name in reference and key.name in one
                else None,
            )
        )
    return Group(title, cases, tuple(rows))


def _column(models: Collection[Scores], metric: Metric) -> list[Cell]:
    """One metric of every model; those that are best at the digits shown are marked, unless all are."""
    values = [one.get(metric.name) for one in models]
    shown = [round(value, metric.digits) for value in values if value is not None]
    best = (max if metric.higher_is_better else min)(shown) if len(set(shown)) > 1 else None
    return [Cell(value, value is not None and round(value, metric.digits) == best) for value in values]


def _of(metric: str, scores: Scores | None) -> float | None:
    return None if scores is None else scores.get(metric)
