"""Ditto at a site: a personal model beside the network."""

import numpy as np
import pytest
import torch

from consilium.federation.site.replies import check_outgoing
from consilium.learning.algorithms.ditto import DittoAlgorithmSettings, LocalDitto
from consilium.learning.ranks import Ranks
from consilium.learning.round_state import RoundStateStore
from consilium.learning.schedule import Schedule
from consilium.learning.trainer import Trainer
from learning.test_trainer import TASK, WEIGHTS, learning, same
from learning.tiny import CPU

ELSEWHERE = {name: value + np.float32(0.5) for name, value in WEIGHTS.items()}


def trainer(cases, strength, memory=None, **changes):
    settings = learning(**changes)
    algorithm = LocalDitto(DittoAlgorithmSettings(strength=strength), settings)
    return Trainer(TASK, settings, cases, CPU, memory=memory, algorithm=algorithm)


def distance(first, second):
    return np.sqrt(sum(np.sum((first[name] - second[name]) ** 2) for name in first))


def test_the_network_is_trained_as_without_it_and_nothing_more_is_sent(cases):
    plain = Trainer(TASK, learning(), cases, CPU).train(WEIGHTS, Schedule())
    result = trainer(cases, 1.0).train(WEIGHTS, Schedule())
    assert same(plain.weights, result.weights)
    assert plain.loss == result.loss
    assert (result.sent, result.numbers) == ({}, {})
    assert result.personal.keys() == WEIGHTS.keys()
    check_outgoing(result, DittoAlgorithmSettings())


def test_with_strength_0_it_is_the_local_only_model_whatever_is_received(cases):
    """Its steps on its own weights, moments and samples are those of a training alone."""
    alone, ditto = Trainer(TASK, learning(), cases, CPU), trainer(cases, 0.0)
    weights = WEIGHTS
    for index, received in enumerate((WEIGHTS, ELSEWHERE, WEIGHTS)):
        weights = alone.train(weights, Schedule(index, 3)).weights
        personal = ditto.train(received, Schedule(index, 3)).personal
        for name, value in weights.items():
            np.testing.assert_allclose(personal[name], value, rtol=1e-6, atol=1e-7)


@pytest.mark.long
def test_the_stronger_the_term_the_nearer_it_is_to_the_received_model(cases):
    def after(strength):
        ditto = trainer(cases, strength, local_steps=30, learning_rate=0.05)
        ditto.train(WEIGHTS, Schedule(0, 2))
        return distance(ditto.train(ELSEWHERE, Schedule(1, 2)).personal, ELSEWHERE)

    distances = [after(strength) for strength in (0.0, 0.3, 10.0)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.6 * distances[0]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("kept", [True, False], ids=["a new process", "the same process"])
def test_a_round_continues_its_model_and_moments_and_is_the_same_when_repeated(cases, tmp_path, kept):
    whole = trainer(cases, 0.5)
    whole.train(WEIGHTS, Schedule(0, 2))
    second = whole.train(ELSEWHERE, Schedule(1, 2))
    again = trainer(cases, 0.5, RoundStateStore(tmp_path / "kept"))
    again.train(WEIGHTS, Schedule(0, 2))
    if kept:
        again = trainer(cases, 0.5, RoundStateStore(tmp_path / "kept"))
    for _ in range(2):
        repeated = again.train(ELSEWHERE, Schedule(1, 2))
        assert same(repeated.weights, second.weights)
        assert same(repeated.personal, second.personal)


def one_of_two(rank, folder, cases, results):
    store = torch.distributed.FileStore(str(folder / "store"), 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    settings = learning(batch_size=2)
    algorithm = LocalDitto(DittoAlgorithmSettings(strength=0.5), settings)
    one = Trainer(TASK, settings, cases, CPU, ranks=Ranks(rank, 2), algorithm=algorithm)
    personal = one.train(WEIGHTS, Schedule()).personal
    torch.save({name: torch.from_numpy(value) for name, value in personal.items()}, results / f"{rank}.pt")


@pytest.mark.integration
def test_two_processes_of_a_site_have_the_personal_model_of_one(cases, tmp_path):
    torch.multiprocessing.spawn(one_of_two, (tmp_path, cases, tmp_path), nprocs=2)
    alone = trainer(cases, 0.5, batch_size=2).train(WEIGHTS, Schedule()).personal
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for name, value in alone.items():
        assert torch.equal(first[name], second[name])
        np.testing.assert_allclose(first[name].numpy(), value, atol=1e-5)
