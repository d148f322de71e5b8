import pytest

from consilium.errors import ConfigurationError
from consilium.privacy.demand import PrivacyDemand
from consilium.privacy.promise import PrivacyPromise

FORMAL = PrivacyPromise(epsilon=8.0)


def demand(**values):
    return PrivacyDemand.parse(values, source="test")


def test_without_a_demand_every_job_is_enough():
    assert demand().shortfall(PrivacyPromise(), sites=1) is None


@pytest.mark.parametrize(
    ("demanded", "epsilon", "reason"),
    [
        ("formal", None, "it demands formal protection of patients, and this job offers none"),
        (
            "formal",
            50.0,
            "it demands formal protection of patients, and this job offers reconstruction, with an epsilon "
            "of 50",
        ),
        ("formal", 10.0, None),
        (
            "reconstruction",
            None,
            "it demands reconstruction protection of patients, and this job offers none",
        ),
        ("reconstruction", 50.0, None),
        ("reconstruction", 1.0, None),
    ],
)
def test_a_level_below_the_demanded_one_falls_short(demanded, epsilon, reason):
    assert demand(level=demanded).shortfall(PrivacyPromise(epsilon=epsilon), sites=2) == reason


def test_a_larger_epsilon_than_allowed_falls_short():
    assert demand(level="formal", job_epsilon=8).shortfall(FORMAL, sites=2) is None
    assert demand(level="formal", job_epsilon=7.9).shortfall(FORMAL, sites=2) == (
        "it allows a job an epsilon of 7.9, and this job has 8"
    )


def test_too_few_sites_fall_short_and_no_privacy_makes_up_for_it():
    assert demand(min_sites=3).shortfall(FORMAL, sites=3) is None
    assert "demands 3 sites a round" in demand(min_sites=3).shortfall(FORMAL, sites=2)


def test_single_updates_fall_short_where_only_sums_are_allowed():
    only_sums = demand(secure_aggregation=True)
    assert "the server sees single updates" in only_sums.shortfall(FORMAL, sites=9)
    assert only_sums.shortfall(PrivacyPromise(secure_aggregation=True), sites=9) is None


def test_updates_reach_other_hospitals_only_where_the_hospital_allows_it():
    shown = PrivacyPromise(hospitals_see_updates=True)
    assert "it lets no other hospital see its update (updates_to_hospitals)" in demand().shortfall(
        shown, sites=9
    )
    allowed = demand(updates_to_hospitals=True)
    assert allowed.shortfall(shown, sites=9) is None
    assert allowed.describe().endswith("; other hospitals may see its update")


def test_a_round_of_one_update_combines_one_whatever_the_job_s_minimum():
    turns = PrivacyPromise(hospitals_see_updates=True, single_update=True)
    assert demand(updates_to_hospitals=True).shortfall(turns, sites=9) is None
    falls = demand(updates_to_hospitals=True, min_sites=2).shortfall(turns, sites=9)
    assert falls == "it demands 2 sites a round, and this job needs 1 only"


@pytest.mark.parametrize(
    "wrong",
    [
        {"epsilon": 8},
        {"job_epsilon": 8},
        {"level": "none", "epsilon": 8},
        {"level": "some"},
        {"level": "formal", "epsilon": 0},
        {"level": "formal", "epsilon": float("nan")},
        {"level": "formal", "epsilon": 1e6},
        {"delta": 0},
        {"delta": 0.5},
        {"min_sites": 0},
        {"budget": 8},
    ],
)
def test_a_demand_that_would_not_hold_is_an_error(wrong):
    with pytest.raises(ConfigurationError):
        demand(**wrong)


STRICT = {
    "level": "formal",
    "epsilon": 8,
    "job_epsilon": 3,
    "delta": 1e-4,
    "min_sites": 3,
    "secure_aggregation": True,
}


@pytest.mark.parametrize(
    "looser",
    [
        {"level": "reconstruction"},
        {"epsilon": 9},
        {"epsilon": None},
        {"job_epsilon": None},
        {"delta": 1e-3},
        {"min_sites": 2},
        {"secure_aggregation": False},
        {"updates_to_hospitals": True},
    ],
)
def test_a_scope_that_demands_less_in_anything_is_looser(looser):
    assert demand(**STRICT | looser).is_looser_than(demand(**STRICT))
    assert not demand(**STRICT).is_looser_than(demand(**STRICT | looser))
    assert not demand(**STRICT).is_looser_than(demand(**STRICT))


@pytest.mark.parametrize("name", ["homomorphic_encryption", "he"])
def test_a_demand_of_homomorphic_encryption_is_refused_with_what_is_offered_instead(name):
    with pytest.raises(ConfigurationError, match="Demand secure_aggregation instead"):
        demand(**{name: True})
