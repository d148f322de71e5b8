import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from consilium.errors import Cancelled, SiteRefusal, TrainingError
from consilium.learning import rounds
from consilium.learning.network_state import initial_weights
from consilium.learning.round_state import RoundStateStore
from consilium.learning.schedule import Schedule
from consilium.learning.trainer import Trainer
from consilium.participant.patient_register import PatientRegister
from consilium.tasks.segmentation.method import RegionLoss

from .tiny import CPU, LEARNING, TinyMethod, TinyTask, cached_case

TASK = TinyTask()
WEIGHTS = initial_weights(TASK, LEARNING, seed=0)


def learning(**changes):
    return LEARNING.model_copy(update={"local_steps": 5, "weight_decay": 0.0, "warmup": 0.0, **changes})


def same(first, second):
    return all(np.array_equal(first[name], second[name]) for name in first)


class PoisonedLoss(nn.Module):
    """The usual loss, but NaN at one call."""

    def __init__(self, call):
        super().__init__()
        self._loss, self._call, self._count = RegionLoss(), call, itertools.count(1)

    def forward(self, logits, target):
        loss = self._loss(logits, target)
        return loss * float("nan") if next(self._count) == self._call else loss


class PoisonedMethod(TinyMethod):
    def build_loss(self, settings):
        return PoisonedLoss(3)


def test_the_loss_falls(cases):
    means = []
    trainer = Trainer(TASK, learning(local_steps=60, learning_rate=0.1), cases, CPU)
    result = trainer.train(WEIGHTS, Schedule(), on_step=lambda step, steps, loss: means.append(loss))
    assert result.steps == len(means) == 60
    assert result.loss == means[-1]
    losses = np.diff([0, *(step * mean for step, mean in enumerate(means, start=1))])
    assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:5])


def test_no_loss_and_no_difference_of_two_is_of_few_patients(cases):
    means = []
    trainer = Trainer(TASK, learning(local_steps=8), cases, CPU, min_patients=3)
    result = trainer.train(WEIGHTS, Schedule(), on_step=lambda step, steps, loss: means.append(loss))
    assert means[:2] == [None, None]
    assert means[2] == means[3] == means[4] != means[5] == means[6] == means[7] == result.loss


@pytest.mark.parametrize("steps", [1, 2])
def test_a_round_that_showed_few_patients_gives_nothing(cases, tmp_path, steps):
    memory, reported = RoundStateStore(tmp_path / "kept"), []
    trainer = Trainer(TASK, learning(local_steps=steps), cases, CPU, min_patients=3, memory=memory)
    with pytest.raises(SiteRefusal, match="fewer than 3 patients"):
        trainer.train(WEIGHTS, Schedule(), on_step=lambda step, steps, loss: reported.append(loss))
    assert reported == [None] * steps
    assert memory.recall(1) is None


def test_many_examinations_of_few_patients_are_few_patients(cases):
    visits = [replace(case, patient="Ann" if case.id != "P0" else "Bob") for case in cases]
    with pytest.raises(SiteRefusal, match="fewer than 3 patients"):
        Trainer(TASK, learning(local_steps=9), visits, CPU, min_patients=3).train(WEIGHTS, Schedule())
    assert Trainer(TASK, learning(local_steps=2), visits, CPU, min_patients=2).train(WEIGHTS, Schedule()).loss


def test_patients_whose_files_are_lost_in_a_round_do_not_count(cases):
    (cases[1].folder / "image.npy").unlink()
    with pytest.raises(SiteRefusal, match="fewer than 3 patients"):
        Trainer(TASK, learning(local_steps=9), cases, CPU, min_patients=3).train(WEIGHTS, Schedule())


def test_epochs_count_cases_instead_of_steps(cases):
    settings = learning(local_steps=None, local_epochs=4, batch_size=2)
    steps = []
    result = Trainer(TASK, settings, cases, CPU).train(
        WEIGHTS, Schedule(), on_step=lambda step, total, loss: steps.append((step, total))
    )
    assert result.steps == 6
    assert steps == [(step, 6) for step in range(1, 7)]


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_cancelling_stops_before_the_next_step(cases, allowed):
    steps = []
    with pytest.raises(Cancelled, match=f"step {allowed} of 5"):
        Trainer(TASK, learning(), cases, CPU).train(
            WEIGHTS,
            Schedule(),
            cancelled=lambda: len(steps) >= allowed,
            on_step=lambda step, total, loss: steps.append(step),
        )
    assert len(steps) == allowed


