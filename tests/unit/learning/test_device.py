import os

import pytest
import torch
from torch import nn

from consilium.errors import ConfigurationError
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.device import Device, open_device, process_count
from consilium.process_limits import available_cores


@pytest.fixture(autouse=True)
def _same_threads_afterwards():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_site_uses_the_threads_that_it_grants(threads):
    open_device(ComputeSettings(device="cpu", cpu_threads=threads))
    assert torch.get_num_threads() == threads


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity: Linux")
def test_without_a_limit_all_cores_of_the_process_and_no_more():
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert available_cores() == 1
        torch.set_num_threads(2)
        open_device(ComputeSettings(device="cpu"))
        assert torch.get_num_threads() == 1
    finally:
        os.sched_setaffinity(0, cores)


@pytest.mark.parametrize("name", ["cuda", "cuda:99"])
def test_a_gpu_that_is_not_there_is_an_error_with_a_remedy(name):
    if name == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ConfigurationError, match=rf"'{name}' is not on this machine.*'auto' or 'cpu'"):
        open_device(ComputeSettings(device=name, cpu_threads=1))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_auto_is_the_cpu_where_there_is_no_gpu():
    device = open_device(ComputeSettings(cpu_threads=1))
    assert device == Device(torch.device("cpu"), amp_dtype=None)
    assert not device.needs_loss_scaling
    network = device.place(nn.Conv3d(1, 1, 1))
    with device.autocast():
        assert network(device.move(torch.ones(1, 1, 2, 2, 2))).dtype == torch.float32


def test_only_half_precision_needs_a_scaled_loss():
    assert Device(torch.device("cuda"), torch.float16).needs_loss_scaling
    assert not Device(torch.device("cuda"), torch.bfloat16).needs_loss_scaling


@pytest.fixture
def gpus(monkeypatch):
    def have(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return have


@pytest.mark.parametrize(
    ("count", "device", "processes", "expected"),
    [
        (0, "auto", "auto", 1),
        (0, "auto", 2, 2),
        (4, "auto", "auto", 4),
        (4, "cuda", 3, 3),
        (4, "cuda:2", "auto", 1),
        (4, "cpu", "auto", 1),
        (4, "cpu", 2, 2),
    ],
)
def test_a_site_trains_with_a_process_for_each_gpu_unless_it_says_otherwise(
    gpus, count, device, processes, expected
):
    gpus(count)
    assert process_count(ComputeSettings(device=device, processes=processes)) == expected


def test_more_processes_than_gpus_are_an_error_with_a_remedy(gpus):
    gpus(2)
    with pytest.raises(ConfigurationError, match=r"processes: 3.*2 GPUs.*'auto'"):
        process_count(ComputeSettings(device="cuda", processes=3))


def test_one_gpu_and_several_processes_exclude_each_other():
    with pytest.raises(ConfigurationError, match="processes: 2 with device 'cuda:1'"):
        ComputeSettings.parse({"device": "cuda:1", "processes": 2}, source="privacy.json")
