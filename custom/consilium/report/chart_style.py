"""Styles that all charts share: the colors of a page, the lines of hospitals, names in legends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from consilium.tasks.presentation import TARGET_COLORS

_COLORS = ("#2f8fd0", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f")
"""Okabe and Ito's, for color-blind readers; markers distinguish lines of the same color."""

_MARKERS = "osD^vPX*"


@dataclass(frozen=True)
class Palette:
    """Colors of the page that the curves stand on; targets have the hues of the patients' pictures."""

    paper: str
    ink: str
    faint: str
    targets: tuple[str, ...]


LIGHT = Palette(paper="#ffffff", ink="#1d2329", faint="#8b949e", targets=("#d18b00", "#0f9f86", "#e0315f"))
DARK = Palette(paper="#191e24", ink="#e6e9ec", faint="#7d8791", targets=TARGET_COLORS)


def line_style(place: int) -> dict[str, Any]:
    """Return color and marker of a hospital, by its place among all."""
    marker = _MARKERS[place // len(_COLORS) % len(_MARKERS)]
    return {"color": _COLORS[place % len(_COLORS)], "marker": marker, "linewidth": 1.5, "markersize": 3.5}


def label_text(name: str) -> str:
    """Return a text for a chart, in which $...$ is mathematics and a leading underscore hides a legend."""
    return name.replace("$", r"\$").lstrip("_")
