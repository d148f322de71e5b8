"""Curves of a training: the model's scores and the hospitals' losses, round by round."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from consilium.data.files import private_opener
from consilium.learning.algorithms import withheld_by
from consilium.records.summed_reports import ALL_SITES
from consilium.report.chart_style import Palette, label_text, line_style
from consilium.report.site_combiner import SiteCombiner
from consilium.report.training.study import StudyReport
from consilium.tasks.metrics import Metric

_Points = list[tuple[int, float]]


def draw_curves(report: StudyReport, path: Path, palette: Palette) -> None:
    """Draw the curves as a PNG.

    Args:
        report: The study.
        path: The PNG to write.
        palette: Colors of the page.
    """
    with open(path, "wb", opener=private_opener) as file:
        curves_figure(report, palette).savefig(
            file, dpi=130, facecolor=palette.paper, bbox_inches="tight", metadata={"Software": None}
        )


def curves_figure(report: StudyReport, palette: Palette) -> Figure:
    """Draw what `list_curves` names, a chart each; round 0 is untrained."""
    charts = list_curves(report)
    figure = Figure(figsize=(12.4 / 3 * len(charts), 4.4), facecolor=palette.paper)
    FigureCanvasAgg(figure)
    left, right = 0.09 / len(charts), 1 - 0.015 / len(charts)
    figure.subplots_adjust(left=left, right=right, top=0.93, bottom=0.33, wspace=0.14)
    axes = list(figure.subplots(1, len(charts), squeeze=False)[0])
    if shows_losses(report):
        _draw_losses(axes.pop(), report, palette)
    if shows_scores(report):
        metrics, key = report.metrics, report.metrics.key_metric
        _draw_targets(axes[0], report, palette)
        for place, site in enumerate(report.sites if len(axes) > 1 else ()):
            _draw(axes[1], mean_by_round(report, [site], key.name), line_style(place), site)
        combined = f"{key.label}, {'mean over' if key.combines == 'mean' else 'all'} hospitals"
        by_hospital = f"{metrics.key_name[:1].upper()}{metrics.key_name[1:]} by hospital"
        for one, title in zip(axes, (combined, by_hospital), strict=False):
            _set_range(one, key)
            _style_axes(one, title, palette, len(report.rounds))
    return figure


def list_curves(report: StudyReport) -> tuple[str, ...]:
    """Return the charts that have something to show, in words; none where the algorithm withholds all."""
    key = report.metrics.key_metric.title
    scores: tuple[str, ...] = ()
    if shows_scores(report):
        summed = withheld_by(report.settings.get("algorithm")).summed
        scores = (f"{key} of all hospitals", *(() if summed else (f"{key} by hospital",)))
    return (*scores, "training loss by hospital") if shows_losses(report) else scores


def explain_missing_curves(report: StudyReport) -> str:
    """Return in a sentence what has no chart, and why; empty where nothing is missing.

    Args:
        report: The study.
    """
    withheld = withheld_by(report.settings.get("algorithm"))
    if not withheld.kinds:
        return ""
    return (
        f"There {'are no charts' if not list_curves(report) else 'is no chart'} of "
        f"{' and '.join(withheld.kinds)}: the algorithm of this job, {withheld.algorithm}, withholds them."
    )


def shows_scores(report: StudyReport) -> bool:
    """Return whether rounds can have scores: not where the algorithm withholds them.

    Args:
        report: The study.
    """
    return not withheld_by(report.settings.get("algorithm")).chooses_nothing


def shows_losses(report: StudyReport) -> bool:
    """Return whether rounds can have losses; see `shows_scores`.

    Args:
        report: The study.
    """
    return not withheld_by(report.settings.get("algorithm")).losses


def _draw_losses(axes: Any, report: StudyReport, palette: Palette) -> None:
    for place, site in enumerate(report.sites):
        _draw(axes, losses_by_round(report, site), line_style(place), site)
    _style_axes(axes, "Training loss by hospital", palette, len(report.rounds))
    axes.set_ylim(bottom=0)


def _draw_targets(axes: Any, report: StudyReport, palette: Palette) -> None:
    sites = report.compared_sites
    metrics, key = report.metrics, report.metrics.key_metric
    parts = [one for one in metrics.shown[key.title] if one.target]
    for place, one in enumerate(parts):
        style = line_style(place) | {"color": palette.targets[place % len(palette.targets)]}
        _draw(axes, mean_by_round(report, sites, one.name), style, metrics.targets[one.target or ""])
    mean_style = {"color": palette.ink, "marker": "o", "linewidth": 2.4, "markersize": 4}
    _draw(axes, mean_by_round(report, sites, key.name), mean_style, "Mean" if parts else key.title)
    for scores, dashes, label in (
        (report.summary.local, (0, (1, 1.5)), "Local-only, mean"),
        (report.summary.pooled, (0, (5, 3)), "Pooled, mean"),
    ):
        if scores is not None and key.name in scores:
            axes.axhline(scores[key.name], color=palette.faint, linestyle=dashes, linewidth=1.6, label=label)


def mean_by_round(report: StudyReport, sites: Sequence[str], score: str) -> _Points:
    """Return a metric of the sites together, for each round whose model all of them evaluated.

    Args:
        report: The study.
        sites: Over which.
        score: The metric's name.

    Returns:
        Rounds and values; round 0 is the untrained model.
    """
    evaluated = {0: report.initial_scores}
    for one in report.rounds:
        evaluated[one.number] = {site: part.scores for site, part in one.sites.items() if part.scores}
        if one.scores and report.compared_sites == [ALL_SITES]:
            evaluated[one.number][ALL_SITES] = one.scores
    combiner = SiteCombiner(report.task, report.metrics)
    combined = [(number, combiner.over(sites, rows)) for number, rows in evaluated.items()]
    return [(number, scores[score]) for number, scores in combined if scores is not None and score in scores]


def _set_range(axes: Any, metric: Metric) -> None:
    """Show the whole range of values between 0 and 1, and of others the range that occurs."""
    if metric.low >= 0 and metric.high <= 1:
        axes.set_ylim(metric.low, metric.high)
    elif metric.low >= 0:
        axes.set_ylim(bottom=metric.low)


def losses_by_round(report: StudyReport, site: str) -> _Points:
    """Return a hospital's training loss, by round."""
    parts = [(one.number, one.sites[site]) for one in report.rounds if site in one.sites]
    return [(number, part.loss) for number, part in parts if part.loss is not None]


def _draw(axes: Any, points: _Points, style: dict[str, Any], label: str) -> None:
    if points:
        axes.plot(*zip(*points, strict=True), label=label_text(label), **style)


def _style_axes(axes: Any, title: str, palette: Palette, rounds: int) -> None:
    axes.set_facecolor(palette.paper)
    axes.set_title(label_text(title), color=palette.ink, fontsize=12, loc="left")
    axes.set_xlabel("Round", color=palette.ink)
    axes.set_xlim(-0.2, rounds + 0.2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(colors=palette.ink, labelsize=9)
    axes.grid(axis="y", color=palette.faint, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(palette.faint)
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        place = {
            "loc": "upper left",
            "bbox_to_anchor": (-0.02, -0.16),
            "ncols": 2 if len(handles) <= 6 else 4,
        }
        axes.legend(
            handles, labels, **place, frameon=False, labelcolor=palette.ink, fontsize=9, columnspacing=1.4
        )
    else:
        axes.text(0.5, 0.5, "nothing recorded", transform=axes.transAxes, color=palette.faint, ha="center")
