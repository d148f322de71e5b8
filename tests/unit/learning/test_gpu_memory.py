"""A full GPU, by a network that raises what torch raises: no GPU is needed to fail."""

import weakref

import pytest
import torch
from torch import nn

from consilium.errors import RefusalCode, SiteRefusal
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.device import Device, open_device
from consilium.learning.estimate import GIB
from consilium.learning.evaluator import score_cases
from consilium.learning.gpu_memory import refuse_full_memory
from consilium.learning.predictor import Predictor
from consilium.learning.ranks import Ranks
from consilium.learning.schedule import Schedule
from consilium.learning.trainer import Trainer
from consilium.learning.training_setup import TrainingSetup

from .test_trainer import WEIGHTS, learning, same
from .tiny import CPU, TinyMethod, TinyTask

FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB, in /opt/site/code.py")
GPU = torch.device("cuda")


class Crowded(nn.Conv3d):
    """The tiny network on a GPU that other programs fill for some time."""

    failures = 0
    made: weakref.ref[torch.Tensor] | None = None

    def forward(self, images):
        result = super().forward(images)
        if type(self).failures:
            type(self).failures -= 1
            type(self).made = weakref.ref(result)
            raise FULL
        return result


class CrowdedMethod(TinyMethod):
    def build_network(self, settings):
        return Crowded(4, 3, kernel_size=1)


CROWDED = TinyTask(CrowdedMethod)


@pytest.fixture(autouse=True)
def nothing_fails_afterwards():
    yield
    Crowded.failures = 0


def test_a_round_is_declined_by_code_and_the_next_attempt_works(cases):
    trainer = Trainer(CROWDED, learning(), cases, CPU)
    first = trainer.train(WEIGHTS, Schedule(0, 2)).weights
    Crowded.failures = 1
    with pytest.raises(SiteRefusal, match=r"memory is full in training: about 1\.0 GiB needed") as refused:
        trainer.train(first, Schedule(1, 2))
    assert refused.value.code is RefusalCode.GPU_MEMORY
    assert "/" not in refused.value.public_reason
    assert "nvidia-smi" in str(refused.value)
    assert "Tried to allocate 20.00 MiB" in str(refused.value)  # in the site's own log
    undisturbed = Trainer(CROWDED, learning(), cases, CPU)
    undisturbed.train(WEIGHTS, Schedule(0, 2))
    again, wanted = (one.train(first, Schedule(1, 2)) for one in (trainer, undisturbed))
    assert same(again.weights, wanted.weights)


@pytest.mark.parametrize("failing", ["_init_group", "step"])
def test_a_full_gpu_without_bfloat16_trains_the_next_round(cases, monkeypatch, failing):
    """The scaler had unscaled the gradients when the optimizer had no room for its moments."""
    device = Device(torch.device("cpu"), torch.float16)
    trainer = Trainer(CROWDED, learning(), cases, device)

    def full(*args, **kwargs):
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, failing, full)
        with pytest.raises(SiteRefusal, match="memory is full in training"):
            trainer.train(WEIGHTS, Schedule())
    wanted = Trainer(CROWDED, learning(), cases, device).train(WEIGHTS, Schedule())
    assert same(trainer.train(WEIGHTS, Schedule()).weights, wanted.weights)


def test_moments_that_did_not_fit_are_read_again(cases, monkeypatch):
    trainer, undisturbed = (Trainer(CROWDED, learning(), cases, CPU) for _ in range(2))
    for one in (trainer, undisturbed):
        for number in range(2):
            one.train(WEIGHTS, Schedule(number, 3))

    def full(optimizer, moments):
        for state in optimizer.state.values():
            state["exp_avg"].zero_()
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr("consilium.learning.trainer.set_moments", full)
        with pytest.raises(SiteRefusal, match="memory is full in training"):
            trainer.train(WEIGHTS, Schedule(1, 3))
    again, wanted = (one.train(WEIGHTS, Schedule(2, 3)) for one in (trainer, undisturbed))
    assert same(again.weights, wanted.weights)


