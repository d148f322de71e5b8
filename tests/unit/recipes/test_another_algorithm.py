"""A second algorithm needs a recipe and its entry in `RECIPES`: its jobs are recognized beside FedAvg's."""

from unittest.mock import patch

import pytest
from toy_algorithm import ToySettings, toy_algorithm

from consilium.errors import ConfigurationError
from consilium.recipes.catalog import build_recipe
from consilium.recipes.recognition import RECIPES, recognize_recipe
from consilium.recipes.training import TrainingRecipe, TrainingSettings


class ToyJobSettings(TrainingSettings):
    algorithm: ToySettings = ToySettings()


class ToyRecipe(TrainingRecipe):
    settings_type = ToyJobSettings


@pytest.fixture
def files():
    """The files of a job of the toy algorithm, which is known within a test."""
    with toy_algorithm(), patch.dict(RECIPES, toy=ToyRecipe):
        values = {"name": "toy", "learning": {"task": "brain_tumor"}, "algorithm": {"mu": 0.2}}
        yield ToyRecipe.from_values(values, source="a test").files()


def test_each_job_is_recognized_as_its_own_recipe_s(files):
    found = recognize_recipe(files)
    assert isinstance(found, ToyRecipe)
    assert found.settings.algorithm.mu == 0.2
    assert type(recognize_recipe(build_recipe("brain_tumor_fedavg").files())) is RECIPES["fedavg"]


def test_an_unknown_algorithm_is_answered_with_those_that_are_known(files):
    files.server["workflows"][0]["args"]["algorithm"]["name"] = "other"
    with pytest.raises(ConfigurationError, match=r'algorithm\.name is "other"; allowed: fedavg, .*toy'):
        recognize_recipe(files)


def test_a_controller_of_several_recipes_is_named_once(files):
    files.server["workflows"][0]["path"] = "other"
    with pytest.raises(ConfigurationError) as caught:
        recognize_recipe(files)
    assert str(caught.value).count("FederatedTraining") == 1
