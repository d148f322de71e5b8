"""A time limit of rounds in a job's settings."""

import pytest

from consilium.errors import ConfigurationError
from consilium.recipes.catalog import build_recipe


def test_a_job_of_an_algorithm_that_needs_equal_steps_has_no_time_limit():
    for job, why in (
        ("brain_tumor_dp_sgd", "differential privacy"),
        ("brain_tumor_fedavg_secagg", "secure aggregation"),
    ):
        with pytest.raises(
            ConfigurationError, match=rf"with {why} .* leave learning\.round_minutes null"
        ) as error:
            build_recipe(job, {"learning.round_minutes": 5})
        assert "secagg_fedavg" not in str(error.value)


def test_a_time_limit_is_among_the_settings_of_every_site():
    recipe = build_recipe("brain_tumor_fednova", {"learning.round_minutes": 5})
    assert recipe.settings.learning.round_minutes == 5
    with pytest.raises(ConfigurationError, match="round_minutes"):
        build_recipe("brain_tumor_fednova", {"learning.round_minutes": 0})
