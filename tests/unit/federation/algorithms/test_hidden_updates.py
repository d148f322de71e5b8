"""Neither memory nor disk nor log of the server has a single update of a job in which it is hidden."""

import multiprocessing
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from nvflare.app_common.abstract.model import make_model_learnable

from consilium.federation.message_names import TEST, TRAIN
from consilium.learning.algorithms.sealed_plan import COMBINE
from consilium.learning.algorithms.secagg_plan import CONFIRM, REVEAL
from consilium.secagg.local_federation import exchange_identities
from federation.rehearsal import Site, TwoWeights, rehearse

from .hidden_sites import VALUES, Proxy, serve
from .test_secagg_fedavg import NAMES, SETTINGS, SecureSite
from .test_swarm import SwarmSite

pytestmark = [
    pytest.mark.integration,  # to look through a process's memory takes a minute
    pytest.mark.skipif(
        not Path("/proc/self/mem").exists(), reason="needs Linux, where a process reads another's memory"
    ),
]


class LargeModel(TwoWeights):
    def load_model(self, fl_ctx):
        weights = {"w": np.zeros(VALUES, np.float32), "mark": np.zeros(1, np.float32)}
        return make_model_learnable(weights=weights, meta_props={"round": 0})


def random_update():
    return {
        "w": np.random.default_rng().normal(size=VALUES).astype(np.float32),
        "mark": np.zeros(1, np.float32),
    }


class ClearSite(Site):
    """Sends its updates as they are."""

    def __init__(self, name, folder):
        super().__init__(cases=3, dice=lambda value: 0.5)
        self.clear = []

    def update(self):
        update = random_update()
        self.clear.append(update["w"])
        return update


class HiddenSite(SecureSite):
    """Sends its updates masked."""

    def __init__(self, name, folder):
        super().__init__(name, folder, cases=3, dice=lambda value: 0.5)
        self.clear = []

    def change(self):
        update = random_update()
        self.clear.append(update["w"])
        return update


class SealedSite(SwarmSite):
    """Sends its updates encrypted for the hospital with the turn."""

    def __init__(self, name, folder):
        super().__init__(name, folder, cases=3, dice=lambda value: 0.5)
        self.clear = []

    def change(self):
        update = random_update()
        self.clear.append(update["w"])
        return update


def make_sites(kind, folder):
    return {name: kind(name, folder / name) for name in NAMES}


def search(kind, tmp_path, moments, **settings):
    """Run a job; returns where updates were found at the server, and how many there were."""
    for name in NAMES:
        (tmp_path / "sites" / name / "local").mkdir(parents=True)
    exchange_identities({name: tmp_path / "sites" / name / "local" for name in NAMES})
    ours, theirs = multiprocessing.Pipe()
    make = partial(make_sites, kind, tmp_path / "sites")
    context = multiprocessing.get_context("spawn")
    process = context.Process(
        target=serve, args=(make, theirs, moments, tmp_path / "server", os.getpid()), daemon=True
    )
    process.start()
    theirs.close()
    try:
        sites = {name: Proxy(name, ours) for name in NAMES}
        record, _ = rehearse(
            tmp_path / "server", sites, rounds=2, min_sites=3, persistor=LargeModel, **settings
        )
        assert record.status == "finished", record.reason
        ours.send(None)
        return ours.recv()
    finally:
        ours.close()
        process.join(60)
        process.kill()


def test_the_server_of_a_plain_job_has_them(tmp_path):
    """The search finds what is there."""
    found, updates, _ = search(ClearSite, tmp_path, [TRAIN])
    assert updates == 8
    assert found == {"memory", "disk"}


def test_the_server_of_a_job_by_secure_aggregation_has_none_clear_or_encoded(tmp_path):
    found, updates, encoded = search(
        HiddenSite, tmp_path, [REVEAL, TEST], algorithm=SETTINGS, screening={"max_norm_ratio": None}
    )
    assert (updates, encoded) == (8, 8)
    assert found == set()


def test_the_server_of_a_swarm_job_has_none(tmp_path):
    found, updates, _ = search(SealedSite, tmp_path, [CONFIRM, COMBINE, TEST], algorithm={"name": "swarm"})
    assert updates == 8
    assert found == set()
