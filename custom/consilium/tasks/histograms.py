"""Histograms of a metric over patients in public bins, with bounds on mean and quantiles.

The bins of a metric are fixed and the same everywhere, so that a site sends how many of its patients lie in
each, and no patient's value. Mean and quantiles follow from the counts up to the width of the bins, and the
error is stated with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Row = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Enclosure:
    """Bounds of a value, above and below.

    Attributes:
        low: The lower one.
        high: The upper one.
    """

    low: float
    high: float

    @property
    def middle(self) -> float:
        """The value that is wrong by `error` at most."""
        return (self.low + self.high) / 2

    @property
    def error(self) -> float:
        """Half of the distance between the bounds."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Histogram:
    """How many values lie in each bin.

    A value on an edge belongs to the bin that starts there; the last bin has both of its edges.

    Attributes:
        edges: Where the bins start, and where the last one ends.
        counts: One a bin.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.edges) != len(self.counts) + 1 or any(count < 0 for count in self.counts):
            raise ValueError(
                f"number of edges {len(self.edges)}, of counts {len(self.counts)}: need one edge more, "
                "and no count below 0"
            )

    @property
    def total(self) -> int:
        """How many values there are."""
        return sum(self.counts)

    def coarsen(self, minimum: int) -> Histogram:
        """Join bins until each is empty, or holds at least so many patients.

        The range is halved again and again, as long as no half holds only a few. So the edges that remain
        reveal nothing beyond the counts, whereas bins that grow until they hold enough would end just beyond
        somebody's value. A larger minimum only joins bins further, so the difference of two histograms of the
        same values is never about a few.

        Args:
            minimum: Fewest values in a bin that isn't empty.

        Returns:
            The histogram in fewer bins; all of its counts are 0 where there are fewer values in all.

        Example:
            >>> Histogram((0, 1, 2, 3, 4), (6, 0, 4, 1)).coarsen(5)
            Histogram(edges=(0, 1, 2, 4), counts=(6, 0, 5))
        """
        if self.total < minimum:
            return Histogram(self.edges, (0,) * len(self.counts))
        starts = list(self._starts(0, len(self.counts), minimum))
        ends = [*starts[1:], len(self.counts)]
        return Histogram(
            edges=(*(self.edges[start] for start in starts), self.edges[-1]),
            counts=tuple(sum(self.counts[start:end]) for start, end in zip(starts, ends, strict=True)),
        )

    def _starts(self, start: int, end: int, minimum: int) -> Iterable[int]:
        middle = (start + end) // 2
        halves = [(start, middle), (middle, end)]
        held = [sum(self.counts[first:last]) for first, last in halves]
        if end - start == 1 or not any(held) or any(0 < count < minimum for count in held):
            return [start]
        return [one for first, last in halves for one in self._starts(first, last, minimum)]


@dataclass(frozen=True, slots=True)
class MetricBins:
    """The public bins of a metric.

    Attributes:
        edges: Where the bins start, ascending, and where the last one ends. Values beyond count as the
            nearest edge, so the bounds of mean and quantiles are those of values limited to the edges.

    Raises:
        ValueError: If the edges don't ascend.
    """

    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.edges) < 2 or any(np.diff(self.edges) <= 0):
            raise ValueError(f"the edges of bins ascend; these don't: {self.edges}")

    @classmethod
    def in_steps(cls, *steps: tuple[float, float], start: float = 0.0) -> MetricBins:
        """Make bins of several widths.

        Args:
            steps: Widths of bins, and the ends up to which they are as wide.
            start: Of the first bin.

        Example:
            >>> MetricBins.in_steps((0.5, 1), (2, 5)).edges
            (0.0, 0.5, 1.0, 3.0, 5.0)
        """
        edges = [start]
        for width, end in steps:
            first = edges[-1]
            number = round((end - first) / width)
            edges += [round(first + (end - first) * one / number, 9) for one in range(1, number + 1)]
        return cls(tuple(edges))

    def mirrored(self) -> MetricBins:
        """Return these bins, which start at 0, and the same below 0."""
        return MetricBins((*(-edge for edge in self.edges[:0:-1]), *self.edges))

    def count(self, values: ArrayLike) -> Histogram:
        """Count values, one a patient.

        Args:
            values: `(patients,)`.

        Raises:
            ValueError: If one of them is not a number.

        Example:
            >>> MetricBins((0, 0.5, 1)).count([0.2, 0.5, 1.0]).counts
            (1, 2)
        """
        row = np.asarray(values, dtype=np.float64)
        if np.isnan(row).any():
            raise ValueError("a value that is not a number lies in no bin")
        inside = np.clip(row, self.edges[0], self.edges[-1])
        counts, _ = np.histogram(inside, bins=np.asarray(self.edges, dtype=np.float64))
        return Histogram(self.edges, tuple(int(count) for count in counts))


def enclose_mean(histograms: Sequence[Histogram]) -> Enclosure:
    """Return bounds of the mean over all values of several histograms, such as those of all sites.

    The error is half of the mean width of the bins in which the values lie.

    Raises:
        ValueError: If there are no values.

    Example:
        >>> enclose_mean([MetricBins((0, 0.5, 1)).count([0.2, 0.6])])
        Enclosure(low=0.25, high=0.75)
    """
    lows, highs, counts = _bins(histograms)
    return Enclosure(*(float(np.average(one, weights=counts)) for one in (lows, highs)))


def _bins(histograms: Sequence[Histogram]) -> tuple[Row, Row, Row]:
    """Lower edges, upper edges and counts of the bins that hold values."""
    bins = [
        (low, high, count)
        for one in histograms
        for low, high, count in zip(one.edges, one.edges[1:], one.counts, strict=False)
        if count
    ]
    if not bins:
        raise ValueError("there are no values to compute a mean of")
    lows, highs, counts = np.array(bins, dtype=np.float64).T
    return lows, highs, counts
