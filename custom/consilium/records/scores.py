"""The scores that a site says it measured: all of a task's, each within its range, or none."""

from __future__ import annotations

from collections.abc import Mapping

from consilium.counts import counted
from consilium.tasks.segmentation.metrics import ScoreRange, Scores


def read_scores(said: Mapping[str, object], ranges: Mapping[str, ScoreRange]) -> Scores:
    """Return what a site says as scores.

    A site may keep its scores to itself: no score at all is in order. Some of them are not, as means and
    comparisons are over sites that have the same.

    Args:
        said: By name.
        ranges: The task's scores; see `score_ranges`.

    Returns:
        All scores of `ranges`, in its order, or none.

    Raises:
        ValueError: If a score is missing, unknown, no number, or out of its range. The message holds no text
            of the site's.

    Example:
        >>> read_scores({"dice": 0.5}, {"dice": ScoreRange(0, 1)})
        {'dice': 0.5}
        >>> read_scores({}, {"dice": ScoreRange(0, 1)})
        {}
    """
    if not said:
        return {}
    missing, unknown = ranges.keys() - said.keys(), said.keys() - ranges.keys()
    if missing or unknown:
        raise ValueError(
            f"{len(missing)} of {counted(len(ranges), 'score')} are missing and {len(unknown)} are unknown"
        )
    return {name: _read_score(name, said[name], span) for name, span in ranges.items()}


def _read_score(name: str, value: object, span: ScoreRange) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is no number")
    if not span.low <= value <= span.high:  # NaN is not, either
        shown = f"{value:.6g}" if isinstance(value, float) else "too large"
        raise ValueError(f"{name} is {shown}; it lies between {span.low:g} and {span.high:g}")
    return float(value)
