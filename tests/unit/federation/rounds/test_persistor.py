from pathlib import Path

import numpy as np
import pytest
from learning.tiny import LEARNING
from nvflare.app_common.abstract.model import ModelLearnableKey, make_model_learnable
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType

from consilium.errors import ConfigurationError, DataError
from consilium.federation.rounds.persistor import WeightsPersistor
from consilium.learning.model_file import load_model, save_model
from consilium.learning.model_store import ModelStore
from consilium.prediction.trained_model import TrainedModel, network_weights
from consilium.prediction.warm_start import WarmStart
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings
from federation.flare import Engine


@pytest.fixture
def engine(tmp_path):
    return Engine(tmp_path)


def persistor(**changes):
    return WeightsPersistor(LEARNING.model_copy(update=changes).model_dump(mode="json"))


def weights_of(learnable):
    return learnable[ModelLearnableKey.WEIGHTS]


def model(value, rounds):
    return make_model_learnable(weights={"w": np.full(3, float(value))}, meta_props={"round": rounds})


def test_the_same_seed_starts_every_federation_from_the_same_weights(engine):
    first, again, other = (weights_of(persistor(seed=s).load_model(engine.context)) for s in (1, 1, 2))
    assert first.keys() == get_task("brain_tumor").method.build_network(LEARNING).state_dict().keys()
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


def test_what_is_saved_comes_back_with_its_round_and_settings(engine):
    keeper = persistor()
    keeper.save_model(model(1.5, 3), engine.context)
    loaded = keeper.get_model("model.safetensors", engine.context)
    assert np.array_equal(weights_of(loaded)["w"], [1.5] * 3)
    assert loaded[ModelLearnableKey.META]["round"] == 3
    _, metadata = load_model(engine.run_folder / "model.safetensors")
    assert BrainTumorSettings.model_validate_json(metadata["learning"]) == LEARNING


def test_the_best_model_is_kept_when_it_is_announced(engine):
    keeper = persistor()
    keeper.save_model(model(1, 1), engine.context)
    engine.context.set_prop(AppConstants.GLOBAL_MODEL, model(7, 2), private=True, sticky=False)
    keeper.handle_event(AppEventType.ROUND_DONE, engine.context)
    assert list(keeper.get_model_inventory(engine.context)) == ["model.safetensors"]
    keeper.handle_event(AppEventType.GLOBAL_BEST_MODEL_AVAILABLE, engine.context)
    inventory = keeper.get_model_inventory(engine.context)
    values = {
        entry.name: weights_of(keeper.get_model(file, engine.context))["w"][0]
        for file, entry in inventory.items()
    }
    assert values == {"last": 1, "best": 7}


@pytest.mark.parametrize(
    "name", ["../secret.safetensors", "secret.safetensors", "", "/etc/passwd", "./model.safetensors", "best"]
)
def test_nothing_outside_the_inventory_can_be_loaded(engine, name):
    for folder in (engine.run_folder, engine.run_folder.parent):
        save_model(folder / "secret.safetensors", {"w": np.zeros(1)}, {"round": "1"})
    with pytest.raises(ConfigurationError, match=r"known: model\.safetensors, best_model\.safetensors"):
        persistor().get_model(name, engine.context)


def test_a_model_that_is_not_there_yet_says_so(engine):
    assert persistor().get_model_inventory(engine.context) == {}
    with pytest.raises(DataError, match="does not exist"):
        persistor().get_model("model.safetensors", engine.context)


def test_a_job_starts_from_the_model_that_the_server_has_and_its_models_say_so(engine, tmp_path):
    weights = {name: value + 1 for name, value in network_weights(LEARNING).items()}
    metadata = {"learning": LEARNING.model_dump_json(), "round": "3", "job": "before"}
    save_model(tmp_path / "model.safetensors", weights, metadata)
    start = WarmStart.open(tmp_path / "model.safetensors", LEARNING)
    keeper = WeightsPersistor(LEARNING.model_dump(mode="json"), start.initial.model_dump(mode="json"))
    with pytest.raises(ConfigurationError, match="local/models"):
        keeper.load_model(engine.context)
    ModelStore.of_server(Path(engine.get_workspace().get_site_config_dir())).add(start.content)
    loaded = weights_of(keeper.load_model(engine.context))
    assert all(np.array_equal(loaded[name], value) for name, value in weights.items())
    keeper.save_model(make_model_learnable(weights=weights, meta_props={"round": 1}), engine.context)
    trained = TrainedModel.load(engine.run_folder / "model.safetensors")
    assert trained.origin == start.initial.origin
    assert trained.origin[-1].name == "before"
