"""Models for an evaluation: their files, and what they must have in common."""

import numpy as np
import pytest

from consilium.errors import ConfigurationError, DataError
from consilium.learning.evaluated_model import EvaluatedModel
from consilium.learning.model_store import ModelStore, digest_of
from consilium.prediction.evaluated_models import EvaluatedModels, open_evaluated_model, place_models
from prediction.conftest import LEARNING, bright_weights, write_model


@pytest.fixture
def result(tmp_path):
    write_model(tmp_path / "result/model.safetensors", job="first", round="4")
    write_model(tmp_path / "result/best_model.safetensors", job="first", round="2")
    return tmp_path / "result"


def store(folder):
    return ModelStore(folder, "models/")


def named(content, name="outside"):
    return EvaluatedModel(name=name, digest=digest_of(content))


def test_final_and_best_of_a_job_are_two_models(result, tmp_path):
    opened = EvaluatedModels.open(
        [f"final={result}@final", f"best={result}@best", f"any={result}"], "brain_tumor"
    )
    assert [one.name for one in opened.models] == ["final", "best", "any"]
    assert opened.models[0].digest != opened.models[1].digest == opened.models[2].digest
    places = opened.write(store(tmp_path / "models"))
    assert [digest_of(place.read_bytes()) for place in places] == [one.digest for one in opened.models]
    model = open_evaluated_model(store(tmp_path / "models"), opened.models[0], LEARNING)
    assert (model.job, model.round) == ("first", 4)


def test_the_server_gets_the_files_that_the_job_names(result, tmp_path):
    opened = EvaluatedModels.open([f"final={result}@final"], "brain_tumor")
    opened.write(store(tmp_path / "models"))
    place_models(opened.models, store(tmp_path / "models"), ModelStore.of_server(tmp_path / "local"))
    assert open_evaluated_model(store(tmp_path / "local/models"), opened.models[0], LEARNING).round == 4
    with pytest.raises(ConfigurationError, match="can't be read"):
        place_models(opened.models, store(tmp_path / "elsewhere"), ModelStore.of_server(tmp_path / "local"))


@pytest.mark.parametrize("word", ["final", "=runs/demo", "final="])
def test_an_assignment_of_another_form_is_refused(word):
    with pytest.raises(ConfigurationError):
        EvaluatedModels.open([word], "brain_tumor")


def test_two_models_of_one_name_are_refused(result):
    with pytest.raises(ConfigurationError, match="one name"):
        EvaluatedModels.open([f"a={result}@final", f"a={result}@best"], "brain_tumor")


def test_models_of_another_task_are_refused(result):
    with pytest.raises(ConfigurationError, match="and the job's is chest_ct"):
        EvaluatedModels.open([f"a={result}"], "chest_ct")


def test_models_with_other_settings_of_their_cases_are_refused(result, tmp_path):
    coarse = LEARNING.model_copy(update={"spacing_mm": (2.0, 2.0, 2.0)})
    other = write_model(tmp_path / "other/model.safetensors", learning=coarse)
    with pytest.raises(ConfigurationError, match="evaluate it in a job of its own"):
        EvaluatedModels.open([f"a={result}", f"b={other}"], "brain_tumor")


def test_a_model_trained_for_longer_is_alike(result, tmp_path):
    longer = LEARNING.model_copy(update={"local_steps": 500, "learning_rate": 1e-4})
    other = write_model(tmp_path / "other/model.safetensors", learning=longer)
    assert len(EvaluatedModels.open([f"a={result}", f"b={other}"], "brain_tumor").models) == 2


def write(folder, content):
    model = named(content)
    folder.mkdir(exist_ok=True)
    (folder / model.file_name).write_bytes(content)
    return model


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"weight": bright_weights()["weight"], "bias": np.array([np.nan, 0, 0], np.float32)}, "not finite"),
        ({"weight": bright_weights()["weight"], "bias": np.zeros(4, np.float32)}, "of shape"),
        ({"weight": bright_weights()["weight"]}, "missing bias"),
        ({**bright_weights(), "patient": np.zeros(9, np.float32)}, "unknown"),
    ],
)
def test_a_file_with_other_weights_is_refused_by_the_server(tmp_path, weights, message):
    content = write_model(tmp_path / "bad.safetensors", weights=weights).read_bytes()
    model = write(tmp_path / "models", content)
    with pytest.raises(DataError, match=message):
        open_evaluated_model(store(tmp_path / "models"), model, LEARNING)


def test_a_file_that_is_no_model_is_refused_by_the_server(tmp_path):
    model = write(tmp_path / "models", b"no model")
    with pytest.raises((ConfigurationError, DataError)):
        open_evaluated_model(store(tmp_path / "models"), model, LEARNING)


def test_a_file_that_was_changed_is_refused(tmp_path, result):
    opened = EvaluatedModels.open([f"final={result}@final"], "brain_tumor")
    (path,) = opened.write(store(tmp_path / "models"))
    path.write_bytes((result / "best_model.safetensors").read_bytes())
    with pytest.raises(ConfigurationError, match="has been changed"):
        open_evaluated_model(store(tmp_path / "models"), opened.models[0], LEARNING)
    path.unlink()
    with pytest.raises(ConfigurationError, match="models"):
        open_evaluated_model(store(tmp_path / "models"), opened.models[0], LEARNING)
