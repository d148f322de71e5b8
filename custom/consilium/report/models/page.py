"""The evaluation of models at every hospital as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from consilium.counts import counted
from consilium.records.evaluation import LOCAL_MODELS, EvaluationRecord
from consilium.records.remedies import remedy_for
from consilium.report.chart_style import DARK, LIGHT
from consilium.report.html import page_environment
from consilium.report.models.figure import draw_models
from consilium.report.models.summary import (
    MatrixOfSites,
    ModelGain,
    ModelScore,
    all_measures,
    build_matrix,
    evaluated_sets,
    gains_over_own,
    key_measures,
    subgroup_tables,
)
from consilium.report.training.cautions import describe_earlier
from consilium.tasks import Task, get_task
from consilium.tasks.measures import Measure
from consilium.tasks.metrics import Metric

_NOTHING = "\N{EN DASH}"
_STANDINGS = {"gains": "better", "loses": "worse", "unclear": "no clear difference"}


@dataclass(frozen=True)
class MissingRow:
    """A site without an answer about some models, with the reason and its remedy."""

    site: str
    models: str
    reason: str
    remedy: str


def draw_key_measure(record: EvaluationRecord, task: Task) -> str | None:
    """Draw every model at every hospital in the key measure, as SVG; None without any score."""
    keys = key_measures(task.evaluation)
    return draw_models(build_matrix(record, task, keys[0])) if keys else None


def render_models(record: EvaluationRecord, figure: str | None = None) -> str:
    """Render the page; names and reasons come from other machines, and the template escapes them.

    Args:
        record: What the hospitals answered.
        figure: The key measure as SVG, see `draw_key_measure`; None for none.
    """
    task = get_task(record.task)
    keys = key_measures(task.evaluation)
    matrices = [build_matrix(record, task, one) for one in keys]
    measures = all_measures(task.evaluation)
    return (
        page_environment()
        .get_template("models.html.j2")
        .render(
            record=record,
            created=datetime.fromtimestamp(record.created, timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            verdict=" ".join(_verdict(record, matrices)),
            matrices=matrices,
            others=_others(record, task, measures, keys),
            subgroups=subgroup_tables(record, keys[0]) if keys else [],
            missing=list(_missing(record)),
            sets=evaluated_sets(record),
            figure=figure,
            gains=gains_over_own(record, task),
            key=task.evaluation.metrics.key_metric,
            local_models=LOCAL_MODELS,
            show_gain=_show_gain,
            cautions=list(_cautions(record)),
            notes={
                site: one.note
                for model in record.models.values()
                for site, one in model.sites.items()
                if one.note
            },
            definitions={one.title: one.definition for one in measures if one.definition},
            show=_show,
            goodness=_goodness,
            light=LIGHT,
            dark=DARK,
        )
    )


def _others(
    record: EvaluationRecord, task: Task, measures: tuple[Measure, ...], keys: list[Measure]
) -> dict[str, list[MatrixOfSites]]:
    """The other measures, by their target."""
    titles = ["Overall", *(one.title for one in task.targets)]
    found = [build_matrix(record, task, one) for one in measures if one not in keys]
    groups = {title: [one for one in found if one.title == title] for title in titles}
    return {title: matrices for title, matrices in groups.items() if matrices}


def _verdict(record: EvaluationRecord, matrices: list[MatrixOfSites]) -> Iterator[str]:
    if record.status != "finished":
        yield f"The evaluation failed: {record.reason or 'it did not end'}."
        return
    answered = {site for one in record.models.values() for site in one.sites}
    yield f"{counted(len(record.models), 'model')} at {counted(len(answered), 'hospital')}."
    if matrices:
        first = matrices[0]
        for model, mean in first.means.items():
            worst = first.worst.get(model)
            at = f", worst at {worst}" if worst and len(answered) > 1 else ""
            yield f"{model}: {first.measure.title} {first.measure.text(mean)} on average over hospitals{at}."


def _cautions(record: EvaluationRecord) -> Iterator[str]:
    for site in record.sites:
        answers = [one.sites[site] for one in record.models.values() if site in one.sites]
        if earlier := max((one.earlier_models for one in answers), default=0):
            yield describe_earlier(site, earlier)


def _missing(record: EvaluationRecord) -> Iterator[MissingRow]:
    models: dict[tuple[str, str, str], list[str]] = {}
    for model, site, one in record.absences():
        remedy = remedy_for(one.code, "evaluate")
        models.setdefault((site, one.reason, remedy), []).append(model)
    for (site, reason, remedy), names in sorted(models.items()):
        yield MissingRow(site, ", ".join(names), reason, remedy)


def _show(score: ModelScore | None, measure: Measure) -> str:
    """A score with its interval, as it is shown."""
    if score is None:
        return _NOTHING
    mean = measure.text(score.mean)
    if score.interval is None:
        return mean
    return f"{mean} ({' to '.join(measure.text(bound) for bound in score.interval)})"


def _show_gain(one: ModelGain | None, key: Metric) -> str:
    """A gain with its interval, and what it means."""
    if one is None:
        return _NOTHING
    gain, standing = one.gain, _STANDINGS.get(one.standing, one.standing)
    interval = "" if gain.low is None or gain.high is None else f" ({_signed(key, gain.low, gain.high)})"
    return f"{key.gain_text(gain.mean)}{interval}, {standing}"


def _signed(key: Metric, low: float, high: float) -> str:
    return f"{key.gain_text(low)} to {key.gain_text(high)}"


def _goodness(score: ModelScore | None, measure: Measure) -> float:
    """How good a score from 0 to 1 is: the color of a cell; none for other measures."""
    if score is None or measure.unit or measure.better != "higher":
        return 0.0
    return min(max(score.mean, 0.0), 1.0)
