"""Summaries of patients' scores that a site may send: means with intervals, and histograms in public bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from consilium.learning.bootstrap import interval_of_mean
from consilium.tasks.histograms import Histogram, MetricBins


@dataclass(frozen=True, slots=True)
class PatientSummary:
    """One score over a site's patients.

    Attributes:
        mean: Over patients.
        interval: 95 % interval of the mean, by bootstrap over patients; None where there are too few for one.
        histogram: Each bin is empty, or holds at least the minimum of patients.
    """

    mean: float
    interval: tuple[float, float] | None
    histogram: Histogram


def summarize_patients(
    rows: Sequence[Mapping[str, float]],
    patients: Sequence[str],
    bins: Mapping[str, MetricBins],
    *,
    minimum: int,
) -> dict[str, PatientSummary]:
    """Summarize scores over patients, each of whom counts once, however many cases there are of them.

    Args:
        rows: The scores of each case, each with all that have bins.
        patients: Whose case each row is.
        bins: The public bins of each score that is summarized.
        minimum: Fewest patients that a number may be about.

    Returns:
        A summary by score; empty where there are fewer patients than the minimum.

    Example:
        >>> rows = [{"accuracy": value} for value in (0.7, 0.8, 0.9, 0.8, 0.8)]
        >>> bins = {"accuracy": MetricBins((0, 0.5, 1))}
        >>> summary = summarize_patients(rows, list("abcde"), bins, minimum=5)["accuracy"]
        >>> round(summary.mean, 3), summary.histogram.counts
        (0.8, (0, 5))
    """
    names, counted = list(bins), sorted(set(patients))
    if len(counted) < max(1, minimum):
        return {}
    table = average_by_patient(rows, patients, names)
    interval = interval_of_mean(table, counted)
    return {
        name: PatientSummary(
            mean=float(table[:, column].mean()),
            interval=interval and (float(interval[0][column]), float(interval[1][column])),
            histogram=bins[name].count(table[:, column]).coarsen(minimum),
        )
        for column, name in enumerate(names)
    }


def average_by_patient(
    rows: Sequence[Mapping[str, float]], patients: Sequence[str], names: Sequence[str]
) -> NDArray[np.float64]:
    """Average the scores of each patient's cases.

    Args:
        rows: The scores of each case.
        patients: Whose case each row is.
        names: The scores.

    Returns:
        `(patients, names)`, the patients sorted by name.

    Example:
        >>> average_by_patient([{"kappa": 0.5}, {"kappa": 1.0}, {"kappa": 0.2}], ["b", "b", "a"], ["kappa"])
        array([[0.2 ],
               [0.75]])
    """
    values = np.array([[row[name] for name in names] for row in rows], dtype=np.float64)
    owners = np.array(patients)
    return np.array([values[owners == one].mean(axis=0) for one in sorted(set(patients))])
