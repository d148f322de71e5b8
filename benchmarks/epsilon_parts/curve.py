"""Figure: Dice against epsilon, a curve for each start and each set of trained weights."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from matplotlib.figure import Figure

from consilium.report.chart_style import LIGHT, line_style
from consilium.report.training.paper_figures import to_svg
from epsilon_parts.grid import EPSILONS
from epsilon_parts.results import COLUMNS, Run

_INCHES = (7.2, 3.6)
_SHIFT = 0.06
"""Between curves, so that ranges over seeds don't cover each other."""


def draw(runs: Sequence[Run]) -> str:
    """Draw means with ranges over seeds, as SVG.

    Args:
        runs: Of some or all ways and seeds.
    """
    figure = Figure(figsize=_INCHES)
    axes = figure.subplots()
    for place, (column, title) in enumerate(COLUMNS.items()):
        of_curve = [one for one in runs if (one.way.start, one.way.trainable) == column]
        style, shift = line_style(place), _SHIFT * (place - 1.5)
        points = [(x + shift, _dice(of_curve, "dp_sgd", epsilon)) for x, epsilon in enumerate(EPSILONS)]
        if any(values for _, values in points):
            # A line ends where nothing was measured.
            means = [statistics.fmean(values) if values else math.nan for _, values in points]
            axes.plot([x for x, _ in points], means, label=title, **style)
        points = [(x, values) for x, values in points if values]
        for x, values in points:
            axes.plot([x, x], [min(values), max(values)], color=style["color"], linewidth=1)
    _frame(axes, runs)
    labels = ["infinite" if math.isinf(one) else f"{one:g}" for one in EPSILONS]
    axes.set_xticks(range(len(EPSILONS)), labels=labels)
    axes.set_xlabel("epsilon of the whole job, for each patient")
    axes.set_ylabel("mean Dice of held-out patients")
    axes.set_ylim(0, 1)
    axes.grid(axis="y", color=LIGHT.faint, alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return to_svg(
        figure, "Dice against epsilon, mean and range over seeds, with and without a pretrained start"
    )


def _frame(axes: object, runs: Sequence[Run]) -> None:
    """Draw what doesn't depend on epsilon, as horizontal lines."""
    lines = (
        ("fedavg", "pretrained", "federated averaging, pretrained", "-", 0),
        ("fedavg", "scratch", "federated averaging, from scratch", "-", 2),
        ("untrained", "pretrained", "pretrained model as it is", ":", 0),
    )
    for method, start, title, dashes, color in lines:
        if values := _dice([one for one in runs if one.way.start == start], method, math.inf):
            axes.axhline(  # type: ignore[attr-defined]
                statistics.fmean(values),
                linestyle=dashes,
                linewidth=1,
                color=line_style(color)["color"],
                label=title,
            )


def _dice(runs: Sequence[Run], method: str, epsilon: float) -> list[float]:
    return [one.dice for one in runs if one.way.method == method and one.way.epsilon == epsilon]
