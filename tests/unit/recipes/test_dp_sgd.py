import pytest

from consilium.errors import ConfigurationError
from consilium.recipes.catalog import build_recipe
from consilium.recipes.dp_sgd import DpSgdRecipe
from consilium.recipes.recognition import recognize_recipe

JOB = "brain_tumor_dp_sgd"


@pytest.mark.parametrize(
    "changes",
    [{}, {"algorithm.epsilon": 3}, {"algorithm.level": "reconstruction", "rollback_margin": 0.1}],
)
def test_a_job_is_recognized_by_its_files(changes):
    recipe = build_recipe(JOB, changes)
    found = recognize_recipe(recipe.files())
    assert isinstance(found, DpSgdRecipe)
    assert found.settings == recipe.settings
    assert f"epsilon {recipe.settings.algorithm.target_epsilon:g} a patient" in found.summary


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"local_only": True}, "trains a model without noise"),
        ({"rollback_margin": 0.1}, "rollback_margin compares scores"),
        ({"learning.local_steps": None, "learning.local_epochs": 1.0}, "depend on the data"),
        ({"algorithm.epsilon": 11}, "no formal protection"),
        ({"algorithm.noise_multiplier": 0.0}, "noise_multiplier"),
        ({"algorithm.name": "fedavg"}, "name"),
    ],
)
def test_what_would_leave_without_noise_is_rejected(changes, reason):
    with pytest.raises(ConfigurationError, match=reason):
        build_recipe(JOB, changes)


@pytest.mark.parametrize("place", ["epsilon", "clip", "samples_per_patient"])
def test_a_job_that_differs_between_server_and_sites_is_not_recognized(place):
    files = build_recipe(JOB).files()
    files.client["executors"][0]["executor"]["args"]["algorithm"][place] = 7
    with pytest.raises(ConfigurationError, match=place):
        recognize_recipe(files)
