import itertools
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from consilium.errors import ConfigurationError, TrainingError
from consilium.learning.algorithms import local_algorithm, parse_algorithm
from consilium.learning.algorithms.dp_sgd import (
    DpSgdAlgorithmSettings,
    LocalDpSgd,
)
from consilium.learning.patient_gradients import PatientGradients
from consilium.learning.ranks import Ranks
from consilium.learning.round_state import RoundStateStore
from consilium.learning.schedule import Schedule
from consilium.learning.trainer import Trainer
from consilium.privacy.accounting import epsilon_spent
from consilium.privacy.mechanism import SampledGaussian
from learning.test_trainer import TASK, WEIGHTS, learning, same
from learning.tiny import CPU, TinyMethod, TinyTask, cached_case

STEPS = 4


def paid(sigma=1.0, rate=1.0, steps=STEPS, round_index=0, rounds=1):
    return Schedule(
        round_index,
        rounds,
        (SampledGaussian(noise_multiplier=sigma, sampling_rate=rate, steps=steps),),
    )


def trainer(cases, task=TASK, ranks=None, memory=None, **changes):
    settings = learning(local_steps=STEPS, batch_size=3)
    algorithm = LocalDpSgd(DpSgdAlgorithmSettings(**changes), settings)
    return Trainer(task, settings, cases, CPU, ranks=ranks or Ranks(), memory=memory, algorithm=algorithm)


@pytest.fixture
def without_noise(monkeypatch):
    monkeypatch.setattr(PatientGradients, "add_noise", lambda *noise: None)


class Watched(LocalDpSgd):
    """Keeps the gradients of its steps, and who was drawn."""

    def begin(self, local):
        super().begin(local)
        self.gradients, self.drawn = [], []

    def compute_gradients(self, local, step):
        loss = super().compute_gradients(local, step)
        self.gradients.append([value.grad.clone() for value in local.network.parameters()])
        self.drawn.append(step.places[:: self.samples_per_patient].tolist())
        return loss


def watch(cases, schedule, **changes):
    settings = learning(local_steps=schedule.paid[0].steps, batch_size=3)
    algorithm = Watched(DpSgdAlgorithmSettings(**changes), settings)
    Trainer(TASK, settings, cases, CPU, algorithm=algorithm).train(WEIGHTS, schedule)
    return algorithm


class Plain(LocalDpSgd):
    """The mean over patients of their gradients, by one ordinary backward pass."""

    def compute_gradients(self, local, step):
        size, places = self.samples_per_patient, step.images.split(self.samples_per_patient)
        losses = [
            step.loss(images, target) for images, target in zip(places, step.target.split(size), strict=True)
        ]
        torch.stack(losses).mean().backward()
        return torch.zeros(())


def test_with_everybody_drawn_no_noise_and_no_clipping_it_is_gradient_descent(cases, without_noise):
    settings = learning(local_steps=STEPS, batch_size=3)
    ours, plain = (
        Trainer(TASK, settings, cases, CPU, algorithm=kind(DpSgdAlgorithmSettings(clip=50.0), settings))
        for kind in (LocalDpSgd, Plain)
    )
    results = [one.train(WEIGHTS, paid()) for one in (ours, plain)]
    for name, value in results[0].weights.items():
        np.testing.assert_allclose(value, results[1].weights[name], rtol=1e-4, atol=1e-6)
        assert not np.array_equal(value, WEIGHTS[name])


def test_one_patient_changes_a_step_by_at_most_the_bound_over_the_expected_number(cases, without_noise):
    clip = 1e-3

    def step(one):
        algorithm = watch(one, paid(steps=1), clip=clip)
        return torch.cat([value.flatten() for value in algorithm.gradients[0]]) * len(one)

    everybody = step(cases)
    others = step(cases[:2])  # their patches are the same: they follow from the place among the patients
    assert 0 < float((everybody - others).norm()) <= clip * (1 + 1e-6)
    assert float(everybody.norm()) <= 3 * clip * (1 + 1e-6)


def test_many_examinations_of_a_patient_are_one_contribution(cases, without_noise):
    visits = [replace(case, patient="Ann") for case in cases]
    algorithm = watch(visits, paid(steps=3), clip=1e-3)
    for gradients in algorithm.gradients:
        norm = torch.cat([value.flatten() for value in gradients]).norm()
        assert float(norm) <= 1e-3 * (1 + 1e-6)


