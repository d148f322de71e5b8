"""Who is left out of the next attempt, and by how many others' word."""

import pytest

from consilium.secagg.blame import Blame, unmet_demands
from consilium.secagg.survivor_policy import SurvivorPolicy

CALM = SurvivorPolicy()


@pytest.mark.parametrize(
    ("sites", "naming", "spared"),
    [(3, 1, False), (3, 2, True), (4, 1, False), (4, 2, True), (5, 2, False), (5, 3, True)],
)
def test_more_than_half_of_the_others_leave_out_a_site_that_they_do_not_know(sites, naming, spared):
    """Just half do not: else two hospitals of five could have any third one left out."""
    blame = Blame()
    blame.spare_strangers({f"site-{number}": ["west"] for number in range(naming)}, sites)
    assert [*blame.spared] == (["west"] if spared else [])
    if spared:
        assert f"{naming} other sites of {sites - 1} did not pin" in blame.spared["west"]


def test_a_site_that_names_another_twice_or_itself_counts_once_or_not_at_all():
    blame = Blame()
    blame.spare_strangers({"east": ["west", "west", "west"], "west": ["west"]}, 4)
    assert blame.spared == {}


def test_a_demand_that_is_met_exactly_is_no_reason_to_leave_a_site_out():
    strict = SurvivorPolicy(min_survivors=4)
    sites = {"east": CALM, "north": CALM, "south": CALM, "west": strict}
    assert unmet_demands(sites) == []
    assert unmet_demands(sites, left=4) == []
    assert unmet_demands(sites, left=3) == ["west"]


def test_nobody_is_left_out_if_fewer_than_three_would_remain():
    strict = SurvivorPolicy(min_survivors=9)
    assert unmet_demands({"east": CALM, "north": CALM, "south": strict, "west": strict}) == []
    assert unmet_demands({"a": CALM, "b": CALM, "c": CALM, "south": strict, "west": strict}) == [
        "south",
        "west",
    ]


def test_the_strictest_demand_is_left_out_first_and_a_milder_one_may_then_be_met():
    sites = {
        "a": CALM,
        "b": CALM,
        "c": CALM,
        "mild": SurvivorPolicy(min_survivors=4),
        "wild": SurvivorPolicy(min_survivors=9),
    }
    assert unmet_demands(sites) == ["wild"]


def test_what_is_reported_of_a_lost_site_has_both_numbers():
    blame = Blame()
    blame.spare_lost("west", holders=1, threshold=3)
    assert "1 site could use the shares that it had sent, and 3 must" in blame.spared["west"]
    assert blame.culprits == {}
