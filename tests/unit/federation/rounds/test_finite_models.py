"""Updates of finite numbers that no model and no optimizer's moments can hold."""

import numpy as np
import pytest
from nvflare.app_common.abstract.model import make_model_learnable

from consilium.learning.model_file import load_model
from federation.rehearsal import Site, TwoWeights


class SinglePrecision(TwoWeights):
    def load_model(self, fl_ctx):
        weights = {"w": np.zeros(2, np.float32), "mark": np.zeros(1, np.float32)}
        return make_model_learnable(weights=weights, meta_props={"round": 0})


class Huge(Site):
    """Sends the largest numbers that there are."""

    def update(self):
        update = {name: value.astype(np.float32) for name, value in super().update().items()}
        return {**update, "w": np.full(2, 3e38, np.float32)}


@pytest.mark.parametrize("name", ["fedavg", "fedavgm", "fedadam", "fedyogi", "fednova", "fedpid"])
def test_no_round_makes_a_model_that_is_not_finite(run, name):
    record, engine = run(
        {site: Huge(dice=lambda value: 0.5) for site in ("north", "south")},
        rounds=3,
        algorithm={"name": name},
        persistor=SinglePrecision,
        screening={"max_norm_ratio": None},
    )
    assert record.status == "failed"
    assert "the model would not be finite after it" in record.reason
    for model in engine.run_folder.glob("*.safetensors"):  # none where the first round has no end
        assert all(np.isfinite(value).all() for value in load_model(model)[0].values())
