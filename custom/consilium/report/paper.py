"""Sheets of A4 as PDF: text that can be searched and copied, tables, and room for drawings."""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH: Final = 595.0
_HEIGHT: Final = 842.0
_MARGIN: Final = 42.0
_GAP: Final = 7.0
"""All in points; the last between two columns of a table."""

_FINE: Final = 10
"""Pixels per point on which text is measured."""

_UNSURE: Final = 0.03
"""A line whose words together differ from a width by no more than this share is measured as a whole."""

_PAPER: Final = "#ffffff"
_RULE: Final = "#d5dae0"
INK: Final = "#1d2329"
FAINT: Final = "#59636e"

TEXT_WIDTH: Final = _WIDTH - 2 * _MARGIN
"""Of a line, in points."""


@dataclass(frozen=True)
class TextStyle:
    """How a paragraph looks.

    Attributes:
        size: Of its letters, in points.
        color: Of its letters.
        weight: `normal` or `bold`.
        before: Space above it, in points.
    """

    size: float
    color: str = INK
    weight: str = "normal"
    before: float = 0.0

    @property
    def font(self) -> FontProperties:
        """The font."""
        return FontProperties(size=self.size, weight=self.weight)

    @property
    def line(self) -> float:
        """Height of a line, in points."""
        return self.size * 1.32


