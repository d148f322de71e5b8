"""Intervals for means over patients, by bootstrap."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

FEWEST_PATIENTS: Final = 5
"""With fewer patients there is no interval. The mean of a resample is then one patient's value so often that
the bounds would be single patients' values, and no bounds within the values of four patients hold their mean
in 95 of 100 studies."""

_RESAMPLES: Final = 10_000
_COSTLY_RESAMPLES: Final = 2_000
_CONFIDENCE: Final = 0.95
_SEED: Final = 0
_ENTRIES_AT_ONCE: Final = 2_000_000


def interval_of_mean(
    values: NDArray[np.float64], patients: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return a 95 % interval for the mean of each column of values.

    Patients are drawn with replacement, each with all of its cases, as two examinations of one patient are
    not two patients; the same draws serve all columns. The bounds are percentiles of the means, chosen so
    that they are as far apart as Student's t would have them for so few patients: plain 2.5 and 97.5 % are
    too narrow then (Hesterberg 2015, doi 10.1080/00031305.2015.1089789). The draws are seeded: the same
    values always have the same interval.

    Args:
        values: One row for each case, `(N, K)`; differences of two models' scores make it a paired interval.
        patients: Whose case each row is, N of them.

    Returns:
        The lower and upper bounds, `(K,)` each, on either side of the mean; None for fewer than
        `FEWEST_PATIENTS` patients.

    Example:
        >>> low, high = interval_of_mean(np.array([[0.1], [0.2], [0.0], [0.1], [0.1]]), list("abcde"))
        >>> bool(low[0] < 0.1 < high[0])
        True
    """
    sums, cases = _sum_by_patient(values, patients)
    if len(cases) < FEWEST_PATIENTS:
        return None
    mean = sums.sum(axis=0) / cases.sum()
    means = np.concatenate([draws @ sums / (draws @ cases)[:, None] for draws in _draw(len(cases))])
    tail = _tail(len(cases))
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return np.minimum(low, mean), np.maximum(high, mean)


def interval_of_statistic(
    values: NDArray[np.float64],
    patients: Sequence[str],
    statistic: Callable[[NDArray[np.float64]], float],
) -> tuple[float, float] | None:
    """Return a 95 % interval for a statistic of sums over cases, such as kappa.

    See `interval_of_mean` for the draws.

    Args:
        values: One row for each case, `(N, K)`.
        patients: Whose case each row is, N of them.
        statistic: Computes it from the K sums over the cases of resampled patients.

    Returns:
        The lower and upper bound, on either side of the statistic of all cases; None for fewer than
        `FEWEST_PATIENTS` patients.
    """
    sums, cases = _sum_by_patient(values, patients)
    if len(cases) < FEWEST_PATIENTS:
        return None
    found = [statistic(row) for draws in _draw(len(cases), _COSTLY_RESAMPLES) for row in draws @ sums]
    tail, whole = _tail(len(cases)), statistic(sums.sum(axis=0))
    low, high = np.quantile(found, [tail, 1 - tail])
    return min(float(low), whole), max(float(high), whole)


def _sum_by_patient(
    values: NDArray[np.float64], patients: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sums over each patient's cases, `(patients, K)`, and the number of these cases."""
    names, owner = np.unique(np.asarray(patients, dtype=object).astype(str), return_inverse=True)
    sums, cases = np.zeros((len(names), values.shape[1])), np.bincount(owner, minlength=len(names))
    np.add.at(sums, owner, values)
    return sums, cases


def _tail(count: int) -> float:
    """Share of resamples beyond a bound, for so many patients."""
    from scipy.special import ndtr, stdtrit  # most processes that read records compute no interval

    quantile = stdtrit(count - 1, (1 + _CONFIDENCE) / 2)
    return float(ndtr(-math.sqrt(count / (count - 1)) * quantile))


def _draw(count: int, resamples: int = _RESAMPLES) -> Iterator[NDArray[np.float64]]:
    """How often each patient is drawn: `(resamples, count)`, in parts."""
    random = np.random.default_rng(_SEED)
    at_once = max(1, _ENTRIES_AT_ONCE // count)
    for start in range(0, resamples, at_once):
        yield random.multinomial(
            count, np.full(count, 1 / count), size=min(at_once, resamples - start)
        ).astype(np.float64)
