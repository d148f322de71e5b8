"""Charts of the hospitals' histograms."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from consilium.records.statistics import FeatureRecord
from consilium.report.chart_style import Palette, label_text, line_style

_MARGIN = 0.1
"""Of the range, at both ends: the outermost bins also hold values beyond the range."""


def draw_spreads(features: Sequence[FeatureRecord], sites: Sequence[str], palette: Palette) -> bytes:
    """Draw over which values patients are spread, one panel a feature, one line a hospital; returns a PNG."""
    figure, axes = _figure(len(features), palette)
    for one, feature in zip(axes, features, strict=True):
        for site, bins in feature.reported.items():
            centers = feature.centers(len(bins))
            one.plot(centers, bins / bins.sum() / (centers[1] - centers[0]), **_style(sites, site))
        _style_axes(one, feature.title, _with_unit(feature.group.title, feature), palette)
        margin = _MARGIN * (feature.high - feature.low)
        one.set_xlim(feature.low + margin, feature.high - margin)
        one.set_ylim(bottom=0)
    return _finish(figure, axes, palette)


def draw_amounts(features: Sequence[FeatureRecord], sites: Sequence[str], palette: Palette) -> bytes:
    """Draw the share of patients with up to so much, one panel a feature; returns a PNG."""
    figure, axes = _figure(len(features), palette)
    for one, feature in zip(axes, features, strict=True):
        reach = feature.low
        for site, bins in feature.reported.items():
            edges = np.linspace(feature.low, feature.high, len(bins) + 1)
            share = np.concatenate([[0.0], np.cumsum(bins) / bins.sum()])
            reach = max(reach, float(edges[np.argmax(share >= 1 - 1e-9)]))
            one.plot(edges, share, **_style(sites, site))
        _style_axes(one, feature.title, _with_unit(f"{feature.group.title} up to", feature), palette)
        width = reach - feature.low or feature.high - feature.low
        one.set_xlim(feature.low, feature.low + width * 1.1)
        one.set_ylim(0, 1.03)
    return _finish(figure, axes, palette)


def _with_unit(text: str, feature: FeatureRecord) -> str:
    return f"{text}, {feature.group.unit}" if feature.group.unit else text


def _figure(panels: int, palette: Palette) -> tuple[Figure, list[Any]]:
    figure = Figure(figsize=(12.4, 3.6), facecolor=palette.paper)
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    figure.subplots_adjust(left=0.03, right=0.995, top=0.9, bottom=0.26, wspace=0.16)
    return figure, axes


def _style(sites: Sequence[str], site: str) -> dict[str, Any]:
    place = sites.index(site)
    # Few markers: they distinguish lines of the same color, and would hide these curves.
    return {**line_style(place), "markevery": (3 * place % 10, 10), "label": label_text(site)}


def _style_axes(axes: Any, title: str, below: str, palette: Palette) -> None:
    axes.set_facecolor(palette.paper)
    axes.set_title(label_text(title), color=palette.ink, fontsize=12, loc="left")
    axes.set_xlabel(label_text(below), color=palette.ink, fontsize=9)
    axes.tick_params(colors=palette.ink, labelsize=9)
    axes.grid(axis="y", color=palette.faint, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(palette.faint)


def _finish(figure: Figure, axes: Sequence[Any], palette: Palette) -> bytes:
    found = {
        label: handle for one in axes for handle, label in zip(*one.get_legend_handles_labels(), strict=True)
    }
    if found:
        figure.legend(
            found.values(), found.keys(), loc="lower left", bbox_to_anchor=(0.02, 0.02), ncols=6,
            frameon=False, labelcolor=palette.ink, fontsize=9,
        )  # fmt: skip
    else:
        axes[0].text(0.5, 0.5, "no data", transform=axes[0].transAxes, color=palette.faint, ha="center")
    content = BytesIO()
    figure.savefig(
        content, dpi=130, facecolor=palette.paper, bbox_inches="tight", metadata={"Software": None}
    )
    return content.getvalue()
