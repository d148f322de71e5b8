"""Numbers of an evaluation of models at every hospital: matrices, worst sites and gaps between subgroups."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from consilium.records.evaluation import EvaluationRecord, GroupAnswer
from consilium.records.gain import Gain
from consilium.report.training.gains import standing_of
from consilium.report.training.study import Standing
from consilium.tasks import Task
from consilium.tasks.evaluation import Evaluation
from consilium.tasks.measures import Measure, derived_measures


@dataclass(frozen=True)
class ModelScore:
    """One measure of one model on some patients.

    Attributes:
        mean: Over patients.
        interval: 95 % interval of it; None for too few patients.
        patients: How many.
    """

    mean: float
    interval: tuple[float, float] | None
    patients: int


@dataclass(frozen=True)
class MatrixOfSites:
    """One measure of every model at every site.

    Attributes:
        measure: The measure.
        title: What it is of: a target, or `Overall`.
        sites: Site to model to score; None where there is no answer.
        means: Model to the mean over its sites, each counting the same.
        worst: Model to the site that it serves worst, of those that answered.
    """

    measure: Measure
    title: str
    sites: Mapping[str, Mapping[str, ModelScore | None]]
    means: Mapping[str, float]
    worst: Mapping[str, str]


@dataclass(frozen=True)
class ModelGain:
    """By how much a model is better than a site's own one, on the same patients.

    Attributes:
        gain: In the key metric, with its interval.
        standing: Whether the site gains by it.
    """

    gain: Gain
    standing: Standing


@dataclass(frozen=True)
class SubgroupTable:
    """The key measure in the subgroups of one attribute at one site.

    Attributes:
        site: The site.
        attribute: As the hospital calls it.
        rows: Subgroup to model to score.
        gaps: Model to the difference between its best and its worst subgroup; empty for a single one.
        withheld: How many subgroups stay at the site, for too few patients.
    """

    site: str
    attribute: str
    rows: Mapping[str, Mapping[str, ModelScore | None]]
    gaps: Mapping[str, float]
    withheld: int


def all_measures(evaluation: Evaluation) -> tuple[Measure, ...]:
    """Return the measures of single cases and of all cases together, in the order of the page."""
    return (*derived_measures(evaluation.metrics), *evaluation.measures)


def key_measures(evaluation: Evaluation) -> list[Measure]:
    """Return the measure by which models are selected: the overall one first, then that of each target."""
    metrics = evaluation.metrics
    names = (metrics.key, *metrics.key_metric.mean_of[:1])
    measures = all_measures(evaluation)
    overall = next((one for name in names for one in measures if one.name == name), None)
    if overall is None:
        return []
    alike = [one for one in measures if one.title == overall.title and one is not overall]
    return [overall, *alike]


def build_matrix(record: EvaluationRecord, task: Task, measure: Measure) -> MatrixOfSites:
    """Return one measure of every model at every site."""
    titles = {one.name: one.title for one in task.targets}
    sites = {
        site: {
            model: _score_of(one.sites[site].whole if site in one.sites else None, measure)
            for model, one in record.models.items()
        }
        for site in record.sites
    }
    answered = {model: _means(sites, model) for model in record.models}
    return MatrixOfSites(
        measure,
        titles.get(measure.target or "", "Overall"),
        sites,
        {model: sum(means.values()) / len(means) for model, means in answered.items() if means},
        {
            model: _worst(means, measure)
            for model, means in answered.items()
            if means and measure.better in ("higher", "lower")
        },
    )


def gains_over_own(record: EvaluationRecord, task: Task) -> dict[str, dict[str, ModelGain]]:
    """Return what each site gains by each model over its own one, by site and model; empty without any."""
    key = task.evaluation.metrics.key
    found: dict[str, dict[str, ModelGain]] = {}
    for model, entry in record.models.items():
        for site, answer in sorted(entry.sites.items()):
            if (gain := answer.gains.get(key)) is not None:
                found.setdefault(site, {})[model] = ModelGain(gain, standing_of(gain))
    return dict(sorted(found.items()))


def evaluated_sets(record: EvaluationRecord) -> dict[str, str]:
    """Return which patients each site evaluated on, by site: those to report on, or to choose models on."""
    answers = {site: answer for one in record.models.values() for site, answer in one.sites.items()}
    return {site: answer.set for site, answer in sorted(answers.items())}


def subgroup_tables(record: EvaluationRecord, measure: Measure) -> list[SubgroupTable]:
    """Return the subgroups of every site in one measure, by site and attribute."""
    return [
        _subgroup_table(record, measure, site, attribute)
        for site in record.sites
        for attribute in _attributes(record, site)
    ]


def to_json(record: EvaluationRecord, task: Task) -> dict[str, Any]:
    """Return the numbers of the page as JSON values."""
    keys = key_measures(task.evaluation)
    return {
        "job": record.job,
        "task": record.task,
        "status": record.status,
        "reason": record.reason,
        "models": {name: one.digest for name, one in record.models.items()},
        "sets": evaluated_sets(record),
        "matrices": [asdict(build_matrix(record, task, one)) for one in all_measures(task.evaluation)],
        "subgroups": [asdict(one) for one in subgroup_tables(record, keys[0])] if keys else [],
        "gains": {
            site: {
                model: {**one.gain.model_dump(), "standing": one.standing} for model, one in models.items()
            }
            for site, models in gains_over_own(record, task).items()
        },
        "missing": [
            {"model": model, "site": site, "reason": one.reason, "code": one.code and one.code.value}
            for model, site, one in record.absences()
        ],
    }


def to_csv(record: EvaluationRecord, task: Task) -> str:
    """Return every mean that left a site, a line each."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = ("model", "site", "set", "attribute", "subgroup", "measure", "patients", "mean", "low", "high")
    writer.writerow(heads)
    sets = evaluated_sets(record)
    for model, site, attribute, value, group in _groups(record):
        for measure in all_measures(task.evaluation):
            one = group.measures.get(measure.name)
            if one is not None:
                bounds = one.interval or ("", "")
                words = (model, site, sets[site], attribute, value, measure.name)
                writer.writerow((*words, group.patients, one.mean, *bounds))
    return out.getvalue()


