"""The three answers on one page of A4, as PDF."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from consilium.learning.algorithms import withheld_by
from consilium.report.paper import FAINT, Paper, TextStyle
from consilium.report.privacy.protection import state_protection
from consilium.report.training.answers.answer import Answer
from consilium.report.training.answers.answers import ReportAnswers
from consilium.report.training.drawings import CASES_COLOR, draw_gain, draw_service, draw_trust, rows_of
from consilium.report.training.study import StudyReport

_ROW: Final = 13.5
_AXIS: Final = 36.0
"""In points; of a drawing, the height of a hospital and of what is below the last."""

_FITS: Final = ((14, 6), (10, 6), (8, 4), (6, 3), (4, 1), (3, 0))
"""Hospitals in a drawing and facts below an answer, at most: the first that fits on the page is taken."""

_TITLE: Final = TextStyle(16, weight="bold")
_SUBTITLE: Final = TextStyle(8, FAINT)
_QUESTION: Final = TextStyle(10.5, CASES_COLOR, "bold", before=11)
_SENTENCE: Final = TextStyle(10, before=2)
_FACT: Final = TextStyle(8, before=1.5)
_HINT: Final = TextStyle(7.2, FAINT, before=2)


def render_summary(report: StudyReport) -> bytes:
    """Return the page: text that can be searched and copied, and vector drawings.

    It holds no date, no program's name, no link and no single patient; the same study is the same file. Where
    hospitals are too many for the page, those in the middle of each drawing are counted, not drawn.
    """
    answers = ReportAnswers.of(report)
    fitting = (size for size in _FITS if _fill(report, answers, *size, draws=False).fits)
    paper = _fill(report, answers, *next(fitting, _FITS[-1]), draws=True)
    return paper.to_pdf(f"Federated {report.title}: study report")


def _fill(
    report: StudyReport, answers: ReportAnswers, most_rows: int, most_facts: int, *, draws: bool
) -> Paper:
    """The page with so many hospitals and facts; without drawing, only how much of it is filled."""
    paper = Paper(draws=draws)
    paper.write(f"Federated {report.title[:1].lower() + report.title[1:]}", _TITLE)
    paper.write(
        f"Study report, job {report.job} ({report.outcome}). Research only: not for clinical use. Only "
        "counts and means are on this page.",
        _SUBTITLE,
    )
    withheld = withheld_by(report.settings.get("algorithm")).explanation
    if statement := " ".join(one for one in (state_protection(report.settings), withheld) if one):
        paper.write(statement, _SUBTITLE)
    rows = rows_of(report, most_rows)
    for name, answer, draw in (
        ("gain", answers.gain, draw_gain),
        ("service", answers.service, draw_service),
        ("trust", answers.trust, draw_trust),
    ):
        _add(paper, answer, partial(draw, report=report, most=most_rows), rows[name], most_facts)
    return paper


def _add(paper: Paper, answer: Answer, draw: Callable[..., None], rows: int, most_facts: int) -> None:
    paper.write(answer.question, _QUESTION)
    paper.write(answer.sentence, _SENTENCE)
    if rows:
        paper.skip(4)
        axes = paper.add_axes(rows * _ROW + _AXIS, left=0.20, width=0.32, below=_AXIS)
        if axes is not None:
            draw(axes)
    for fact in answer.facts[:most_facts]:
        paper.write(f"\N{BULLET} {fact}", _FACT)
    if answer.hint:
        paper.write(answer.hint, _HINT)
