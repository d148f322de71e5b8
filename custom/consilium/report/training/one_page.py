"""The three answers on one page of A4, as PDF."""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from consilium.report.training.answers.answer import Answer
from consilium.report.training.answers.answers import ReportAnswers
from consilium.report.training.drawings import CASES_COLOR, draw_gain, draw_service, draw_trust, rows_of
from consilium.report.training.study import StudyReport

_WIDTH: Final = 595.0
_HEIGHT: Final = 842.0
_MARGIN: Final = 42.0
_ROW: Final = 13.5
_AXIS: Final = 36.0
"""All in points; of a drawing, the height of a hospital and of what is below the last."""

_FINE: Final = 10
"""Pixels per point on which text is measured."""

_PAPER: Final = "#ffffff"
_INK: Final = "#1d2329"
_FAINT: Final = "#59636e"

_FITS: Final = ((14, 6), (10, 6), (8, 4), (6, 3), (4, 1), (3, 0))
"""Hospitals in a drawing and facts below an answer, at most: the first that fits on the page is taken."""


@dataclass(frozen=True)
class _Style:
    size: float
    color: str = _INK
    weight: str = "normal"
    before: float = 0.0

    @property
    def font(self) -> FontProperties:
        return FontProperties(size=self.size, weight=self.weight)

    @property
    def line(self) -> float:
        return self.size * 1.32


_TITLE: Final = _Style(16, weight="bold")
_SUBTITLE: Final = _Style(8, _FAINT)
_QUESTION: Final = _Style(10.5, CASES_COLOR, "bold", before=11)
_SENTENCE: Final = _Style(10, before=2)
_FACT: Final = _Style(8, before=1.5)
_HINT: Final = _Style(7.2, _FAINT, before=2)


def render_summary(report: StudyReport) -> bytes:
    """Return the page: text that can be searched and copied, and vector drawings.

    It holds no date, no program's name, no link and no single patient; the same study is the same file. Where
    hospitals are too many for the page, those in the middle of each drawing are counted, not drawn.
    """
    answers = ReportAnswers.of(report)
    fitting = (size for size in _FITS if _Page(report, answers, *size, draws=False).fits)
    return _Page(report, answers, *next(fitting, _FITS[-1])).to_pdf()


class _Page:
    """One page, filled from the top; without drawing, only how much of it is filled."""

    def __init__(
        self,
        report: StudyReport,
        answers: ReportAnswers,
        most_rows: int,
        most_facts: int,
        *,
        draws: bool = True,
    ) -> None:
        self._report = report
        self._most = most_rows
        self._draws = draws
        self._figure = Figure(figsize=(_WIDTH / 72, _HEIGHT / 72), facecolor=_PAPER)
        # Fine, because a canvas rounds a letter's width to whole pixels, and a PDF does not.
        self._measure = FigureCanvasAgg(Figure(figsize=(1, 1), dpi=72 * _FINE)).get_renderer()
        self._y = _HEIGHT - _MARGIN
        title = f"Federated {report.title[:1].lower() + report.title[1:]}"
        self._write(title, _TITLE)
        self._write(
            f"Study report, job {report.job} ({report.outcome}). Research only: not for clinical use. Only "
            "counts and means are on this page.",
            _SUBTITLE,
        )
        rows = rows_of(report, most_rows)
        for name, answer, draw in (
            ("gain", answers.gain, draw_gain),
            ("service", answers.service, draw_service),
            ("trust", answers.trust, draw_trust),
        ):
            self._add(answer, draw, rows[name], most_facts)

    @property
    def fits(self) -> bool:
        """Whether all of it is above the lower margin."""
        return self._y >= _MARGIN

    def to_pdf(self) -> bytes:
        """Return the file."""
        content = io.BytesIO()
        metadata = {
            "Title": f"Federated {self._report.title}: study report",
            "Creator": None,
            "Producer": None,
            "CreationDate": None,
        }
        with rc_context({"pdf.fonttype": 42}):
            self._figure.savefig(content, format="pdf", metadata=metadata)
        return content.getvalue()

    def _add(self, answer: Answer, draw: Callable[..., None], rows: int, most_facts: int) -> None:
        self._write(answer.question, _QUESTION)
        self._write(answer.sentence, _SENTENCE)
        if rows:
            height = rows * _ROW + _AXIS
            self._y -= 4
            self._y -= height
            if self._draws:
                place = (0.20, (self._y + _AXIS) / _HEIGHT, 0.32, (height - _AXIS) / _HEIGHT)
                draw(self._figure.add_axes(place, facecolor=_PAPER), self._report, self._most)
        for fact in answer.facts[:most_facts]:
            self._write(f"\N{BULLET} {fact}", _FACT)
        if answer.hint:
            self._write(answer.hint, _HINT)

    def _write(self, text: str, style: _Style) -> None:
        self._y -= style.before
        for line in self._wrap(text, style):
            self._y -= style.line
            if self._draws:
                self._figure.text(
                    _MARGIN / _WIDTH,
                    (self._y + 0.3 * style.size) / _HEIGHT,
                    line,
                    color=style.color,
                    fontproperties=style.font,
                    parse_math=False,
                )

    def _wrap(self, text: str, style: _Style) -> Iterator[str]:
        """The text in lines of the page's width; a word longer than a line is cut."""
        line = ""
        for word in text.split():
            if line and not self._holds(f"{line} {word}", style):
                yield line
                line = ""
            line = f"{line} {word}".strip()
            while not self._holds(line, style):
                longest = bisect_left(range(1, len(line)), True, key=partial(self._overflows, line, style))
                cut = max(1, longest)
                yield line[:cut]
                line = line[cut:]
        if line:
            yield line

    def _overflows(self, line: str, style: _Style, size: int) -> bool:
        return not self._holds(line[:size], style)

    def _holds(self, line: str, style: _Style) -> bool:
        """Whether a line is as wide as the page's text at most; a single letter always fits."""
        return len(line) < 2 or self._width(line, style) <= _WIDTH - 2 * _MARGIN

    def _width(self, text: str, style: _Style) -> float:
        return float(self._measure.get_text_width_height_descent(text, style.font, False)[0]) / _FINE
