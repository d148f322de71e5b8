"""Figure of an evaluation of models: each model at each hospital as a dot with its interval."""

from __future__ import annotations

from matplotlib.figure import Figure

from consilium.report.chart_style import LIGHT, label_text, line_style
from consilium.report.models.summary import MatrixOfSites
from consilium.report.training.paper_figures import to_svg

MOST_SITES = 60
"""Rows that a figure has room for; the tables have the others."""

_WIDTH_INCHES = 7.2
_ROW_INCHES = 0.16
_SPREAD = 0.7
"""Share of a hospital's height over which its models are spread."""


def draw_models(matrix: MatrixOfSites) -> str | None:
    """Draw one measure of every model at every hospital, as SVG; None without any score.

    Args:
        matrix: The measure.
    """
    sites = {site: row for site, row in matrix.sites.items() if any(row.values())}
    models = list(matrix.means)
    if not sites:
        return None
    shown = dict(list(sites.items())[:MOST_SITES])
    height = len(shown) * (len(models) + 1) * _ROW_INCHES + 1.0
    figure = Figure(figsize=(_WIDTH_INCHES, height))
    axes = figure.subplots()
    for place, model in enumerate(models):
        style = line_style(place)
        color, marker = style["color"], style["marker"]
        offset = _SPREAD * ((place + 0.5) / len(models) - 0.5)
        scores = {row: one for row, site in enumerate(shown) if (one := shown[site].get(model)) is not None}
        for row, score in scores.items():
            if score.interval is not None:
                axes.plot(score.interval, [row + offset] * 2, color=color, linewidth=1.5)
        means = [one.mean for one in scores.values()]
        rows = [row + offset for row in scores]
        axes.plot(means, rows, marker, color=color, markersize=5, label=label_text(model))
    axes.set_yticks(range(len(shown)), labels=[label_text(site) for site in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlabel(f"{matrix.measure.label}, {matrix.title}")
    axes.grid(axis="x", color=LIGHT.faint, alpha=0.3)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=min(len(models), 4), frameon=False)
    text = f"{matrix.measure.title} of each model at each hospital, with 95 % intervals over patients"
    return to_svg(figure, text)
