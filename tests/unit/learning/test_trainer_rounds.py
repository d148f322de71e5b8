"""What a trainer keeps from round to round, in one process and in a later one."""

import itertools

import pytest
import torch

from consilium.errors import Cancelled, TrainingError
from consilium.learning.algorithms import local_algorithm, parse_algorithm
from consilium.learning.ranks import Ranks
from consilium.learning.round_state import RoundStateStore
from consilium.learning.schedule import Schedule
from consilium.learning.trainer import Trainer
from consilium.learning.weights import MODEL

from .test_trainer import TASK, WEIGHTS, PoisonedMethod, learning, same
from .tiny import CPU, TinyTask


def train_rounds(cases, indices, memory=None, weights=WEIGHTS):
    """Train rounds in one process, each from the weights of the one before."""
    trainer = Trainer(TASK, learning(), cases, CPU, memory=memory and RoundStateStore(memory))
    for index in indices:
        weights = trainer.train(weights, Schedule(index, 4)).weights
    return weights


def test_a_new_process_continues_with_the_moments_of_the_last(cases, tmp_path):
    undisturbed = train_rounds(cases, range(3))
    after_two = train_rounds(cases, range(2), tmp_path / "kept")
    assert same(train_rounds(cases, [2], tmp_path / "kept", after_two), undisturbed)
    assert not same(train_rounds(cases, [2], None, after_two), undisturbed)


@pytest.mark.parametrize("on_disk", [True, False], ids=["on disk", "in the process"])
def test_rounds_before_leave_no_trace_in_an_update_of_secure_aggregation(cases, tmp_path, on_disk):
    """A server could have others train on a model with large gradients, whose moments shrink their steps."""

    def trainer(folder):
        algorithm = local_algorithm(parse_algorithm({"name": "secagg_fedavg"}), learning())
        memory = RoundStateStore(folder) if on_disk else None
        return Trainer(TASK, learning(), cases, CPU, memory=memory, algorithm=algorithm)

    prepared = trainer(tmp_path / "prepared")
    large = {name: 30 * value for name, value in WEIGHTS.items()}
    prepared.train(large, Schedule(1, 4))
    prepared.train(large, Schedule(0, 4))
    fresh = trainer(tmp_path / "fresh").train(WEIGHTS, Schedule(1, 4)).weights
    assert same(prepared.train(WEIGHTS, Schedule(1, 4)).weights, fresh)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("again", [True, False], ids=["the same process", "a new process"])
def test_a_round_that_is_repeated_gives_the_same_update(cases, tmp_path, again):
    trainer = Trainer(TASK, learning(), cases, CPU, memory=RoundStateStore(tmp_path / "kept"))
    first = trainer.train(WEIGHTS, Schedule(0, 4)).weights
    second = trainer.train(first, Schedule(1, 4)).weights
    if not again:
        trainer = Trainer(TASK, learning(), cases, CPU, memory=RoundStateStore(tmp_path / "kept"))
    assert same(trainer.train(first, Schedule(1, 4)).weights, second)


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("kept", [True, False], ids=["on disk", "in the process"])
@pytest.mark.parametrize("index", [0, 1])
def test_a_round_that_was_stopped_half_way_gives_the_update_of_an_undisturbed_one(
    cases, tmp_path, kept, index
):
    """The first round, too: it starts without moments, and not with those of its half."""
    undisturbed = train_rounds(cases, range(index + 1))
    trainer = Trainer(
        TASK, learning(), cases, CPU, memory=RoundStateStore(tmp_path / "kept") if kept else None
    )
    weights, calls = WEIGHTS, itertools.count()
    for number in range(index):
        weights = trainer.train(weights, Schedule(number, 4)).weights
    with pytest.raises(Cancelled):
        trainer.train(weights, Schedule(index, 4), cancelled=lambda: next(calls) == 3)
    assert same(trainer.train(weights, Schedule(index, 4)).weights, undisturbed)
    assert same(trainer.train(weights, Schedule(index, 4)).weights, undisturbed)  # and once more, complete


def test_a_round_whose_loss_became_nan_can_be_trained_again(cases):
    trainer = Trainer(TinyTask(PoisonedMethod), learning(), cases, CPU)
    with pytest.raises(TrainingError, match="nan"):
        trainer.train(WEIGHTS, Schedule(0, 4))
    assert same(trainer.train(WEIGHTS, Schedule(0, 4)).weights, train_rounds(cases, [0]))


@pytest.mark.long
def test_a_site_that_missed_a_round_continues_alike_in_any_process(cases, tmp_path):
    undisturbed = train_rounds(cases, [0, 1, 3])
    after_two = train_rounds(cases, [0, 1], tmp_path / "kept")
    assert same(train_rounds(cases, [3], tmp_path / "kept", after_two), undisturbed)


def test_a_server_that_returns_to_an_older_round_is_followed(cases, tmp_path):
    """What was trained after that round belongs to an abandoned line; its moments and model are of no use."""
    start = train_rounds(cases, [0], tmp_path / "line")
    undisturbed = train_rounds(cases, [1, 2], tmp_path / "line", start)
    train_rounds(cases, range(4), tmp_path / "kept")
    trained = train_rounds(cases, [0], tmp_path / "kept")
    assert same(RoundStateStore(tmp_path / "kept").recall(4).arrays[MODEL], trained)
    assert same(train_rounds(cases, [1, 2], tmp_path / "kept", trained), undisturbed)


class WithAnother(Ranks):
    """This process, and one that can read none of its cases any more, or has to stop."""

    marks = (0, 1)

    def union(self, marks):
        return torch.maximum(marks, torch.tensor(self.marks, dtype=torch.uint8)) if len(marks) == 2 else marks


class WithAStopped(WithAnother):
    marks = (1, 0)


@pytest.mark.parametrize(
    ("ranks", "error", "reason"),
    [(WithAnother(), TrainingError, "can be read any more"), (WithAStopped(), Cancelled, "step 0 of 5")],
)
def test_a_process_stops_with_the_others_and_waits_for_none_of_them(cases, ranks, error, reason):
    with pytest.raises(error, match=reason):
        Trainer(TASK, learning(), cases, CPU, ranks=ranks).train(WEIGHTS, Schedule())


def test_moments_that_can_t_be_kept_cost_no_round(cases, tmp_path, caplog):
    (tmp_path / "kept").write_text("a file where the folder belongs")
    assert same(train_rounds(cases, range(2), tmp_path / "kept"), train_rounds(cases, range(2)))
    assert "state of round 1 could not be saved" in caplog.text
