"""An algorithm that the package doesn't know, in the trainer: in one process and in several."""

from itertools import islice, repeat

import numpy as np
import pytest
import torch
from toy_algorithm import CHANGE, CONTROL, LocalToy, ToySettings

from consilium.errors import TrainingError
from consilium.federation.site.replies import check_outgoing
from consilium.learning.algorithms.base import LocalAlgorithm, Outgoing
from consilium.learning.algorithms.fedavg import FedAvgAlgorithmSettings
from consilium.learning.ranks import Ranks
from consilium.learning.round_state import RoundStateStore
from consilium.learning.schedule import Schedule
from consilium.learning.trainer import Trainer
from learning.test_trainer import TASK, WEIGHTS, learning, same
from learning.tiny import CPU

CONTROLS = {CONTROL: {"weight": np.full_like(WEIGHTS["weight"], 0.01)}}


def trainer(cases, mu=0.5, memory=None, algorithm=None, **changes):
    settings = learning(**changes)
    algorithm = algorithm or LocalToy(ToySettings(mu=mu), settings)
    return Trainer(TASK, settings, cases, CPU, memory=memory, algorithm=algorithm)


def test_without_its_terms_it_is_federated_averaging_bit_for_bit(cases):
    plain = Trainer(TASK, learning(), cases, CPU).train(WEIGHTS, Schedule())
    toy = trainer(cases, mu=0.0).train(WEIGHTS, Schedule())
    assert same(plain.weights, toy.weights)
    assert plain.loss == toy.loss
    assert (plain.sent, plain.numbers, plain.personal) == ({}, {}, {})


def test_a_proximal_term_keeps_weights_near_and_is_no_part_of_the_loss(cases):
    def moved(mu):
        result = trainer(cases, mu=mu, local_steps=30, learning_rate=0.05).train(WEIGHTS, Schedule())
        return np.abs(result.weights["weight"] - WEIGHTS["weight"]).sum(), result.loss

    (free, _), (held, loss) = moved(0.0), moved(10.0)
    assert held < 0.7 * free
    assert 0 < loss < 5


def test_gradients_are_changed_before_the_step(cases):
    toy = trainer(cases, mu=0.0).train(WEIGHTS, Schedule(), sets=CONTROLS)
    assert not same(toy.weights, trainer(cases, mu=0.0).train(WEIGHTS, Schedule()).weights)


def test_what_stays_is_personal_and_never_sent(cases):
    result = trainer(cases).train(WEIGHTS, Schedule(), sets=CONTROLS)
    assert result.sent[CHANGE].keys() == {"weight"}
    assert result.personal.keys() == {"bias"}
    check_outgoing(result, ToySettings())


class Leaky(LocalToy):
    """Would send what stays."""

    def end(self, local):
        sent = super().end(local)
        return Outgoing({CHANGE: {**sent.sets[CHANGE], "bias": np.zeros(3)}}, sent.numbers)


class Undeclared(LocalToy):
    """Would send a set that nobody knows of."""

    def end(self, local):
        sent = super().end(local)
        return Outgoing({**sent.sets, "images": {"x": np.zeros(3)}}, sent.numbers)


@pytest.mark.parametrize(("kind", "reason"), [(Leaky, "weights that stay"), (Undeclared, "and declares")])
def test_what_an_algorithm_may_not_send_stops_at_the_site(cases, kind, reason):
    result = trainer(cases, algorithm=kind(ToySettings(), learning())).train(WEIGHTS, Schedule())
    with pytest.raises(TrainingError, match=reason):
        check_outgoing(result, ToySettings())


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("kept", [True, False], ids=["a new process", "the same process"])
def test_a_round_starts_from_what_the_one_before_left(cases, tmp_path, kept):
    whole = trainer(cases)
    first = whole.train(WEIGHTS, Schedule(0, 3), sets=CONTROLS)
    second = whole.train(first.weights, Schedule(1, 3), sets=CONTROLS)
    memory = RoundStateStore(tmp_path / "kept")
    again = trainer(cases, memory=memory)
    again.train(WEIGHTS, Schedule(0, 3), sets=CONTROLS)
    if kept:
        again = trainer(cases, memory=RoundStateStore(tmp_path / "kept"))
    for _ in range(2):  # and the same once more, as after a lost answer
        repeated = again.train(first.weights, Schedule(1, 3), sets=CONTROLS)
        assert same(repeated.weights, second.weights)
        assert same(repeated.sent[CHANGE], second.sent[CHANGE])
    assert memory.recall(2).state["algorithm"] == {"steps": 10}


