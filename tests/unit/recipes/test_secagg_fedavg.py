import pytest

from consilium.errors import ConfigurationError
from consilium.recipes.catalog import build_recipe
from consilium.recipes.recognition import recognize_recipe
from consilium.recipes.secagg_fedavg import SecAggRecipe

JOB = "brain_tumor_fedavg_secagg"


def test_a_job_is_recognized_as_its_own_recipe_s():
    found = recognize_recipe(build_recipe(JOB, {"algorithm.ring_bits": 16}).files())
    assert isinstance(found, SecAggRecipe)
    assert found.settings.algorithm.ring_bits == 16


@pytest.mark.parametrize("rule", ["median", "trimmed_mean", "clipped_mean"])
def test_rules_that_need_every_update_are_refused_by_name(rule):
    with pytest.raises(ConfigurationError, match=f"aggregation.rule '{rule}' needs every single update"):
        build_recipe(JOB, {"aggregation.rule": rule})


def test_screening_by_norm_is_refused_by_name():
    with pytest.raises(ConfigurationError, match=r"screening\.max_norm_ratio measures single updates"):
        build_recipe(JOB, {"screening.max_norm_ratio": 6.0})


@pytest.mark.parametrize("change", [{"min_sites": 2}, {"min_sites": 129}, {"algorithm.most_sites": 2}])
def test_numbers_of_sites_that_the_protocol_can_not_have_are_refused(change):
    with pytest.raises(ConfigurationError, match="allowed: "):
        build_recipe(JOB, change)


@pytest.mark.parametrize(
    "change",
    [{"min_sites": 5}, {"quorum.mandatory_sites": ["a", "b", "c", "d", "e"]}],
    ids=["fewest", "named"],
)
def test_a_job_that_asks_for_more_sites_than_a_sum_has_room_for_is_refused(change):
    build_recipe(JOB, {"algorithm.most_sites": 5, **change})
    with pytest.raises(
        ConfigurationError, match=r"ask for 5 sites, and the sum has room for algorithm\.most_s"
    ):
        build_recipe(JOB, {"algorithm.most_sites": 4, **change})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"algorithm.bound_ratio": 5e-324}, "a limit of updates that can't be used"),
        (
            {"algorithm.bound_ratio": 1e4, "learning.learning_rate": 1.0, "learning.local_steps": 10_000},
            "a limit of updates that can't be used",
        ),
        (
            {
                "algorithm.full_weight_cases": 1_000_000,
                "learning.local_epochs": 1000,
                "learning.local_steps": None,
            },
            "takes 1000000000 steps in a round; allowed: 1000000 or fewer",
        ),
    ],
    ids=["nothing", "too much", "too many steps"],
)
def test_limits_of_updates_that_no_sum_can_have_are_refused_before_a_site_is_asked(change, reason):
    with pytest.raises(ConfigurationError, match=reason):
        build_recipe(JOB, change)


def test_a_limit_of_shares_is_refused_by_name():
    with pytest.raises(ConfigurationError, match=r"full_weight_cases limits a site's weight"):
        build_recipe(JOB, {"aggregation.max_site_share": 0.4})


NOISE = {"algorithm.hospital_noise": 1.0, "algorithm.max_norm": 0.5, "rollback_margin": None}


def test_noise_in_the_sum_is_a_setting_that_withholds_losses_and_scores():
    algorithm = build_recipe(JOB, NOISE).settings.algorithm
    assert algorithm.withholds_losses
    assert algorithm.withholds_scores
    plain = build_recipe(JOB).settings.algorithm
    assert not plain.withholds_losses
    assert not plain.withholds_scores


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rollback_margin": 0.1}, "rollback_margin compares scores"),
        ({"local_only": True}, "local_only trains a model without noise"),
        ({"algorithm.max_norm": None}, "give max_norm"),
        ({"algorithm.bound_ratio": 3.0}, "no bound_ratio"),
        ({"algorithm.ring_bits": 16}, "ring_bits 32"),
        (
            {"algorithm.hospital_noise": 0.02, "algorithm.hospital_noise_sites": 50},
            "in a sum with 2 honest sites",
        ),
        ({"algorithm.hospital_noise": 1e4, "algorithm.hospital_noise_sites": 1}, "no whole step left"),
    ],
)
def test_what_does_not_go_with_noise_in_the_sum_is_refused_by_name(change, reason):
    with pytest.raises(ConfigurationError, match=reason):
        build_recipe(JOB, {**NOISE, **change})
