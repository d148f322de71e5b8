"""Intervals of test scores: of enough patients, and within what the metric allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from consilium.records.score_bounds import round_scores
from consilium.records.score_intervals import (
    FEW_AT_A_BOUND,
    ScoreInterval,
    check_intervals,
    measure_intervals,
)
from consilium.tasks import get_task

EVALUATION = get_task("brain_tumor").evaluation
NAMES = [one.name for one in EVALUATION.metrics.metrics if one.is_measured]


def cases(values):
    return [dict.fromkeys(NAMES, value) for value in values]


@given(st.lists(st.floats(0, 1), min_size=12, max_size=20))
def test_an_interval_holds_the_score_and_passes_the_server_s_check(values):
    rows = cases(values)
    found = measure_intervals(rows, [f"P{n}" for n in range(len(rows))], EVALUATION, min_count=5)
    assert found.keys() == set(EVALUATION.metrics.gained)
    check_intervals(found, round_scores(EVALUATION.summarize(rows), EVALUATION), EVALUATION)


@pytest.mark.parametrize("patients", range(1, 12))
def test_an_interval_of_few_patients_stays(patients):
    rows = cases([0.5] * 3 * patients)  # three visits each
    owners = [f"P{place % patients}" for place in range(len(rows))]
    found = measure_intervals(rows, owners, EVALUATION, min_count=5)
    assert bool(found) == (patients - FEW_AT_A_BOUND >= 5)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("dice", 0.6, 0.7), ("dice", 0.1, 0.4), ("dice", -1.0, 0.7), ("dice", 0.1, 1.5), ("nonsense", 0.1, 0.9)],
)
def test_an_interval_that_can_t_be_is_rejected(name, low, high):
    scores = EVALUATION.summarize(cases([0.5]))
    with pytest.raises(ValueError, match="interval"):
        check_intervals({name: ScoreInterval(low=low, high=high)}, scores, EVALUATION)


def test_bounds_are_in_order():
    with pytest.raises(ValidationError):
        ScoreInterval(low=0.6, high=0.5)
