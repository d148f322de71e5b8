"""Axis of a figure: places of values in percent of its width, and round ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_MARGIN_PERCENT: Final = 6.0
_STEPS: Final = (1, 2, 5)


@dataclass(frozen=True)
class Tick:
    """A value of the axis and its place."""

    value: float
    place: float


@dataclass(frozen=True)
class Axis:
    """A linear axis from its lowest to its highest value, with a margin at both sides."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Sequence[float], low: float | None = None, high: float | None = None) -> Axis:
        """Return the axis that holds all values, and `low` and `high` where they are given.

        Example:
            >>> Axis.around([0.2, 0.7], low=0.0)
            Axis(low=0.0, high=0.7)
        """
        all_values = [*values, *(bound for bound in (low, high) if bound is not None)]
        least, most = min(all_values), max(all_values)
        return cls(least, most) if most > least else cls(least - 0.5, most + 0.5)

    def place(self, value: float) -> float:
        """Return where a value is, in percent of the width."""
        share = (value - self.low) / (self.high - self.low)
        return round(_MARGIN_PERCENT + share * (100 - 2 * _MARGIN_PERCENT), 2)

    def ticks(self) -> tuple[Tick, ...]:
        """Return two to six round values, zero among them where it is on the axis."""
        step = _round_step((self.high - self.low) / 5)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return tuple(Tick(number * step, self.place(number * step)) for number in range(first, last + 1))


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next((step * power for step in _STEPS if step * power >= least * (1 - 1e-9)), 10 * power)
