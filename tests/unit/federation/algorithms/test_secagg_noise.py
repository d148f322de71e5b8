"""Noise in the sum of secure aggregation, through the controller, with sites that drop out at every stage."""

import json
import math

import numpy as np
import pytest
from nvflare.app_common.abstract.model import make_model_learnable

from consilium.learning.algorithms.secagg_plan import ADVERTISE, CONFIRM, REVEAL, SecAggFedAvgSettings
from consilium.learning.model_file import load_model
from consilium.secagg.local_federation import exchange_identities
from consilium.secagg.peers import PEERS_FILE
from federation.algorithms.test_secagg_fedavg import QUESTIONS, SecureSite
from federation.rehearsal import TwoWeights, rehearse

VALUES = 6000
NOISE = {"name": "secagg_fedavg", "max_norm": 2.0, "full_weight_cases": 3, "hospital_noise": 1.5}
NAMES = ("east", "north", "south", "west")


class ManyWeights(TwoWeights):
    def load_model(self, fl_ctx):
        weights = {"w": np.zeros(VALUES, np.float32), "mark": np.zeros((), np.float32)}
        return make_model_learnable(weights=weights, meta_props={"round": 0})


class NoisySite(SecureSite):
    """Sends an update of zero, so that all that is in the sum is noise."""

    def change(self):
        return {"w": np.zeros(VALUES, np.float32), "mark": np.float32(0).reshape(())}


@pytest.fixture
def run(tmp_path):
    def run(silent=None, **changed):
        folders = {name: tmp_path / "sites" / name for name in NAMES}
        for folder in folders.values():
            (folder / "local").mkdir(parents=True)
        exchange_identities({name: folder / "local" for name, folder in folders.items()})
        sites = {
            name: NoisySite(
                name,
                folder,
                cases=3,
                dice=lambda w: 0.5,
                settings={**NOISE, **changed.get(name, {})},
                silent_at=[(silent, 0)] if name == "west" else (),
            )
            for name, folder in folders.items()
        }
        settings = {"rounds": 1, "min_sites": 3, "persistor": ManyWeights, "algorithm": NOISE}
        return rehearse(tmp_path / "server", sites, **settings, screening={"max_norm_ratio": None})

    return run


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("silent", [None, *QUESTIONS])
def test_the_noise_is_at_least_as_promised_wherever_a_site_drops_out(run, silent):
    record, engine = run(silent)
    assert record.status == "finished", record.reason
    mean = load_model(engine.run_folder / "model.safetensors")[0]["w"]
    left = 4 if silent in (None, CONFIRM, REVEAL) else 3
    # Each of the sites has full weight, so the sum is the mean times their number.
    deviation = float(np.std(mean)) * left
    expected = 1.5 * 2.0 * math.sqrt(left / 3)
    assert deviation == pytest.approx(expected, rel=5 / math.sqrt(2 * VALUES))
    assert deviation > 1.5 * 2.0 * (1 - 5 / math.sqrt(2 * VALUES))


def test_a_site_whose_copy_of_the_job_has_more_noise_takes_no_part(run):
    """So a server can't have the others add less than a site counts on."""
    record, _ = run(west={"hospital_noise": 3.0})
    answer = record.rounds[0].sites.get("west") or record.rounds[0].questions[ADVERTISE]["west"]
    assert answer.outcome == "refused"
    assert answer.code.value == "secure_aggregation"


@pytest.mark.parametrize(
    ("policy", "honest"),
    [
        ({}, 3),
        ({"min_survivors": 6}, 6),
        ({"min_survivors": 6, "colluding_sites": 2}, 4),
        ({"colluding_sites": 5}, 2),
    ],
)
def test_a_hospital_counts_the_noise_of_the_honest_sites_of_its_own_smallest_sum(tmp_path, policy, honest):
    (tmp_path / PEERS_FILE).write_text(json.dumps({"peers": {}, **policy}))
    settings = SecAggFedAvgSettings(max_norm=2.0, hospital_noise=1.5)
    assert settings.sum_noise(tmp_path) == pytest.approx(1.5 * math.sqrt(honest / 3), rel=1e-3)
    assert SecAggFedAvgSettings().sum_noise(tmp_path) is None
