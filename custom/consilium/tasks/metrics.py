"""What a segmentation is judged by: Dice and HD95 per region, and their means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

HD95_WHEN_ONE_IS_EMPTY_MM = 374.0
"""Distance scored when only one of prediction and reference is empty: about the diagonal of a 240x240x155 mm
volume, the value that BraTS uses since 2020."""

Scores = dict[str, float]


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
