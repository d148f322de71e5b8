"""Figures of the report as SVG files, each with its numbers as CSV, for papers and slides."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from consilium.data.files import private_folder, write_atomically
from consilium.report.chart_style import LIGHT
from consilium.report.training.answers.answers import ReportAnswers
from consilium.report.training.curves import curves_figure, list_curves
from consilium.report.training.drawings import draw_gain, draw_service, draw_trust, rows_of
from consilium.report.training.figure_data import curves_csv, gain_csv, service_csv, trust_csv
from consilium.report.training.study import StudyReport

FIGURES_FOLDER: Final = "figures"
"""Name of the folder in the report's folder."""

_MOST_ROWS: Final = 60
_WIDTH_INCHES: Final = 7.2
_ROW_INCHES: Final = 0.2


def write_figures(folder: Path, report: StudyReport) -> None:
    """Write each figure that the study has something for; one of an earlier report is removed.

    Args:
        folder: The report's folder.
        report: The study.

    Raises:
        OSError: If a file can't be written.
    """
    place = private_folder(folder / FIGURES_FOLDER, ours=False)
    answers, rows = ReportAnswers.of(report), rows_of(report, _MOST_ROWS)
    drawings: dict[str, tuple[Callable[..., None], str, Callable[[StudyReport], str]]] = {
        "gain": (draw_gain, answers.gain.sentence, gain_csv),
        "service": (draw_service, answers.service.sentence, service_csv),
        "trust": (draw_trust, answers.trust.sentence, trust_csv),
    }
    for name, (draw, text, data) in drawings.items():
        svg = _answer_svg(draw, report, rows[name], text) if rows[name] else None
        _write(place, name, svg, data(report))
    curves = _curves_svg(report) if report.rounds and list_curves(report) else None
    _write(place, "curves", curves, curves_csv(report))


def _write(folder: Path, name: str, svg: str | None, data: str) -> None:
    for suffix, content in (("svg", svg), ("csv", data if svg else None)):
        path = folder / f"{name}.{suffix}"
        if content is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, content.encode(), durable=False)


def _answer_svg(draw: Callable[..., None], report: StudyReport, rows: int, text: str) -> str:
    height = rows * _ROW_INCHES + 0.6
    figure = Figure(figsize=(_WIDTH_INCHES, height))
    axes = figure.add_axes((0.16, 0.45 / height, 0.36, 1 - 0.55 / height))
    draw(axes, report, _MOST_ROWS)
    return to_svg(figure, text)


def _curves_svg(report: StudyReport) -> str:
    return to_svg(curves_figure(report, LIGHT), f"Round by round: {', '.join(list_curves(report))}")


def to_svg(figure: Any, text: str) -> str:
    """Return a figure as SVG with its text as text, and a description for who can't see it.

    It holds no date, no program's name and nothing that loads or runs anything; the same figure is the same
    file.
    """
    FigureCanvasSVG(figure)
    content = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "consilium"}):
        figure.savefig(
            content,
            format="svg",
            bbox_inches="tight",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    svg = re.sub(
        r"<\?xml-stylesheet[^>]*>|<!DOCTYPE[^>]*>|<metadata>.*?</metadata>",
        "",
        content.getvalue(),
        flags=re.S,
    )
    return re.sub(
        r"(<svg\b[^>]*)>",
        lambda found: f'{found[1]} role="img">\n <title>{escape(text)}</title>',
        svg,
        count=1,
    )
