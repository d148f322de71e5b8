"""What a segmentation is judged by: Dice and HD95 per region, and their means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from consilium.tasks.segmentation.regions import Region

HD95_WHEN_ONE_IS_EMPTY_MM = 374.0
"""Distance scored when only one of prediction and reference is empty: about the diagonal of a 240x240x155 mm
volume, the value that BraTS uses since 2020."""

LONGEST_HD95_MM: Final = 1000.0
"""No two points of an image lie further apart: about twice the diagonal of a head's volume."""

Scores = dict[str, float]


class ScoreRange(NamedTuple):
    """The values that a score can have, both ends included."""

    low: float
    high: float


def score_ranges(regions: Sequence[Region], *, distances: bool) -> dict[str, ScoreRange]:
    """Return exactly the scores that `summarize` makes of a task's cases, each with its range.

    Args:
        regions: The task's regions.
        distances: Whether HD95 was computed as well, in mm.
    """
    kinds = {"dice": ScoreRange(0.0, 1.0)}
    if distances:
        kinds["hd95"] = ScoreRange(0.0, LONGEST_HD95_MM)
    suffixes = ("", *(f"_{region.name}" for region in regions))
    return {f"{kind}{suffix}": span for kind, span in kinds.items() for suffix in suffixes}


def summarize(cases: Iterable[Mapping[str, float]]) -> Scores:
    """Average over cases, then over regions.

    Returns:
        The mean of each score, plus `dice` and `hd95`: the means over the regions. Empty when there are no
        cases.
    """
    rows = list(cases)
    if not rows:
        return {}
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    for score in ("dice", "hd95"):
        values = [value for name, value in means.items() if name.startswith(f"{score}_")]
        if values:
            means[score] = float(np.mean(values))
    return means