def _groups(record: EvaluationRecord) -> Iterator[tuple[str, str, str, str, GroupAnswer]]:
    for model, entry in record.models.items():
        for site, answer in sorted(entry.sites.items()):
            yield model, site, "", "", answer.whole
            for attribute, values in answer.subgroups.items():
                for value, group in values.items():
                    yield model, site, attribute, value, group


def _attributes(record: EvaluationRecord, site: str) -> list[str]:
    answers = [one.sites[site] for one in record.models.values() if site in one.sites]
    return list(dict.fromkeys(name for one in answers for name in (*one.subgroups, *one.withheld)))


def _subgroup_table(record: EvaluationRecord, measure: Measure, site: str, attribute: str) -> SubgroupTable:
    answers = [one.sites[site] for one in record.models.values() if site in one.sites]
    values = dict.fromkeys(value for one in answers for value in one.subgroups.get(attribute, {}))
    rows = {
        value: {
            model: _score_of(one.sites[site].subgroups.get(attribute, {}).get(value), measure)
            if site in one.sites
            else None
            for model, one in record.models.items()
        }
        for value in values
    }
    means = {model: _means(rows, model).values() for model in record.models}
    gaps = {model: max(found) - min(found) for model, found in means.items() if len(found) > 1}
    withheld = max((one.withheld.get(attribute, 0) for one in answers), default=0)
    return SubgroupTable(site, attribute, rows, gaps, withheld)


def _means(rows: Mapping[str, Mapping[str, ModelScore | None]], model: str) -> dict[str, float]:
    """The means of a model by row, where there is one."""
    return {name: score.mean for name, row in rows.items() if (score := row[model]) is not None}


def _score_of(group: GroupAnswer | None, measure: Measure) -> ModelScore | None:
    if group is None or measure.name not in group.measures:
        return None
    one = group.measures[measure.name]
    return ModelScore(one.mean, one.interval, group.patients)


def _worst(means: Mapping[str, float], measure: Measure) -> str:
    sign = -1 if measure.better == "lower" else 1
    return min(means, key=lambda site: (sign * means[site], site))
