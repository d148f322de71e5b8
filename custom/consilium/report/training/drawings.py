"""Drawings of the three answers, for the PDF and for papers: no single patient is in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from matplotlib.ticker import MaxNLocator

from consilium.counts import counted
from consilium.report.chart_style import LIGHT, label_text
from consilium.report.html import upper_first
from consilium.report.training.answers.answer import signed
from consilium.report.training.gain_figure import GainRow, arrange_gains
from consilium.report.training.service_figure import ServiceRow, arrange_service, target_values
from consilium.report.training.study import StudyReport
from consilium.report.training.trust_figure import NOTHING, TrustRow, arrange_trust, has_validation
from consilium.tasks.metrics import Metric

GAIN_COLOR: Final = "#0b62a8"
LOSS_COLOR: Final = "#c2410c"
CASES_COLOR: Final = "#0b6b5d"
_PALE: Final = "#9fc7bf"
_FAINT: Final = "#59636e"
_MARKS: Final = {"gains": "^", "loses": "v", "unclear": "D"}
_COLORS: Final = {"gains": GAIN_COLOR, "loses": LOSS_COLOR, "unclear": _FAINT}
_WORDS: Final = {"gains": "gains", "loses": "loses", "unclear": "no clear difference"}
_SIZE: Final = 7.5
_LONGEST_NAME: Final = 24
_LONGEST_TEXT: Final = 62

_Row = TypeVar("_Row")


def draw_gain(axes: Any, report: StudyReport, most: int) -> None:
    """Draw each hospital's gain with its interval, the largest first; returns nothing.

    Args:
        axes: Where to.
        report: The study, in which hospitals trained a model alone.
        most: Hospitals at most: of more, those in the middle are left out, and counted.
    """
    rows, key = _gain_rows(report, most), report.metrics.key_metric
    shown = _ends(rows, most)
    for place, row in enumerate(shown):
        if row is not None:
            _draw_gain(axes, place, row, key)
    axes.axvline(0, color=_FAINT, linewidth=1, zorder=0)
    _style(axes, [None if row is None else row.site for row in shown], len(rows))
    axes.set_xlabel(
        label_text(
            f"Gain in {report.metrics.key_name}{_unit(key)}: right of 0 the federated model is better"
        ),
        fontsize=_SIZE,
    )


def _gain_rows(report: StudyReport, most: int) -> Sequence[GainRow]:
    """The rows; of too many, only those that are compared: the last of them lose."""
    figure = arrange_gains(report, {})
    rows = () if figure is None else figure.rows
    compared = [row for row in rows if row.place is not None]
    return compared if compared and len(rows) > most else rows


def _trust_rows(report: StudyReport, most: int) -> Sequence[TrustRow]:
    """The rows; of too many, those with a flaw first."""
    rows = arrange_trust(report)
    return sorted(rows, key=lambda row: (not row.has_flaw, row.left_out == "0")) if len(rows) > most else rows


def _draw_gain(axes: Any, place: int, row: GainRow, key: Metric) -> None:
    gain = row.gain
    if gain.mean is None:
        _note(axes, place, f"not compared: {gain.why}", _FAINT)
        return
    color = _COLORS[row.standing]
    if gain.low is not None and gain.high is not None:
        axes.plot([gain.low, gain.high], [place, place], color=color, linewidth=3, solid_capstyle="butt")
    face, edge = ("white", color) if row.standing == "unclear" else (color, "white")
    axes.plot(
        [gain.mean],
        [place],
        _MARKS[row.standing],
        markeredgecolor=edge,
        markerfacecolor=face,
        markersize=7,
    )
    word = "too few patients for a conclusion" if gain.why else _WORDS[row.standing]
    interval = (
        ""
        if gain.low is None or gain.high is None
        else f" ({signed(key, gain.low)} to {signed(key, gain.high)})"
    )
    patients = counted(gain.patients, "patient")
    _note(axes, place, f"{word} {signed(key, gain.mean)}{interval}, {patients}", color)


def draw_service(axes: Any, report: StudyReport, most: int) -> None:
    """Draw each hospital's score and the span of its targets, the worst first; see `draw_gain`."""
    figure, key = arrange_service(report), report.metrics.key_metric
    rows = () if figure is None else figure.rows
    shown = _ends(rows, most)
    for place, row in enumerate(shown):
        if row is not None:
            _draw_service(axes, place, row, report)
    if rows:
        axes.axvline(rows[-1].value, color=_FAINT, linewidth=1, linestyle=(0, (3, 3)), zorder=0)
    if (key.low, key.high) == (0, 1):
        axes.set_xlim(0, 1)
    _style(axes, [None if row is None else row.site for row in shown], len(rows))
    line = "; line: worst to best target" if any(row.ends for row in rows) else ""
    name = upper_first(report.metrics.key_name)
    axes.set_xlabel(
        label_text(f"{name}{_unit(key)} on {report.evaluated_on} patients{line}; dashed: best hospital"),
        fontsize=_SIZE,
    )


