import json
import pickle

import numpy as np
import pytest

from consilium.errors import ConfigurationError, DataError
from consilium.learning.model_file import save_model
from consilium.prediction.trained_model import TrainedModel
from prediction.conftest import LEARNING, bright_weights, write_model

SETTINGS = LEARNING.model_dump(mode="json")


def test_a_file_alone_says_all(model):
    trained = TrainedModel.load(model)
    assert trained.learning == LEARNING
    assert trained.task.name == "brain_tumor"
    assert trained.round == 3
    assert len(trained.digest) == 64
    assert np.array_equal(trained.weights["bias"], bright_weights()["bias"])


@pytest.mark.parametrize("below", ["", "result", "results/JOB/workspace", "simulation/server/simulate_job"])
def test_the_best_model_of_a_folder_is_taken_unless_another_is_asked_for(tmp_path, below):
    best = write_model(tmp_path / "run" / below / "best_model.safetensors")
    final = write_model(tmp_path / "run" / below / "model.safetensors")
    assert TrainedModel.load(tmp_path / "run").path == best
    assert TrainedModel.load(tmp_path / "run", "final").path == final
    best.unlink()
    assert TrainedModel.load(tmp_path / "run").path == final
    with pytest.raises(ConfigurationError, match=r"no best_model.safetensors; it holds model.safetensors"):
        TrainedModel.load(tmp_path / "run", "best")


def test_a_simulation_s_result_is_taken_before_its_server_s(tmp_path):
    write_model(tmp_path / "run/simulation/server/simulate_job/model.safetensors")
    copied = write_model(tmp_path / "run/result/model.safetensors")
    assert TrainedModel.load(tmp_path / "run").path == copied


def test_of_two_results_none_is_guessed(tmp_path):
    for job in "ab":
        write_model(tmp_path / "jobs" / job / "model.safetensors")
    with pytest.raises(ConfigurationError, match="2 models; name one"):
        TrainedModel.load(tmp_path / "jobs")


def test_what_is_not_there_is_said(tmp_path, model):
    with pytest.raises(ConfigurationError, match="does not exist; name a result folder"):
        TrainedModel.load(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="before its first round"):
        TrainedModel.load(tmp_path / "empty")
    with pytest.raises(ConfigurationError, match="is a file"):
        TrainedModel.load(model, "best")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "does not say how it was trained"),
        ({"learning": "{"}, "can't be read"),
        ({"learning": "[" * 100_000}, "can't be read"),
        ({"learning": "[]"}, "no JSON object"),
        ({"learning": json.dumps({**SETTINGS, "task": "os.system"})}, "no task is named 'os.system'"),
        ({"learning": json.dumps({**SETTINGS, "network": "huge"})}, "network"),
        ({"learning": json.dumps({**SETTINGS, "patch_voxels": 10**9})}, "patch_voxels"),
        ({"learning": json.dumps({**SETTINGS, "more": 1})}, "more"),
    ],
)
def test_a_file_of_unknown_settings_is_refused(tmp_path, metadata, message):
    path = tmp_path / "model.safetensors"
    save_model(path, bright_weights(), metadata)
    with pytest.raises(ConfigurationError, match=message):
        TrainedModel.load(path)


def damaged(name):
    weights = bright_weights()
    if name == "missing":
        del weights["bias"]
    elif name == "unknown":
        weights["extra"] = np.zeros(1, np.float32)
    elif name == "shape":
        weights["bias"] = np.zeros(4, np.float32)
    elif name == "type":
        weights["bias"] = weights["bias"].astype(np.float64)
    elif name == "nan":
        weights["bias"][1] = np.nan
    return weights


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "missing bias"),
        ("unknown", "unknown 'extra'"),
        ("shape", r"bias is F32 of shape \(4,\), not F32 of shape \(3,\)"),
        ("type", "bias is F64"),
        ("nan", "not finite, in bias"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, name, message):
    path = write_model(tmp_path / "model.safetensors", weights=damaged(name))
    with pytest.raises(DataError, match=message):
        TrainedModel.load(path)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_truncated_file_is_refused(model, keep):
    model.write_bytes(model.read_bytes()[:keep])
    with pytest.raises(DataError, match="not a readable safetensors file"):
        TrainedModel.load(model)


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_in_a_file_is_run(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(Attack(tmp_path / "it-ran")))
    with pytest.raises(DataError):
        TrainedModel.load(path)
    assert not (tmp_path / "it-ran").exists()