def open_first_gpu(cases):
    open_device(ComputeSettings(device="cuda:0", cpu_threads=1))


def connect(cases):
    TrainingSetup(learning(), ComputeSettings(device="cpu"), cases).build_trainer(CPU)


@pytest.mark.parametrize("start", [open_first_gpu, connect])
def test_a_gpu_full_at_the_start_is_declined_by_code(cases, monkeypatch, start):
    def full(*args, **kwargs):
        raise FULL

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", full)
    monkeypatch.setattr(torch.cuda, "set_device", full)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setattr(Ranks, "connect", full)
    with pytest.raises(SiteRefusal, match="memory is full in") as refused:
        start(cases)
    assert refused.value.code is RefusalCode.GPU_MEMORY


def test_a_declined_round_holds_no_tensor_of_the_step(cases):
    Crowded.failures = 1
    with pytest.raises(SiteRefusal) as refused:
        Trainer(CROWDED, learning(), cases, CPU).train(WEIGHTS, Schedule())
    assert Crowded.made is not None
    assert Crowded.made() is None
    assert refused.value.__suppress_context__


def test_an_evaluation_is_declined_by_code(cases):
    Crowded.failures = 1
    with pytest.raises(SiteRefusal, match="memory is full in prediction") as refused:
        score_cases(CROWDED, learning(), WEIGHTS, cases, CPU)
    assert refused.value.code is RefusalCode.GPU_MEMORY
    assert all(row is not None for row in score_cases(CROWDED, learning(), WEIGHTS, cases, CPU))


def test_a_network_whose_weights_do_not_fit_is_declined_by_code(monkeypatch):
    def full(network, weights):
        raise FULL

    monkeypatch.setattr("consilium.learning.predictor.set_weights", full)
    with pytest.raises(SiteRefusal, match="memory is full in loading the network"):
        Predictor(CROWDED, learning(), WEIGHTS, CPU)


@pytest.mark.parametrize(
    "message",
    [
        "Error(s) in loading state_dict for SegResNet: an exception occurred : ('CUDA out of memory. ...',).",
        "CUDA error: out of memory\nCUDA kernel errors might be reported asynchronously",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "NCCL error in: ProcessGroupNCCL.cpp:1197, unhandled cuda error\nCuda failure 2 'out of memory'",
        "FIND was unable to find an engine to execute this computation",
    ],
)
def test_whatever_part_of_cuda_has_no_memory(message):
    with (
        pytest.raises(SiteRefusal, match="full in training"),
        refuse_full_memory(CPU.torch_device, "training"),
    ):
        raise RuntimeError(message)


def test_torch_s_own_error_needs_no_words():
    with (
        pytest.raises(SiteRefusal, match="full in training"),
        refuse_full_memory(CPU.torch_device, "training"),
    ):
        raise torch.OutOfMemoryError("HIP out of memory")


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="illegal memory access"), refuse_full_memory(GPU, "training"):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_it_is_said_how_much_there_is_and_who_holds_it(monkeypatch):
    freed = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append(True))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3 * GIB, 16 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: GIB // 2)
    with pytest.raises(SiteRefusal) as refused, refuse_full_memory(GPU, "training", needed=lambda: 9 * GIB):
        raise FULL
    assert refused.value.public_reason == (
        "the GPU's memory is full in training: about 9.0 GiB needed (estimate), 16.0 GiB in all, "
        "3.0 GiB free, 0.5 GiB held by this process"
    )
    assert freed == [True]


def test_a_gpu_too_full_to_be_asked_is_one_as_well(monkeypatch):
    def fails(device):
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(torch.cuda, "mem_get_info", fails)
    with (
        pytest.raises(SiteRefusal, match="not even enough for CUDA itself"),
        refuse_full_memory(GPU, "training"),
    ):
        raise FULL