def _draw_service(axes: Any, place: int, row: ServiceRow, report: StudyReport) -> None:
    key, color = report.metrics.key_metric, LOSS_COLOR if row.is_worst else CASES_COLOR
    targets = target_values(report, report.sites[row.site].global_)
    if targets:
        axes.plot([min(targets), max(targets)], [place, place], color=color, linewidth=1.5)
    axes.plot([row.value], [place], "v" if row.is_worst else "o", color=color, markersize=6)
    text = f"{'worst ' if row.is_worst else ''}{key.text(row.value)}, {counted(row.cases, 'case')}"
    if row.weakest:
        title, metric, value = row.weakest
        text += f"; weakest {title.lower()} {metric.text(value)}"
    _note(axes, place, text, color)


def draw_trust(axes: Any, report: StudyReport, most: int) -> None:
    """Draw each hospital's cases by what they are for, and those left out; see `draw_gain`."""
    rows = _trust_rows(report, most)
    shown = _ends(rows, most)
    styles = (
        {"color": CASES_COLOR},
        {"color": _PALE},
        _framed(CASES_COLOR, None),
        _framed(LOSS_COLOR, "////"),
    )
    for place, row in enumerate(shown):
        if row is None:
            continue
        start = 0.0
        for width, style in zip(row.counts, styles, strict=True):
            if not width:
                continue
            axes.barh(place, width, left=start, height=0.55, **style)
            start += width
        _note(axes, place, _trust_text(row, report), LOSS_COLOR if row.has_flaw else _FAINT)
    axes.set_xlim(left=0)
    _style(axes, [None if row is None else row.site for row in shown], len(rows), integer=True)
    axes.set_xlabel(
        f"Cases: training (dark) / {'validation (pale) / ' if has_validation(report) else ''}"
        f"{report.evaluated_on} (framed) / left out (hatched)",
        fontsize=_SIZE,
    )


def _trust_text(row: TrustRow, report: StudyReport) -> str:
    took, of = row.took_part
    validation = f" / {row.validation}" if has_validation(report) else ""
    training = "withheld" if row.training is None and row.evaluated != NOTHING else row.training or 0
    cases = f"{training}{validation} / {row.evaluated} / {row.left_out}"
    return f"{cases}; rounds {took} of {of}{'; ' if row.remarks else ''}{'; '.join(row.remarks)}"


def _framed(color: str, hatch: str | None) -> dict[str, Any]:
    return {"facecolor": "white", "edgecolor": color, "linewidth": 1.2, "hatch": hatch}


def rows_of(report: StudyReport, most: int) -> dict[str, int]:
    """Return how many rows each drawing has; 0 where there is nothing to draw."""
    service = arrange_service(report)
    return {
        "gain": len(_ends(_gain_rows(report, most), most)),
        "service": 0 if service is None else len(_ends(service.rows, most)),
        "trust": len(_ends(_trust_rows(report, most), most)),
    }


def _ends(rows: Sequence[_Row], most: int) -> list[_Row | None]:
    """The rows, or the first and last of too many, with None between."""
    if len(rows) <= most:
        return list(rows)
    first = most // 2
    return [*rows[:first], None, *rows[len(rows) - (most - first - 1) :]]


def _style(axes: Any, names: Sequence[str | None], rows: int, *, integer: bool = False) -> None:
    axes.set_ylim(max(len(names), 1) - 0.4, -0.6)
    axes.set_yticks(range(len(names)))
    left = f"({rows - len(names) + 1} more)"
    labels = [left if name is None else _short(name, _LONGEST_NAME) for name in names]
    axes.set_yticklabels(labels, fontsize=_SIZE + 0.5, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=integer))
    axes.tick_params(axis="x", labelsize=_SIZE, colors=_FAINT)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LIGHT.faint)
    axes.xaxis.label.set_color(_FAINT)


def _note(axes: Any, place: int, text: str, color: str) -> None:
    axes.text(
        1.03,
        place,
        _short(text, _LONGEST_TEXT),
        transform=axes.get_yaxis_transform(),
        color=color,
        fontsize=_SIZE,
        va="center",
        parse_math=False,
    )


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _unit(metric: Metric) -> str:
    return f", {metric.unit}" if metric.unit else ""
