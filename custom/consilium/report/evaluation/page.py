"""The evaluation of a model on a hospital's labeled cases as a self-contained HTML page, for the hospital."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Final

from consilium.counts import counted
from consilium.data.finding import Finding
from consilium.learning.bootstrap import FEWEST_PATIENTS
from consilium.learning.evaluation_summary import QUANTILES, EvaluationSummary
from consilium.report.chart_style import DARK, LIGHT
from consilium.report.data_check.finding_group import group_findings
from consilium.report.evaluation.figure import draw_scores
from consilium.report.evaluation.rows import key_row, key_rows, measure_rows, shows_quantiles
from consilium.report.html import page_environment
from consilium.tasks import Task

_SHOWN_CASES: Final = 5


@dataclass(frozen=True)
class LocalEvaluation:
    """An evaluation at one hospital. It names cases: it stays there.

    Attributes:
        task: The model's.
        folder: Name of the folder of cases.
        model: SHA-256 of the model's file.
        round: After how many rounds; None where the file doesn't say.
        summary: Over patients.
        cases: Scores by case.
        findings: What the checks found.
        left_out: How many cases could not be evaluated.
        created: Unix time in seconds.
    """

    task: Task
    folder: str
    model: str
    round: int | None
    summary: EvaluationSummary
    cases: Mapping[str, Mapping[str, float]]
    findings: Sequence[Finding]
    left_out: int
    created: float = field(default_factory=time.time)


@dataclass(frozen=True)
class CaseRow:
    """A case that somebody should look at, with its score as it is shown."""

    case: str
    score: str


def render_evaluation(evaluation: LocalEvaluation) -> str:
    """Render the page; the template escapes ids and details, which come from file names."""
    task, summary = evaluation.task, evaluation.summary
    rows = measure_rows(task, summary)
    shown = [row.measure for group in rows.values() for row in group]
    definitions = {one.title: one.definition for one in shown if one.definition}
    return (
        page_environment()
        .get_template("evaluation.html.j2")
        .render(
            evaluation=evaluation,
            summary=summary,
            created=datetime.fromtimestamp(evaluation.created, timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            verdict=" ".join(_verdict(evaluation)),
            rows=rows,
            several=len(task.targets) > 1,
            targets=[target.title for target in task.targets],
            quantiles=[_quantile_title(share) for share in QUANTILES] if shows_quantiles(summary) else [],
            pictures=_draw(evaluation),
            lowest=_lowest_cases(evaluation),
            key=key_row(task, summary),
            groups=group_findings(one for one in evaluation.findings if not one.accepted),
            counts=_counts(evaluation),
            definitions=definitions,
            fewest=FEWEST_PATIENTS,
            light=LIGHT,
            dark=DARK,
        )
    )


def _verdict(evaluation: LocalEvaluation) -> Iterator[str]:
    summary, key = evaluation.summary, key_row(evaluation.task, evaluation.summary)
    if key is None:
        yield "No case could be evaluated."
        return
    interval = f" (95 % interval {key.interval})" if key.summary.interval else ""
    name = evaluation.task.evaluation.metrics.key_name
    yield f"{name[:1].upper()}{name[1:]} {key.mean}{interval} over {counted(summary.patients, 'patient')}."
    if summary.patients < FEWEST_PATIENTS:
        yield "So few patients say little about others."


def _draw(evaluation: LocalEvaluation) -> tuple[bytes, ...]:
    """The scores of all cases, light and dark; nothing where single cases have none."""
    rows, cases = key_rows(evaluation.task, evaluation.summary), list(evaluation.cases.values())
    return tuple(draw_scores(rows, cases, palette) for palette in (LIGHT, DARK)) if rows else ()


def _quantile_title(share: float) -> str:
    return "Median" if share == 0.5 else f"{100 * share:.0f} %"


def _lowest_cases(evaluation: LocalEvaluation) -> list[CaseRow]:
    """The cases with the worst scores in the key metric; none where single cases have no score in it."""
    key = key_row(evaluation.task, evaluation.summary)
    if key is None or not key.quantiles:
        return []
    sign = -1 if key.measure.better == "lower" else 1
    scores = {case: row[key.measure.name] for case, row in evaluation.cases.items()}
    worst = sorted(scores, key=lambda case: (sign * scores[case], case))
    return [CaseRow(case, key.measure.text(scores[case])) for case in worst[:_SHOWN_CASES]]


def _counts(evaluation: LocalEvaluation) -> dict[str, int]:
    """Counts of cases for people: the name of each, as words, with its number."""
    return {name.replace("_", " "): count for name, count in evaluation.summary.counts.items()}
