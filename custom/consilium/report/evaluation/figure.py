"""Figure of an evaluation: each case's score in the key metric, with mean and interval over patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from consilium.report.chart_style import Palette
from consilium.report.evaluation.rows import MeasureRow

_SPREAD = 0.26
"""Height over which the dots of one line are spread, so that equal scores stay visible."""


def draw_scores(
    rows: Mapping[str, MeasureRow], cases: Sequence[Mapping[str, float]], palette: Palette
) -> bytes:
    """Draw a line for each target: a dot a case, and mean and interval beneath; returns a PNG.

    Args:
        rows: Titles of targets to one and the same measure of each; at least one.
        cases: The scores of each case.
        palette: Colors of the page.
    """
    figure = Figure(figsize=(12.4, 0.9 + 0.62 * len(rows)), facecolor=palette.paper)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_facecolor(palette.paper)
    spread = np.random.default_rng(0).uniform(-_SPREAD, _SPREAD, len(cases)) / 2  # the same in every drawing
    for place, row in enumerate(rows.values()):
        scores = [one[row.measure.name] for one in cases]
        axes.scatter(scores, place - 0.12 + spread, s=22, color=palette.faint, alpha=0.7, linewidths=0)
        if row.summary.interval is not None:
            axes.plot(row.summary.interval, [place + 0.22] * 2, color=palette.ink, linewidth=2.5)
        axes.plot([row.summary.mean], [place + 0.22], marker="D", color=palette.ink, markersize=6)
    axes.set_yticks(range(len(rows)), labels=list(rows))
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.set_xlabel(next(iter(rows.values())).measure.label, color=palette.ink, fontsize=9)
    axes.tick_params(colors=palette.ink, labelsize=10, length=0)
    axes.grid(axis="x", color=palette.faint, alpha=0.25)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(palette.faint)
    content = BytesIO()
    figure.savefig(
        content, dpi=130, facecolor=palette.paper, bbox_inches="tight", metadata={"Software": None}
    )
    return content.getvalue()