class Paper:
    """Sheets that are filled from the top.

    Args:
        turns: Whether what doesn't fit is on another sheet; otherwise there is one, and `fits` says whether
            it was enough.
        draws: Whether anything is drawn; without, only how much is filled is known, which is faster.
    """

    def __init__(self, *, turns: bool = False, draws: bool = True) -> None:
        self._turns = turns
        self._draws = draws
        self._sheets = [_new_sheet()]
        # Fine, because a canvas rounds a letter's width to whole pixels, and a PDF does not.
        self._measure = FigureCanvasAgg(Figure(figsize=(1, 1), dpi=72 * _FINE)).get_renderer()
        self._widths: dict[tuple[str, float, str], float] = {}
        self._y = _HEIGHT - _MARGIN

    @property
    def fits(self) -> bool:
        """Whether all of it is above the lower margin."""
        return self._y >= _MARGIN

    @property
    def pages(self) -> int:
        """Number of sheets."""
        return len(self._sheets)

    def write(self, text: str, style: TextStyle, *, bullet: bool = False) -> None:
        """Write a paragraph below what is there.

        Args:
            text: The paragraph.
            style: How it looks.
            bullet: Whether it is indented behind a bullet.
        """
        self._y -= style.before
        indent = style.size if bullet else 0.0
        for number, line in enumerate(self._wrap(text, style, TEXT_WIDTH - indent)):
            self._make_room(style.line)
            self._y -= style.line
            self._put(line, _MARGIN + indent, self._y, style)
            if bullet and number == 0:
                self._put("\N{BULLET}", _MARGIN, self._y, style)

    def keep_together(self, height: float) -> None:
        """Start another sheet unless so many points are left on this one."""
        self._make_room(height)

    def add_axes(self, height: float, *, left: float, width: float, below: float) -> Axes | None:
        """Make room for a drawing below what is there; returns its axes, None where nothing is drawn.

        Args:
            height: Of the drawing, in points.
            left: Where the axes start, as a share of the sheet's width.
            width: Of the axes, likewise.
            below: Room below the axes for their labels, in points of the height.
        """
        self._y -= height
        if not self._draws:
            return None
        place = (left, (self._y + below) / _HEIGHT, width, (height - below) / _HEIGHT)
        return self._sheets[-1].add_axes(place, facecolor=_PAPER)

    def skip(self, height: float) -> None:
        """Leave so many points empty."""
        self._y -= height

    def table(
        self,
        head: Sequence[str],
        rows: Sequence[Sequence[str]],
        shares: Sequence[float],
        *,
        heading: TextStyle,
        cell: TextStyle,
    ) -> None:
        """Write a table whose cells break their lines; its head is repeated on every sheet.

        Args:
            head: Titles of the columns.
            rows: Their texts; that of the first column is bold.
            shares: Widths of the columns, as shares of the line; together 1.
            heading: Of the titles.
            cell: Of the texts.
        """
        bold = TextStyle(cell.size, cell.color, "bold")
        columns = _columns(shares)
        self._row(head, columns, [heading] * len(head))
        for row in rows:
            styles = [bold, *([cell] * (len(row) - 1))]
            if self._turns and self._y - self._row_height(row, columns, styles) < _MARGIN:
                self._turn()
                self._row(head, columns, [heading] * len(head))
            self._row(row, columns, styles)

    def to_pdf(self, title: str) -> bytes:
        """Return the file; it holds no date, no program's name and no link.

        Args:
            title: In the file's properties.
        """
        if self.pages > 1:
            style = TextStyle(7, FAINT)
            for number, sheet in enumerate(self._sheets, 1):
                self._put(f"{number} of {self.pages}", _WIDTH - 2 * _MARGIN, _MARGIN / 2, style, sheet)
        content = io.BytesIO()
        metadata = {"Title": title, "Creator": None, "Producer": None, "CreationDate": None}
        with rc_context({"pdf.fonttype": 42}), PdfPages(content, metadata=metadata) as file:
            for sheet in self._sheets:
                sheet.savefig(file, format="pdf")
        return content.getvalue()

    def _row(
        self,
        texts: Sequence[str],
        columns: Sequence[tuple[float, float]],
        styles: Sequence[TextStyle],
    ) -> None:
        height = self._row_height(texts, columns, styles)
        top = self._y
        for text, (left, width), style in zip(texts, columns, styles, strict=True):
            y = top
            for line in self._wrap(text, style, width):
                y -= style.line
                self._put(line, left, y, style)
        self._y = top - height
        if self._draws:
            x = [_MARGIN / _WIDTH, 1 - _MARGIN / _WIDTH]
            y_line = [(self._y + 1.5) / _HEIGHT] * 2
            self._sheets[-1].add_artist(Line2D(x, y_line, color=_RULE, linewidth=0.5))

    def _row_height(
        self,
        texts: Sequence[str],
        columns: Sequence[tuple[float, float]],
        styles: Sequence[TextStyle],
    ) -> float:
        lines = zip(texts, columns, styles, strict=True)
        return max(len(list(self._wrap(text, one, width))) * one.line for text, (_, width), one in lines) + 4

    def _put(self, line: str, x: float, y: float, style: TextStyle, sheet: Figure | None = None) -> None:
        if self._draws:
            (sheet or self._sheets[-1]).text(
                x / _WIDTH,
                (y + 0.3 * style.size) / _HEIGHT,
                line,
                color=style.color,
                fontproperties=style.font,
                parse_math=False,
            )

    def _make_room(self, height: float) -> None:
        if self._turns and self._y - height < _MARGIN:
            self._turn()

    def _turn(self) -> None:
        self._sheets.append(_new_sheet())
        self._y = _HEIGHT - _MARGIN

    def _wrap(self, text: str, style: TextStyle, width: float) -> Iterator[str]:
        """The text in lines of a width; a word longer than a line is cut."""
        line = ""
        for word in text.split():
            if line and not self._holds(f"{line} {word}", style, width):
                yield line
                line = ""
            line = f"{line} {word}".strip()
            while not self._holds(line, style, width):
                overflows = partial(self._overflows, line, style, width)
                longest = bisect_left(range(1, len(line)), True, key=overflows)
                cut = max(1, longest)
                yield line[:cut]
                line = line[cut:]
        if line:
            yield line

    def _overflows(self, line: str, style: TextStyle, width: float, size: int) -> bool:
        return not self._holds(line[:size], style, width)

    def _holds(self, line: str, style: TextStyle, width: float) -> bool:
        """Whether a line fits into a width; a single letter always does."""
        if len(line) < 2:
            return True
        words = line.split(" ")
        estimate = sum(self._width(word, style) for word in words)
        estimate += (len(words) - 1) * self._width("\N{NO-BREAK SPACE}", style)
        if abs(estimate - width) > _UNSURE * width:
            return estimate < width
        return self._width(line, style) <= width

    def _width(self, text: str, style: TextStyle) -> float:
        """Width of a text in points; measuring takes most of the time, so none is measured twice."""
        key = (text, style.size, style.weight)
        if key not in self._widths:
            measured = self._measure.get_text_width_height_descent(text, style.font, False)[0]
            self._widths[key] = float(measured) / _FINE
        return self._widths[key]


def _new_sheet() -> Figure:
    return Figure(figsize=(_WIDTH / 72, _HEIGHT / 72), facecolor=_PAPER)


def _columns(shares: Sequence[float]) -> list[tuple[float, float]]:
    """Left edge and width of each column, in points."""
    columns, left = [], _MARGIN
    for share in shares:
        columns.append((left, share * TEXT_WIDTH - _GAP))
        left += share * TEXT_WIDTH
    return columns
