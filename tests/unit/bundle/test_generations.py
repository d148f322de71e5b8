"""Models that are trained from bundles of others: each card has the whole chain."""

import numpy as np
import pytest
from federation.flare import Engine
from nvflare.app_common.abstract.model import ModelLearnableKey, make_model_learnable

from bundle.conftest import LEARNING
from consilium.bundle.writer import write_bundle
from consilium.federation.rounds.persistor import WeightsPersistor
from consilium.learning.model_store import ModelStore, digest_of
from consilium.prediction.trained_model import TrainedModel
from consilium.prediction.warm_start import WarmStart


def run_job(folder, name, *, bundle=None, rounds=1):
    """What a job's server does from its first round to the bundle: load, add 1, save."""
    engine = Engine(folder / name, meta={"name": name})
    initial = None
    if bundle is not None:
        start = WarmStart.open(bundle, LEARNING)
        ModelStore.of_server(engine.local).add(start.content)
        initial = start.initial.model_dump(mode="json")
    keeper = WeightsPersistor(LEARNING.model_dump(mode="json"), initial)
    weights = keeper.load_model(engine.context)[ModelLearnableKey.WEIGHTS]
    trained = {key: value + 1 for key, value in weights.items()}
    keeper.save_model(make_model_learnable(weights=trained, meta_props={"round": rounds}), engine.context)
    return write_bundle(engine.run_folder / "model.safetensors", folder / f"{name}-bundle")


@pytest.mark.long
def test_the_chain_grows_from_bundle_to_bundle(tmp_path):
    first = run_job(tmp_path, "first", rounds=3)
    second = run_job(tmp_path, "second", bundle=first, rounds=2)
    third = run_job(tmp_path, "third", bundle=second, rounds=4)
    one, two, three = (TrainedModel.load(one) for one in (first, second, third))
    for name, value in three.weights.items():
        assert np.allclose(value, one.weights[name] + 2, atol=1e-5)
    digests = [digest_of((one / "models/model.safetensors").read_bytes()) for one in (first, second)]
    assert [(each.name, each.round, each.digest) for each in three.origin] == [
        ("first", 3, digests[0]),
        ("second", 2, digests[1]),
    ]
    assert [each.name for each in two.origin] == ["first"]
    card = (third / "docs/README.md").read_text()
    assert f"1. first, 3 rounds; `{digests[0]}`." in card
    assert f"2. second, 2 rounds; `{digests[1]}`." in card
    assert "3. Job third, 4 rounds: this model." in card
