import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilium.secagg.survivor_policy import SurvivorPolicy, strictest_threshold


@given(st.integers(3, 64), st.integers(0, 62), st.integers(3, 64))
def test_two_lists_of_survivors_never_both_have_enough_honest_signatures(sites, k, fewest):
    """Colluding sites sign any list, and each honest site one."""
    threshold = SurvivorPolicy(colluding_sites=k, min_survivors=fewest).threshold(sites)
    honest = max(sites - k, 0)
    assert 2 * (threshold - k) > honest
    assert threshold >= max(fewest, k + 2)


@given(st.integers(1, 64), st.integers(0, 62), st.integers(3, 64))
def test_no_sum_is_of_fewer_than_the_fewest_and_as_many_can_make_one(sites, k, fewest):
    policy = SurvivorPolicy(colluding_sites=k, min_survivors=fewest)
    assert policy.threshold(sites) >= policy.fewest
    assert (policy.threshold(sites) <= sites) == (sites >= policy.fewest)
    assert policy.threshold(policy.fewest) == policy.fewest


@pytest.mark.parametrize(("sites", "expected"), [(3, 3), (4, 3), (5, 3), (6, 4), (7, 4), (10, 6), (64, 33)])
def test_by_default_more_than_half_and_at_least_three_are_left(sites, expected):
    assert SurvivorPolicy().threshold(sites) == expected


@given(st.integers(2, 129), st.integers(0, 62), st.integers(3, 129))
def test_two_sums_of_most_of_all_have_an_honest_site_in_common(hospitals, k, sites):
    sites = min(sites, hospitals)
    policy = SurvivorPolicy.majority_of(hospitals, k)
    assert 2 * policy.threshold(sites) - hospitals > k
    assert policy.threshold(sites) >= SurvivorPolicy(colluding_sites=k).threshold(sites)
    assert policy.threshold(hospitals) == SurvivorPolicy(colluding_sites=k).threshold(hospitals)


def test_the_strictest_site_decides():
    policies = [SurvivorPolicy(), SurvivorPolicy(colluding_sites=2), SurvivorPolicy(min_survivors=4)]
    assert strictest_threshold(policies, 10) == 7
