"""Training on the GPU: the same as on the CPU within rounding, and again when a round is repeated."""

import numpy as np
import pytest
import torch
from learning.tiny import CPU
from tasks.packages import brought

from consilium.learning.device import choose_layout
from consilium.learning.network_state import initial_weights
from consilium.learning.processes.single_process import SingleProcess
from consilium.learning.round_state import RoundStateStore
from consilium.learning.schedule import Schedule
from consilium.learning.trainer import Trainer
from consilium.learning.training_setup import TrainingSetup
from consilium.participant.site_data import prepare_site
from consilium.participant.site_settings import SiteSettings
from consilium.tasks import get_task, parse_learning
from consilium.tasks.registry import synthetic_cohort

from .patients import LEARNING, SEGRESNET, TASK, apart, make_patients, start_of, train

pytestmark = pytest.mark.gpu

ROUNDING = 0.1
"""AdamW makes a step of full length in a direction where the gradient is nothing but rounding."""


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return make_patients(tmp_path_factory.mktemp("patients"))


networks = pytest.mark.parametrize("learning", [LEARNING, SEGRESNET], ids=lambda one: one.network)


@networks
def test_the_loss_falls_and_stays_finite(cases, device, learning):
    means = []
    settings = learning.model_copy(update={"local_steps": 40, "learning_rate": 3e-3})
    result = Trainer(TASK, settings, cases, device).train(
        start_of(settings), Schedule(), on_step=lambda step, steps, loss: means.append(loss)
    )
    losses = np.diff([0, *(step * mean for step, mean in enumerate(means, start=1))])
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    assert all(np.isfinite(value).all() for value in result.weights.values())


@networks
def test_a_gpu_has_its_own_precision_and_memory_format(cuda_only, device, learning):
    ampere = torch.cuda.get_device_capability()[0] >= 8
    assert device.amp_dtype == (torch.bfloat16 if ampere else torch.float16)
    network = device.place(TASK.method.build_network(learning))
    assert choose_layout(network) is torch.channels_last_3d
    weights = [one for one in network.parameters() if one.dim() == 5]
    assert all(one.is_cuda and one.is_contiguous(memory_format=torch.channels_last_3d) for one in weights)
    batch = device.move(torch.rand(2, 4, *learning.patch_voxels))
    assert batch.is_contiguous(memory_format=torch.channels_last_3d)
    with device.autocast():
        assert network(batch).dtype == device.amp_dtype


@networks
def test_in_full_precision_loss_and_update_are_those_of_the_cpu(cases, exact, learning):
    start, step = start_of(learning), learning.model_copy(update={"local_steps": 1})
    here, there = (train(cases, one, step) for one in (exact, CPU))
    assert here.loss == pytest.approx(there.loss, rel=1e-4)
    assert apart(here.weights, there.weights, start) < ROUNDING


@networks
def test_in_its_own_precision_a_round_is_much_like_the_cpu_s(cases, device, learning):
    here, there = (train(cases, one, learning) for one in (device, CPU))
    found = apart(here.weights, there.weights, start_of(learning))
    print(f"\n{learning.network}: loss {here.loss:.4f}, CPU {there.loss:.4f}; update {found:.3f} apart")
    assert here.loss == pytest.approx(there.loss, rel=0.02)
    assert found < 0.5


@networks
def test_a_repeated_or_resumed_round_gives_the_same_update(cases, device, tmp_path, learning):
    memory, start = tmp_path / "memory", start_of(learning)
    trainer = Trainer(TASK, learning, cases, device, memory=RoundStateStore(memory))
    first = trainer.train(start, Schedule(0, 3)).weights
    second = trainer.train(first, Schedule(1, 3)).weights
    repeated = trainer.train(first, Schedule(1, 3)).weights

    def again(**options):
        return train(cases, device, learning, weights=first, schedule=Schedule(1, 3), **options).weights

    resumed, forgetful = again(memory=RoundStateStore(memory)), again()
    found = [apart(one, second, first) for one in (repeated, resumed, forgetful)]
    print(
        f"\n{learning.network}: repeated {found[0]:.2e}, resumed {found[1]:.2e}, "
        f"new moments {found[2]:.2f} apart"
    )
    assert max(found[:2]) < ROUNDING
    assert found[2] > 2 * ROUNDING


def test_workers_load_the_same_samples_for_a_gpu(cases, device):
    here, there = (train(cases, one, loader_workers=1) for one in (device, CPU))
    assert here.loss == pytest.approx(there.loss, rel=0.02)


def test_a_task_of_photographs_trains_and_is_evaluated(compute, tmp_path):
    with brought("fundus"):
        archive = synthetic_cohort("fundus").make(tmp_path / "archives", only=["harbor"]).hospitals["harbor"]
        site = SiteSettings(
            dataset=archive,
            tasks={"fundus": {}},
            split_salt="a test",
            cache_dir=tmp_path / "cache",
            state_dir=tmp_path / "state",
            **compute.model_dump(),
        ).for_task("fundus")
        learning = parse_learning(
            {"task": "fundus", "local_steps": 40, "local_epochs": None}, source="a test"
        )
        data = prepare_site(site, learning)
        start, losses = initial_weights(get_task("fundus"), learning, 0), []
        learner = SingleProcess(TrainingSetup(learning, compute, data.train))
        result = learner.train(start, Schedule(), on_step=lambda step, steps, loss: losses.append(loss))
        assert losses[-1] < losses[0]
        on_cpu = SingleProcess(TrainingSetup(learning, compute.model_copy(update={"device": "cpu"}), ()))
        assert learner.score(result.weights, data.train) == on_cpu.score(result.weights, data.train)
