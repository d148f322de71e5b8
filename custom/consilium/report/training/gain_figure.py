"""Figure of the hospitals' gains with their intervals, sorted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from consilium.report.training.axis import Axis, Tick
from consilium.report.training.gains import FEW_PATIENTS, NOT_COMPARED, interval_or_range
from consilium.report.training.study import GainSummary, Standing, StudyReport

_SMALLEST_SPAN: Final = 0.01
"""Of the axis, to either side of zero: differences smaller than that are not blown up."""


@dataclass(frozen=True)
class GainRow:
    """One hospital; places are percent of the figure's width.

    Attributes:
        site: Its name.
        standing: See `Standing`.
        gain: Its numbers.
        training: Cases that its own model was trained on; None where their number is unknown.
        place: Where its mean is; None for a hospital that is not compared.
        ends: Where its interval starts and ends.
        is_range: Whether this is the range of few patients and no interval.
        dots: Where its patients are; empty in a report that leaves the hospitals.
        is_few: Whether it has so few patients that all of this means little.
    """

    site: str
    standing: Standing
    gain: GainSummary
    training: int | None = None
    place: float | None = None
    ends: tuple[float, float] | None = None
    is_range: bool = False
    dots: tuple[float, ...] = ()
    is_few: bool = False


@dataclass(frozen=True)
class GainFigure:
    """The rows, the largest gain first and hospitals that are not compared last, and the axis below."""

    rows: tuple[GainRow, ...]
    ticks: tuple[Tick, ...]
    zero: float
    has_dots: bool


def arrange_gains(report: StudyReport, patients: Mapping[str, Sequence[float]]) -> GainFigure | None:
    """Arrange the figure; None where no hospital trained a model alone.

    Args:
        report: The study.
        patients: What single patients gain, by hospital: only for a page that stays where they are.
    """
    gains = {site: one.gain for site, one in report.sites.items() if one.gain}
    if not gains:
        return None
    compared = sorted(
        (site for site, gain in gains.items() if gain.mean is not None),
        key=lambda site: (-(gains[site].mean or 0.0), site),
    )
    values = [value for site in compared for value in _values(gains[site], patients.get(site, ()))]
    axis = Axis.around(values, -_SMALLEST_SPAN, _SMALLEST_SPAN)
    rows = [
        _row(site, gains[site], report.sites[site].train_cases, patients.get(site, ()), axis)
        for site in compared
    ]
    rows += [GainRow(site, NOT_COMPARED, gain) for site, gain in sorted(gains.items()) if gain.mean is None]
    return GainFigure(
        rows=tuple(rows),
        ticks=axis.ticks() if compared else (),
        zero=axis.place(0.0),
        has_dots=any(row.dots for row in rows),
    )


def _values(gain: GainSummary, patients: Sequence[float]) -> list[float]:
    ends = (gain.mean, gain.low, gain.high)
    return [*(value for value in ends if value is not None), *patients]


def _row(
    site: str, gain: GainSummary, training: int | None, patients: Sequence[float], axis: Axis
) -> GainRow:
    ends = interval_or_range(gain.low, gain.high, patients)
    return GainRow(
        site=site,
        standing=gain.standing,
        gain=gain,
        training=training,
        place=None if gain.mean is None else axis.place(gain.mean),
        ends=None if ends is None else (axis.place(ends[0]), axis.place(ends[1])),
        is_range=ends is not None and gain.low is None,
        dots=tuple(axis.place(value) for value in sorted(patients)),
        is_few=gain.patients is not None and gain.patients < FEW_PATIENTS,
    )
