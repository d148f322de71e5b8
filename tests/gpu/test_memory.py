"""GPU memory: the estimate is an upper bound, and a full GPU is a refusal that leaves room."""

import numpy as np
import pytest
import torch

from consilium.errors import RefusalCode, SiteRefusal
from consilium.learning.device import open_device
from consilium.learning.estimate import GIB, gpu_bytes
from consilium.learning.predictor import Predictor
from consilium.learning.schedule import Schedule
from consilium.learning.trainer import Trainer
from consilium.site_check.job import load_site_job

from .patients import LEARNING, TASK, make_patients, start_of, train

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("cuda_only")]

LARGE = load_site_job("brain_tumor_fedavg_gpu").learning
SIZES = {
    "the GPU job": LARGE,
    "one sample": LARGE.model_copy(update={"batch_size": 1}),
    "a small patch": LARGE.model_copy(update={"patch_voxels": (64, 64, 64)}),
    "the small network": LARGE.model_copy(update={"network": "unet_small"}),
    "the CPU job": load_site_job("brain_tumor_fedavg").learning,
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return make_patients(tmp_path_factory.mktemp("patients"), count=2, edge=136)


@pytest.fixture(autouse=True)
def emptied():
    torch.cuda.empty_cache()
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def few_steps(learning):
    return learning.model_copy(update={"local_steps": 3, "local_epochs": None})


@pytest.mark.parametrize("name", SIZES)
def test_a_step_takes_no_more_memory_than_estimated(cases, device, name):
    learning = SIZES[name]
    before = torch.cuda.memory_reserved()
    torch.cuda.reset_peak_memory_stats()
    train(cases, device, few_steps(learning))
    reserved = torch.cuda.max_memory_reserved() - before
    allocated, estimate = torch.cuda.max_memory_allocated(), gpu_bytes(learning)
    free, total = torch.cuda.mem_get_info()
    context = total - free - torch.cuda.memory_reserved()
    print(
        f"\n{name}: reserved {reserved / GIB:.2f} GiB, allocated {allocated / GIB:.2f}, "
        f"estimate {estimate / GIB:.2f}; outside of torch's allocator {context / GIB:.2f}"
    )
    assert reserved + GIB <= estimate + 0.2 * GIB  # of the 1 GiB for CUDA itself, the allocator may round up
    assert estimate - GIB <= 5 * max(reserved, GIB // 4)


@pytest.fixture
def allow():
    """Limit what this process may take beside what its tensors hold; returns what they hold."""

    def limit(more):
        torch.cuda.empty_cache()
        held = torch.cuda.memory_reserved()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(1.0 if more is None else (held + more) / total)
        return held

    yield limit
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_a_full_gpu_is_a_refusal_and_the_next_attempt_works(cases, device, allow):
    learning = few_steps(LARGE)
    trainer = Trainer(TASK, learning, cases, device)
    held = allow(1.5 * GIB)
    for _ in range(2):
        with pytest.raises(SiteRefusal, match="the GPU's memory is full in training") as refused:
            trainer.train(start_of(learning), Schedule())
        assert refused.value.code is RefusalCode.GPU_MEMORY
        print(f"\n{refused.value}")
        assert torch.cuda.memory_reserved() - held < 0.3 * GIB
    allow(None)
    assert np.isfinite(trainer.train(start_of(learning), Schedule()).loss)


def test_a_gpu_full_in_a_prediction_is_a_refusal_too(cases, device, allow):
    predictor = Predictor(TASK, LARGE, start_of(LARGE), device)
    allow(0.1 * GIB)
    with pytest.raises(SiteRefusal, match="the GPU's memory is full in prediction"):
        predictor.predict(cases[0])
    allow(None)
    assert predictor.predict(cases[0]).shape == (3, 136, 136, 136)


def test_a_gpu_on_which_not_even_the_network_fits(compute, allow):
    device = open_device(compute)
    allow(2**20)
    with pytest.raises(SiteRefusal, match="full in loading the network"):
        Predictor(TASK, LARGE, start_of(LARGE), device)


def test_a_whole_case_of_the_small_network_takes_little(cases, device):
    torch.cuda.reset_peak_memory_stats()
    Predictor(TASK, LEARNING, start_of(LEARNING), device).predict(cases[0])
    assert torch.cuda.max_memory_allocated() < GIB