def test_patients_are_drawn_independently_and_differently_each_time(tmp_path):
    random = np.random.default_rng(0)
    crowd = [cached_case(tmp_path, random.integers(0, 4, (16, 16, 16)), name=f"P{i}") for i in range(12)]
    first, second = (watch(crowd, paid(rate=0.25, steps=60)).drawn for _ in range(2))
    assert first != second
    counts = np.bincount([place for drawn in first + second for place in drawn], minlength=12)
    assert counts.min() > 10  # 30 expected
    assert counts.max() < 55
    sizes = [len(drawn) for drawn in first + second]
    assert np.mean(sizes) == pytest.approx(3, abs=0.6)
    assert np.var(sizes) == pytest.approx(12 * 0.25 * 0.75, abs=1.5)  # 0 for batches of one size


def test_a_step_that_draws_nobody_takes_noise_all_the_same(cases):
    algorithm = watch(cases, paid(rate=1e-9, sigma=2.0, steps=2), clip=1.0)
    assert algorithm.drawn == [[], []]
    for gradients in algorithm.gradients:
        assert all(float(value.abs().max()) > 0 for value in gradients)


def test_noise_is_drawn_again_in_a_round_that_is_repeated_and_after_a_restart(cases, tmp_path):
    memory = RoundStateStore(tmp_path / "kept")
    one = trainer(cases, memory=memory)
    first = one.train(WEIGHTS, paid(rounds=2))
    results = [
        one.train(WEIGHTS, paid(rounds=2)),
        trainer(cases, memory=RoundStateStore(tmp_path / "kept")).train(WEIGHTS, paid(rounds=2)),
        trainer(cases).train(WEIGHTS, paid(rounds=2)),
    ]
    for other in results:
        assert not same(first.weights, other.weights)


def test_moments_continue_from_round_to_round(cases, tmp_path):
    memory = RoundStateStore(tmp_path / "kept")
    trainer(cases, memory=memory).train(WEIGHTS, paid(rounds=2))
    kept = memory.recall(1)
    assert float(kept.arrays["moments"]["0/step"]) == STEPS
    assert kept.state["algorithm"] == {}


def test_no_loss_is_reported(cases):
    reported = []
    result = trainer(cases).train(WEIGHTS, paid(), on_step=lambda *step: reported.append(step[2]))
    assert result.loss is None
    assert reported == [None] * STEPS


def test_nothing_is_trained_that_is_not_paid_for(cases):
    with pytest.raises(TrainingError, match="the site's ledger has not paid"):
        trainer(cases).train(WEIGHTS, Schedule())
    with pytest.raises(TrainingError, match="4 steps, and 3 are paid for"):
        trainer(cases).train(WEIGHTS, paid(steps=3))


class Repeating(LocalDpSgd):
    """Takes the last step of a round once more, with the same patients or after the round."""

    def compute_gradients(self, local, step):
        self.last = step
        return super().compute_gradients(local, step)

    def end(self, local):
        if self.inside:
            self.compute_gradients(local, self.last)
        return super().end(local)


def test_no_step_is_taken_beyond_those_that_are_paid_for(cases):
    settings = learning(local_steps=STEPS, batch_size=3)
    algorithm = Repeating(DpSgdAlgorithmSettings(), settings)
    one = Trainer(TASK, settings, cases, CPU, algorithm=algorithm)
    algorithm.inside = True
    with pytest.raises(TrainingError, match="4 steps of this round are paid for, and taken"):
        one.train(WEIGHTS, paid())
    algorithm.inside = False
    one.train(WEIGHTS, paid(steps=STEPS + 1))  # one is left, and the round has ended
    with pytest.raises(TrainingError, match="belongs to a round that is paid for"):
        algorithm.compute_gradients(None, algorithm.last)


