"""No site owns a weighted mean, whatever it says of itself."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilium.aggregation.shares import largest_share, limited_shares, weighted_shares

WEIGHTS = st.dictionaries(
    st.text(min_size=1, max_size=3), st.integers(0, 10**6) | st.floats(0, 1e6), min_size=1, max_size=20
)


@given(WEIGHTS, st.floats(0.001, 1))
def test_shares_add_up_to_one_keep_their_order_and_stay_below_the_limit(weights, max_share):
    shares = limited_shares(weights, max_share)
    assert shares.keys() == weights.keys()
    assert sum(shares.values()) == pytest.approx(1)
    limit = largest_share(len(weights), max_share)
    assert all(0 <= share <= limit + 1e-9 for share in shares.values())
    ordered = sorted(weights, key=weights.__getitem__)
    for less, more in pairwise(ordered):
        assert shares[less] <= shares[more] + 1e-9


@given(WEIGHTS, st.floats(0.001, 1))
def test_shares_that_are_below_the_limit_are_left_alone(weights, max_share):
    plain = weighted_shares(weights)
    if max(plain.values()) <= largest_share(len(weights), max_share):
        assert limited_shares(weights, max_share) == plain


@given(WEIGHTS, st.floats(0.001, 1))
def test_those_below_the_limit_keep_their_proportions(weights, max_share):
    shares = limited_shares(weights, max_share)
    limit = largest_share(len(weights), max_share)
    free = [site for site in weights if shares[site] < limit - 1e-6 and weights[site] > 1e-3]
    ratios = [shares[site] / weights[site] for site in free]
    assert ratios == pytest.approx([ratios[0]] * len(ratios)) if ratios else True


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ({"a": 10**15, "b": 1, "c": 1}, {"a": 0.5, "b": 0.25, "c": 0.25}),
        ({"a": 10**15, "b": 1}, {"a": 0.75, "b": 0.25}),
        ({"a": 300, "b": 100}, {"a": 0.75, "b": 0.25}),
        ({"a": 5}, {"a": 1.0}),
        ({"a": 0, "b": 0}, {"a": 0.5, "b": 0.5}),
    ],
)
def test_what_one_site_gets_by_default(weights, shares):
    assert limited_shares(weights, 0.5) == pytest.approx(shares)
