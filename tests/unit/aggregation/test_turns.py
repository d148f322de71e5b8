"""Lengths of updates that come one at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilium.aggregation.turns import TurnPaces

RATIO = 6.0


def after(**paces):
    turns = TurnPaces(RATIO)
    for site, pace in paces.items():
        turns.keep(site, pace)
    return turns


def test_an_update_that_is_far_longer_than_those_of_others_is_a_fault():
    assert after(east=1.0, north=1.0).fault("west", 6.1).startswith("it is 6.1 times as long as the others'")
    assert after(east=1.0, north=1.0).fault("west", 6.0) is None


@pytest.mark.parametrize("known", [{}, {"east": 1.0}, {"west": 1.0}])
def test_with_less_than_two_other_turns_there_is_nothing_to_compare_a_first_turn_with(known):
    assert after(**known).fault("west", 1e9) is None


def test_of_two_hospitals_the_longer_of_both_last_turns_is_the_measure():
    assert after(east=1e-9, west=1.0).fault("west", 5.0) is None
    assert after(east=1.0, west=1e-9).fault("west", 5.0) is None
    assert after(east=1.0, west=1.0).fault("west", 7.0)


def test_a_hospital_is_not_its_own_measure_among_several():
    assert after(east=1.0, north=1.0, west=1e6).fault("west", 1e6)


@given(
    honest=st.dictionaries(st.sampled_from("abcdef"), st.floats(1.0, RATIO), min_size=1),
    pace=st.floats(1e-300, 1e300),
)
def test_no_hospital_by_itself_has_another_one_rejected(honest, pace):
    """Honest lengths differ by no more than the ratio; the liar's is anything."""
    turns = after(liar=pace, **honest)
    assert all(turns.fault(site, own) is None for site, own in honest.items())


@given(st.dictionaries(st.sampled_from("abcdef"), st.floats(0.1, 10.0)), st.floats(0.1, 1000.0))
def test_a_resumed_job_compares_as_before(paces, pace):
    turns, resumed = after(**paces), TurnPaces(RATIO)
    resumed.restore(turns.values)
    assert resumed.fault("a", pace) == turns.fault("a", pace)


def test_without_a_limit_nothing_is_a_fault():
    turns = TurnPaces(None)
    for site in "abc":
        turns.keep(site, 1.0)
    assert turns.fault("a", 1e300) is None