def advance(monkeypatch, seconds):
    """Let so much time pass whenever the clock is read."""
    ticks = itertools.count(0, seconds)
    monkeypatch.setattr(rounds.time, "monotonic", lambda: next(ticks))


def test_a_slow_site_does_what_it_can_in_the_time_and_reports_its_steps(cases, monkeypatch):
    settings = learning(local_steps=50, round_minutes=1.0)
    weights = initial_weights(TinyTask(), settings, 0)
    done = []
    advance(monkeypatch, 15)
    trainer = Trainer(TinyTask(), settings, cases, CPU)
    result = trainer.train(weights, Schedule(), on_step=lambda *step: done.append(step[:2]))
    assert result.steps == 4
    assert done == [(1, 50), (2, 50), (3, 50), (4, 50)]
    assert not same(result.weights, weights)
    advance(monkeypatch, 0.01)
    assert Trainer(TinyTask(), settings, cases, CPU).train(weights, Schedule()).steps == 50


def test_a_round_shows_enough_patients_whatever_the_time(cases, monkeypatch):
    settings = learning(local_steps=50, round_minutes=1.0)
    patients = len({case.patient for case in cases})
    advance(monkeypatch, 1000)
    trainer = Trainer(TinyTask(), settings, cases, CPU, min_patients=patients)
    assert trainer.train(initial_weights(TinyTask(), settings, 0), Schedule()).steps == patients


def test_a_non_finite_loss_stops_the_round_and_says_where(cases):
    steps = []
    with pytest.raises(TrainingError, match=r"nan at step 3 of 5 in round 2.*learning_rate"):
        Trainer(TinyTask(PoisonedMethod), learning(), cases, CPU).train(
            WEIGHTS, Schedule(1, 4), on_step=lambda step, total, loss: steps.append(step)
        )
    assert steps == [1, 2]


def test_a_site_recovers_in_the_round_after_a_non_finite_loss(cases):
    trainer = Trainer(TinyTask(PoisonedMethod), learning(), cases, CPU)
    with pytest.raises(TrainingError):
        trainer.train(WEIGHTS, Schedule(0, 2))
    result = trainer.train(WEIGHTS, Schedule(1, 2))
    assert np.isfinite(result.loss)
    assert all(np.isfinite(value).all() for value in result.weights.values())


def test_the_same_seed_and_start_give_the_same_result(cases):
    first, again = (Trainer(TASK, learning(), cases, CPU).train(WEIGHTS, Schedule()) for _ in range(2))
    other = Trainer(TASK, learning(seed=4), cases, CPU).train(WEIGHTS, Schedule())
    assert same(first.weights, again.weights)
    assert first.loss == again.loss
    assert not same(first.weights, other.weights)


def first_loss(cases, **options):
    losses = []
    settings = learning(local_steps=options.pop("steps", 3), learning_rate=1e-6)
    trainer = Trainer(TASK, settings, cases, CPU, **options)
    trainer.train(WEIGHTS, Schedule(), on_step=lambda step, steps, loss: losses.append(loss))
    return losses[0]


def test_a_site_draws_by_its_own_seed_where_it_has_one(cases):
    # With the job's seed, a job with a step more repeats the steps of the other: they can be subtracted.
    assert first_loss(cases, steps=3) == first_loss(cases, steps=4)
    assert first_loss(cases, draw_seed=LEARNING.seed) == first_loss(cases)
    assert len({first_loss(cases, draw_seed=seed) for seed in range(5)}) == 5


def test_a_case_that_can_no_longer_be_read_is_left_out_for_good(cases):
    trainer = Trainer(TASK, learning(local_steps=None, local_epochs=2), cases, CPU)
    assert trainer.train(WEIGHTS, Schedule()).unreadable == ()
    (cases[1].folder / "image.npy").unlink()
    result = trainer.train(WEIGHTS, Schedule(1, 2))
    assert (result.unreadable, result.steps) == ((cases[1].id,), 6)
    assert trainer.train(WEIGHTS, Schedule(1, 2)).steps == 4


def test_dropout_repeats_too(cases):
    class Dropping(TinyMethod):
        def build_network(self, settings):
            return nn.Sequential(nn.Dropout3d(0.5), super().build_network(settings))

    task, noise = TinyTask(Dropping), [1, 2]
    start = initial_weights(task, LEARNING, seed=0)
    results = []
    for seed in noise:
        torch.manual_seed(seed)  # what the process drew before must not matter
        results.append(Trainer(task, learning(), cases, CPU).train(start, Schedule()).weights)
    assert same(*results)


