"""A job that starts from a model: its file, its hash, and the chain of models behind it."""

import json
import re

import numpy as np
import pytest
import torch

from consilium.errors import ConfigurationError
from consilium.learning.initial_model import InitialModel, Origin, write_origin
from consilium.learning.model_file import load_model
from consilium.learning.model_store import ModelStore
from consilium.prediction.trained_model import TrainedModel, network_weights
from consilium.prediction.warm_start import WarmStart
from prediction.conftest import LEARNING, bright_weights, write_model

FIRST = Origin(name="first", digest=f"sha256:{'1' * 64}", round=4)


def test_the_chain_grows_by_the_model_itself(tmp_path):
    write_model(tmp_path / "model.safetensors", job="second", **write_origin((FIRST,)))
    trained = TrainedModel.load(tmp_path)
    assert (trained.job, trained.origin) == ("second", (FIRST,))
    initial = WarmStart.open(tmp_path, LEARNING).initial
    assert initial.digest == f"sha256:{trained.digest}"
    assert [one.name for one in initial.origin] == ["first", "second"]
    assert initial.origin[-1].round == 3


def test_what_is_written_is_read_and_nothing_else(tmp_path, model):
    start = WarmStart.open(model, LEARNING)
    store = ModelStore.of_server(tmp_path)
    path = store.add(start.content)
    assert path == tmp_path / "models" / f"{start.initial.digest.removeprefix('sha256:')}.safetensors"
    like = network_weights(LEARNING)
    assert np.array_equal(start.initial.load(store, like)["bias"], bright_weights()["bias"])
    write_model(path, round="9")
    with pytest.raises(ConfigurationError, match="has been changed"):
        start.initial.load(store, like)
    path.unlink()
    with pytest.raises(ConfigurationError, match="into local/models/ of the server's kit"):
        start.initial.load(store, like)


def test_it_is_copied_to_the_server_as_long_as_it_is_the_one_that_is_meant(tmp_path, model):
    start = WarmStart.open(model, LEARNING)
    beside, server = ModelStore.beside(tmp_path / "jobs/second"), ModelStore.of_server(tmp_path / "local")
    with pytest.raises(ConfigurationError, match=re.escape(f"into {tmp_path / 'jobs/models'}")):
        start.initial.place(beside, server)
    path = beside.add(start.content)
    start.initial.place(beside, server)
    assert (tmp_path / "local/models" / path.name).read_bytes() == start.content
    write_model(path, round="9")
    with pytest.raises(ConfigurationError, match="has been changed"):
        start.initial.place(beside, ModelStore.of_server(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_a_model_of_another_network_is_refused(tmp_path, model):
    with pytest.raises(ConfigurationError, match=r"set learning\.network=unet_small"):
        WarmStart.open(model, LEARNING.model_copy(update={"network": "segresnet"}))


def test_published_weights_are_named_with_their_license(tmp_path):
    learning = LEARNING.model_copy(update={"network": "segresnet"})
    like = network_weights(learning)
    torch.save({name: torch.from_numpy(value) for name, value in like.items()}, tmp_path / "model.pt")
    start = WarmStart.open(tmp_path / "model.pt", learning)
    (origin,) = start.initial.origin
    assert origin.name == "MONAI brats_mri_segmentation"
    assert "Apache-2.0" in str(origin.license)
    store = ModelStore.beside(tmp_path / "job")
    path = store.add(start.content)
    weights = start.initial.load(store, like)
    assert weights.keys() == like.keys()
    _, metadata = load_model(path)
    assert "learning" not in metadata  # a model of others, not one that a job trained


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "{}", json.dumps([{"name": "x"}]), "[1]"])
def test_a_chain_that_can_t_be_read_is_refused(tmp_path, text):
    path = write_model(tmp_path / "model.safetensors", origin=text)
    with pytest.raises(ConfigurationError):
        TrainedModel.load(path)


@pytest.mark.parametrize("name", ["../../etc/passwd", "0" * 64, f"sha256:{'A' * 64}", f"sha256:{'0' * 63}"])
def test_a_hash_is_nothing_else(name):
    with pytest.raises(ConfigurationError, match="digest"):
        InitialModel.parse({"digest": name, "origin": [FIRST.model_dump()]}, source="a job")


def test_what_a_file_says_of_its_job_is_but_text(tmp_path):
    job, number = "a\x1b[2Jb\n" + "x" * 1000, "9" * 5000
    path = write_model(tmp_path / "model.safetensors", job=job, round=number)
    (origin,) = WarmStart.open(path, LEARNING).initial.origin
    assert origin.name.startswith("a[2Jbx")
    assert origin.round is None


def test_a_chain_has_an_end(tmp_path):
    path = write_model(tmp_path / "model.safetensors", job="last", **write_origin((FIRST,) * 50))
    with pytest.raises(ConfigurationError, match="at most 50 values"):
        WarmStart.open(path, LEARNING)