class PerPatient(LocalAlgorithm):
    """Clips each row by itself, with an optimizer of its own."""

    max_gradient_norm = None

    def build_optimizer(self, network):
        return torch.optim.SGD(network.parameters(), lr=0.1)

    def compute_gradients(self, local, step):
        total = {name: torch.zeros_like(value) for name, value in local.network.named_parameters()}
        for row in range(len(step.images)):
            local.optimizer.zero_grad(set_to_none=True)
            loss = step.loss(step.images[row : row + 1], step.target[row : row + 1])
            step.backward(loss)
            torch.nn.utils.clip_grad_norm_(local.network.parameters(), 1e-3)
            for name, value in local.network.named_parameters():
                total[name] += value.grad
        for name, value in local.network.named_parameters():
            value.grad = total[name]
        return loss


def test_an_algorithm_may_take_the_step_apart(cases):
    settings = learning(batch_size=2, local_steps=3)
    algorithm = PerPatient(FedAvgAlgorithmSettings(), settings)
    result = Trainer(TASK, settings, cases, CPU, algorithm=algorithm).train(WEIGHTS, Schedule(0, 1))
    moved = np.sqrt(sum(np.sum((result.weights[name] - WEIGHTS[name]) ** 2) for name in WEIGHTS))
    rates = sum(Schedule(0, 1).rate(settings, step, 3) for step in range(3))
    assert 0 < moved <= 2 * 1e-3 * rates * 1.01


class Recorded(LocalAlgorithm):
    """Records the cases of each step."""

    def begin(self, local):
        self.places, self.round = [], local.schedule.round_index

    def compute_gradients(self, local, step):
        self.places.append(step.places.tolist())
        return super().compute_gradients(local, step)


class Repeating(Recorded):
    """Trains on one batch of the trainer's own, as many as the round has begun."""

    def batches(self, local, batches):
        assert local.schedule.round_index == self.round  # the round has begun
        return repeat(list(islice(batches, self.round + 1))[-1])


def test_an_algorithm_chooses_the_batches_that_a_round_trains_on(cases):
    def places(kind, index):
        algorithm = kind(FedAvgAlgorithmSettings(), learning())
        result = trainer(cases, algorithm=algorithm).train(WEIGHTS, Schedule(index, 2))
        assert len(algorithm.places) == result.steps
        return algorithm.places

    own = places(Recorded, 1)
    assert own[0] != own[1]
    assert places(Repeating, 1) == [own[1]] * len(own)


def one_of_two(rank, folder, cases, results):
    store = torch.distributed.FileStore(str(folder / "store"), 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    settings = learning(batch_size=2)
    one = Trainer(
        TASK, settings, cases, CPU, ranks=Ranks(rank, 2), algorithm=LocalToy(ToySettings(mu=0.5), settings)
    )
    first = one.train(WEIGHTS, Schedule(0, 2), sets=CONTROLS)
    second = one.train(first.weights, Schedule(1, 2), sets=CONTROLS)
    torch.save(
        [
            {name: torch.from_numpy(value) for name, value in part.items()}
            for part in (second.weights, second.sent[CHANGE])
        ],
        results / f"{rank}.pt",
    )


@pytest.mark.integration
def test_two_processes_of_a_site_do_what_one_does(cases, tmp_path):
    torch.multiprocessing.spawn(one_of_two, (tmp_path, cases, tmp_path), nprocs=2)
    settings = learning(batch_size=2)
    alone = Trainer(TASK, settings, cases, CPU, algorithm=LocalToy(ToySettings(mu=0.5), settings))
    first = alone.train(WEIGHTS, Schedule(0, 2), sets=CONTROLS)
    second = alone.train(first.weights, Schedule(1, 2), sets=CONTROLS)
    (weights, change), (others, other_change) = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for name, value in weights.items():
        assert torch.equal(value, others[name])
        np.testing.assert_allclose(value.numpy(), second.weights[name], atol=1e-5)
    assert torch.equal(change["weight"], other_change["weight"])
    np.testing.assert_allclose(change["weight"].numpy(), second.sent[CHANGE]["weight"], atol=1e-5)