def test_another_round_draws_other_patches(cases):
    first, second = (
        Trainer(TASK, learning(), cases, CPU).train(WEIGHTS, Schedule(index, 10**6)).loss for index in (0, 1)
    )
    assert first != second


def test_a_round_starts_from_the_weights_received_and_not_from_its_own(cases):
    trainer = Trainer(TASK, learning(learning_rate=0.1), cases, CPU)
    trainer.train(WEIGHTS, Schedule(0, 2))
    received = {name: value + 3 for name, value in WEIGHTS.items()}
    # The last of very many rounds: the rate is 1 % of the full one, so five steps move nothing far.
    result = trainer.train(received, Schedule(9999, 10_000))
    for name, value in received.items():
        np.testing.assert_allclose(result.weights[name], value, atol=5 * 0.1 * 0.01 * 2)


def test_a_network_sees_another_contrast_at_every_step_of_the_same_patch(tmp_path):
    class Watching(nn.Conv3d):
        def forward(self, image):
            seen.append(float(image.max()))
            return super().forward(image)

    class WatchingMethod(TinyMethod):
        def build_network(self, settings):
            return Watching(4, 3, 1)

    seen = []
    constant = cached_case(tmp_path, np.ones((16, 16, 16)))
    Trainer(TinyTask(WatchingMethod), learning(), [constant], CPU).train(WEIGHTS, Schedule())
    assert len(set(seen)) == 5


def test_what_a_site_gets_back_does_not_change_with_later_training(cases):
    trainer = Trainer(TASK, learning(learning_rate=0.1), cases, CPU)
    first = trainer.train(WEIGHTS, Schedule(0, 2)).weights
    kept = {name: value.copy() for name, value in first.items()}
    trainer.train(WEIGHTS, Schedule(1, 2))
    assert same(first, kept)


@pytest.mark.parametrize("index", [0, 5, 9])
def test_steps_are_as_large_as_the_schedule_says(cases, index):
    settings, schedule = learning(local_steps=1, learning_rate=0.02), Schedule(index, 10)
    moved = Trainer(TASK, settings, cases, CPU).train(WEIGHTS, schedule).weights
    # Adam's first step moves every weight by the learning rate.
    largest = max(np.abs(moved[name] - WEIGHTS[name]).max() for name in WEIGHTS)
    assert largest == pytest.approx(schedule.rate(settings, 0, 1), rel=1e-2)


def test_no_case_is_an_error_before_anything_starts():
    with pytest.raises(TrainingError, match="no labeled case"):
        Trainer(TASK, learning(), [], CPU)


def test_weights_that_do_not_fit_stop_the_round(cases):
    with pytest.raises(TrainingError, match="missing weight"):
        Trainer(TASK, learning(), cases, CPU).train({"bias": WEIGHTS["bias"]}, Schedule())


class _StandsStill(Trainer):
    """A trainer whose model never changes: the loss of a step is what its patient's images say."""

    def _step(self, local, batch, step):
        return float(batch[0].float().mean())


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("draw_seed", "solved"), [(None, True), (PatientRegister(b"secret").draw_seed("job"), False)]
)
def test_losses_of_a_model_that_stands_still_are_nobodys(tmp_path, draw_seed, solved):
    """Each round is a linear equation: who knows whose patches it shows solves for each patient's loss."""
    patients, rounds, shown = 24, 150, 5
    true = np.random.default_rng(1).permutation(patients) / patients
    blank = np.zeros((16, 16, 16))
    cases = [
        cached_case(tmp_path, blank, np.full((4, 16, 16, 16), value), name=f"P{place:02}")
        for place, value in enumerate(true)
    ]
    settings = learning(local_steps=shown)
    trainer = _StandsStill(TASK, settings, cases, CPU, min_patients=shown, draw_seed=draw_seed)
    losses = [trainer.train(WEIGHTS, Schedule(index, rounds)).loss for index in range(rounds)]
    equations = np.zeros((rounds, patients))
    for index, row in enumerate(equations):  # what follows from the job's seed and the number of patients
        seed = settings.seed * 1_000_003 + index
        row[np.random.default_rng([seed, 0]).permutation(patients)[:shown]] = 1 / shown
    error = np.sqrt(np.mean((np.linalg.lstsq(equations, losses)[0] - true) ** 2))
    assert error < 0.01 if solved else error > 0.9 * true.std()