def test_a_patient_without_a_finite_gradient_counts_as_not_drawn(cases, caplog):
    class Poisoned(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = itertools.count()

        def forward(self, logits, target):
            return logits.mean() * (float("nan") if next(self.calls) % 3 == 0 else 1.0)

    class PoisonedMethod(TinyMethod):
        def build_loss(self, settings):
            return Poisoned()

    with caplog.at_level(logging.WARNING):
        result = trainer(cases, TinyTask(PoisonedMethod)).train(WEIGHTS, paid())
    assert all(np.isfinite(value).all() for value in result.weights.values())
    assert "4 patients' gradients were of this round not finite" in caplog.text


class Normalized(TinyMethod):
    def build_network(self, settings):
        return nn.Sequential(nn.Conv3d(4, 4, 1), nn.GroupNorm(2, 4), nn.Conv3d(4, 3, 1))


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("changes", "moved"),
    [
        ({"trainable": "all"}, {"0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias"}),
        ({"trainable": "last_layers"}, {"2.weight", "2.bias"}),
        ({"trainable": "last_layers", "last_layers": 2}, {"1.weight", "1.bias", "2.weight", "2.bias"}),
        ({"trainable": "norms"}, {"1.weight", "1.bias"}),
    ],
)
def test_only_the_trainable_weights_move(cases, changes, moved):
    start = {
        name: value.numpy().copy()
        for name, value in Normalized(TASK.inputs, TASK.targets).build_network(None).state_dict().items()
    }
    result = trainer(cases, TinyTask(Normalized), **changes).train(start, paid())
    assert {name for name in start if not np.array_equal(result.weights[name], start[name])} == moved


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("changes", "rounds", "patients", "delta"),
    [
        ({}, 16, 40, 1 / 400),
        pytest.param({"epsilon": 3.0, "delta": 1e-5}, 10, 100, 1e-5, marks=pytest.mark.long),
        ({"level": "reconstruction"}, 16, 12, 1 / 120),
        pytest.param({"level": "reconstruction", "epsilon": 50.0}, 2, 1, 0.1, marks=pytest.mark.long),
    ],
)
def test_the_plan_keeps_the_promise_over_all_rounds(changes, rounds, patients, delta):
    settings = DpSgdAlgorithmSettings(**changes)
    plan = settings.privacy_plan(learning(local_steps=20, batch_size=8), rounds, patients)
    (gradient,) = plan.each_round
    assert (gradient.steps, gradient.sampling_rate) == (20, min(1.0, 8 / patients))
    assert plan.delta == pytest.approx(delta)
    spent = epsilon_spent(plan.over(rounds), plan.delta)
    assert 0.8 * settings.target_epsilon < spent <= settings.target_epsilon
    assert settings.promise().epsilon == settings.target_epsilon


@pytest.mark.long
def test_more_patients_need_less_noise():
    settings, job = DpSgdAlgorithmSettings(), learning(local_steps=20, batch_size=8)
    noise = [settings.privacy_plan(job, 10, n).each_round[0].noise_multiplier for n in (10, 500)]
    assert noise == sorted(noise, reverse=True)


def test_epochs_are_rejected():
    with pytest.raises(ConfigurationError, match="local_epochs"):
        DpSgdAlgorithmSettings().privacy_plan(learning(local_steps=None, local_epochs=1), 3, 20)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"epsilon": 50.0}, "no formal protection"),
        ({"level": "none"}, "level"),
        ({"epsilon": 1e5, "level": "reconstruction"}, "epsilon"),
        ({"samples_per_patient": 1}, "samples_per_patient"),
        ({"noise_multiplier": 0.0}, "noise_multiplier"),
        ({"clip": 0.0}, "clip"),
        ({"delta": 0.5}, "delta"),
    ],
)
def test_a_job_can_not_ask_for_what_is_no_protection(changes, reason):
    with pytest.raises(ConfigurationError, match=reason):
        parse_algorithm({"name": "dp_sgd", **changes})


def test_a_job_names_it():
    settings = parse_algorithm({"name": "dp_sgd"})
    assert isinstance(local_algorithm(settings, learning()), LocalDpSgd)
    assert settings.withholds_scores
    assert not parse_algorithm({"name": "dp_sgd", "level": "reconstruction"}).withholds_scores


class Unchanged(TinyMethod):
    """Without augmentation, which each process draws for its own patients."""

    def augment(self, inputs, share, generator, settings):
        return inputs


def one_of_two(rank, folder, cases):
    store = torch.distributed.FileStore(str(folder / "store"), 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    one = trainer(cases, TinyTask(Unchanged), ranks=Ranks(rank, 2), clip=0.01)
    free = one.train(WEIGHTS, paid(rate=0.6))  # whom it draws is the processes' common secret
    PatientGradients.add_noise = lambda *noise: None
    same_task = trainer(cases, TinyTask(Unchanged), ranks=Ranks(rank, 2), clip=0.01)
    noiseless = same_task.train(WEIGHTS, paid())
    torch.save(
        [{name: torch.from_numpy(value) for name, value in one.weights.items()} for one in (free, noiseless)],
        folder / f"{rank}.pt",
    )


@pytest.mark.integration
def test_two_processes_of_a_site_take_the_same_steps_and_those_of_one(cases, tmp_path, without_noise):
    torch.multiprocessing.spawn(one_of_two, (tmp_path, cases), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for part in range(2):
        assert all(torch.equal(value, second[part][name]) for name, value in first[part].items())
    alone = trainer(cases, TinyTask(Unchanged), clip=0.01).train(WEIGHTS, paid())
    # Another process may add up in another order.
    same, other = (
        all(
            np.allclose(one[name].numpy(), value, rtol=1e-5, atol=1e-7)
            for name, value in alone.weights.items()
        )
        for one in (first[1], first[0])
    )
    assert (same, other) == (True, False)
