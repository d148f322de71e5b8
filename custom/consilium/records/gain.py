"""What a hospital gains: the federation's final model against the one that the hospital trained alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated, Final

import numpy as np
from pydantic import BeforeValidator, Field, model_validator
from typing_extensions import Self

from consilium.learning.bootstrap import interval_of_mean
from consilium.participant.paired_scores import PairedScores
from consilium.records.bounds import MOST_CASES, MOST_ENTRIES, Finite, Record, Word, limit_entries
from consilium.records.scores import read_scores
from consilium.tasks.segmentation.metrics import Scores, score_ranges, summarize
from consilium.tasks.segmentation.regions import Region

_GAINED: Final = "dice"
"""The kind of score that a gain is of: higher is better."""

FEW_AT_A_BOUND: Final = 4
"""Patients who hardly count at a bound of an interval: that of n patients is a mean of about n - 4 of them.

Measured as the effective number of patients, 1 / sum of squared weights, of the resamples at the bound: 1.6
of 5, 4.2 of 8, 5.2 of 9, 8.1 of 12 and 16 of 20. With the mean and the bounds of five, the patient at the end
is known to a hundredth of Dice.
"""

_ROUNDING: Final = 1000
_TOLERANCE: Final = 1e-6

_Difference = Annotated[float, Field(strict=True, ge=-1, le=1)]
_Scores = Annotated[dict[Word, Finite], BeforeValidator(partial(limit_entries, most=MOST_ENTRIES))]


class Gain(Record):
    """By how much a score is higher with the federation's model: a mean over patients, and its interval."""

    mean: _Difference
    low: _Difference | None = Field(
        default=None, description="Lower bound of the 95 % interval; null where it is of too few patients."
    )
    high: _Difference | None = Field(default=None, description="Its upper bound.")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval has two bounds")
        if self.low is not None and self.high is not None and not self.low <= self.mean <= self.high:
            raise ValueError("the mean lies outside of its interval")
        return self


class SiteGain(Record):
    """What one hospital gains; both models are scored on the same validation patients of this hospital."""

    patients: Annotated[int, Field(strict=True, ge=1, le=MOST_CASES)]
    local: _Scores = Field(description="Scores of the model that the hospital trained alone.")
    federated: _Scores = Field(description="Scores of the federation's final model.")
    gains: Annotated[dict[Word, Gain], BeforeValidator(partial(limit_entries, most=MOST_ENTRIES))] = Field(
        description="By Dice score: `dice`, and that of each region, such as `dice_wt`."
    )


def measure_gain(pairs: Sequence[PairedScores], *, min_count: int = 1) -> SiteGain | None:
    """Compare both models of a hospital.

    Args:
        pairs: Their scores, by case.
        min_count: The hospital's: an interval stays there whose bounds are means of fewer patients, see
            `FEW_AT_A_BOUND`. Whether means may leave was decided when the cases were selected.

    Returns:
        The gain; None where there is no case.

    Example:
        >>> pair = PairedScores("a", "a", {"dice_wt": 0.5}, {"dice_wt": 0.75})
        >>> measure_gain([pair]).gains["dice_wt"].mean
        0.25
    """
    if not pairs:
        return None
    patients = [pair.patient for pair in pairs]
    local, federated = summarize(pair.local for pair in pairs), summarize(pair.federated for pair in pairs)
    names = [name for name in local if _is_gained(name)]
    rows = np.array([[_difference(pair, name) for name in names] for pair in pairs])
    behind_bounds = len(set(patients)) - FEW_AT_A_BOUND
    interval = interval_of_mean(rows, patients) if behind_bounds >= min_count else None
    gains = {
        name: Gain(
            mean=federated[name] - local[name],
            # Outwards: the bounds of few patients would tell more digits of them than anybody needs.
            low=None if interval is None else max(math.floor(interval[0][place] * _ROUNDING) / _ROUNDING, -1),
            high=None if interval is None else min(math.ceil(interval[1][place] * _ROUNDING) / _ROUNDING, 1),
        )
        for place, name in enumerate(names)
    }
    return SiteGain(patients=len(set(patients)), local=local, federated=federated, gains=gains)


def patient_gains(pairs: Iterable[PairedScores]) -> list[float]:
    """Return how much higher each patient's mean Dice is with the federation's model, in ascending order.

    Each is one patient's value: they are for the hospital's own people.
    """
    by_patient: dict[str, list[PairedScores]] = {}
    for pair in pairs:
        by_patient.setdefault(pair.patient, []).append(pair)
    return sorted(
        float(np.mean([_difference(pair, _GAINED) for pair in cases])) for cases in by_patient.values()
    )


def check_gain(gain: SiteGain, regions: Sequence[Region], cases: int | None) -> None:
    """Check what a site says it gains, beyond the bounds of each number.

    Args:
        gain: As it said.
        regions: The task's.
        cases: Cases that it evaluates models on, as it says; None where their number stays there.

    Raises:
        ValueError: If a score or gain is missing, unknown or out of its range, they don't fit each other, or
            are of more patients than cases. The message holds no text of the site's.
    """
    ranges = score_ranges(regions, distances=True)
    local, federated = read_scores(gain.local, ranges), read_scores(gain.federated, ranges)
    names = {name for name in ranges if _is_gained(name)}
    if not local or not federated or gain.gains.keys() != names:
        raise ValueError("scores or gains are missing or unknown")
    for name in sorted(names):
        if abs(federated[name] - local[name] - gain.gains[name].mean) > _TOLERANCE:
            raise ValueError(f"the gain of {name} is not the difference of its scores")
    if cases is None or gain.patients > cases:
        raise ValueError("the gain is of more patients than models are evaluated on")


def _is_gained(name: str) -> bool:
    return name == _GAINED or name.startswith(f"{_GAINED}_")


def _difference(pair: PairedScores, name: str) -> float:
    local, federated = _with_mean(pair.local), _with_mean(pair.federated)
    return federated[name] - local[name]


def _with_mean(scores: Mapping[str, float]) -> Scores:
    return summarize([scores])
