import pytest

from consilium.federation.exchange.quorum import Quorum, QuorumSettings

CASES = {"north": 10, "south": 10, "large": 80}


def quorum(min_sites=2, **settings):
    return Quorum(QuorumSettings(**settings), min_sites)


@pytest.mark.parametrize(
    ("rules", "trained"),
    [
        ({}, ["north", "south"]),
        ({"min_sites": 1, "min_case_share": 0.8}, ["large"]),
        ({"min_case_share": 0.2}, ["north", "south"]),
        ({"mandatory_sites": ("north",)}, ["north", "large"]),
    ],
)
def test_a_quorum_that_is_complete_lacks_nothing(rules, trained):
    assert quorum(**rules).lack(trained, CASES) is None


@pytest.mark.parametrize(
    ("rules", "trained", "lack"),
    [
        ({}, ["large"], "and min_sites is 2"),
        ({"min_case_share": 0.21}, ["north", "south"], "with 20% of the training cases"),
        ({"mandatory_sites": ("north", "west")}, ["south", "large"], "without mandatory north, west"),
    ],
)
def test_what_a_round_lacks_is_said(rules, trained, lack):
    assert lack in quorum(**rules).lack(trained, CASES)


def test_sites_of_which_nobody_knows_the_cases_have_no_share():
    assert "with 0% of the training cases" in quorum(min_case_share=0.1).lack(["a", "b"], {})


def test_pauses_grow():
    assert [quorum(backoff_seconds=30).pause_seconds(failed) for failed in (1, 2, 3)] == [30, 60, 120]
