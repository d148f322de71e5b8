"""Training processes on GPUs: NCCL for gradients, gloo for what the processes agree on."""

import os

import numpy as np
import pytest
from torch import distributed
from torch.distributed import FileStore

from consilium.learning.algorithms import local_algorithm, parse_algorithm
from consilium.learning.processes.single_process import SingleProcess
from consilium.learning.processes.worker_group import WorkerGroup
from consilium.learning.ranks import Ranks
from consilium.learning.schedule import Schedule
from consilium.learning.training_setup import TrainingSetup

from .conftest import DEVICE
from .patients import LEARNING, SEGRESNET, apart, make_patients, start_of, train

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return make_patients(tmp_path_factory.mktemp("patients"))


def test_a_group_trains_evaluates_and_ends_as_one_process(cases, compute, tmp_path):
    setup = TrainingSetup(LEARNING, compute, cases, memory=tmp_path / "memory")
    start = start_of(LEARNING)
    alone = SingleProcess(TrainingSetup(LEARNING, compute, cases)).train(start, Schedule(0, 3))
    group = WorkerGroup(setup, size=1)
    try:
        together = group.train(start, Schedule(0, 3))
        scores = group.score(together.weights, cases, final=False)
    finally:
        group.close()
    distance = apart(together.weights, alone.weights, start)
    assert distance < 0.5  # each process tunes its convolutions; 0.16 in bfloat16 on an H200
    assert together.loss == pytest.approx(alone.loss, rel=0.01)
    assert all(row is not None for row in scores)
    assert not group.folder.exists()


@pytest.fixture
def process_group(tmp_path, monkeypatch):
    """The connections of a training process, of which this one is all there are."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", os.environ.get("GLOO_SOCKET_IFNAME", "lo"))
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", os.environ.get("NCCL_SOCKET_IFNAME", "lo"))
    backends = "gloo" if DEVICE == "cpu" else "cpu:gloo,cuda:nccl"
    store = FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group(backends, store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize("name", ["fedavg", "scaffold", "ditto", "fedprox"])
def test_gradients_are_exchanged_by_nccl(cases, device, process_group, name):
    """The first of two processes, whose group has one: all is exchanged, and the other adds nothing."""
    settings, start = parse_algorithm({"name": name}), start_of(SEGRESNET)
    zeros = {key: np.zeros_like(value) for key, value in start.items()}
    result = train(
        cases,
        device,
        SEGRESNET,
        ranks=Ranks(0, 2),
        algorithm=local_algorithm(settings, SEGRESNET),
        sets=dict.fromkeys(settings.declaration.received, zeros),
    )
    assert np.isfinite(result.loss)
    assert all(np.isfinite(value).all() for value in result.weights.values())
    assert result.steps == SEGRESNET.local_steps
