import os
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from consilium.errors import ConfigurationError
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.device import Device, choose_layout, open_device, process_count
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


@pytest.mark.parametrize(("capability", "precision"), [(7, torch.float16), (8, torch.bfloat16)])
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_bfloat16_is_used_where_the_chip_computes_in_it(gpus, monkeypatch, capability, precision, name):
    """Torch calls bfloat16 supported on older chips too, where it is emulated."""
    current = [0]
    gpus(2)
    chips = {0: 7 if name == "cuda:1" else capability, 1: capability}
    properties = {index: SimpleNamespace(major=major) for index, major in chips.items()}
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: current.__setitem__(0, device.index))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: current[0])
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties.__getitem__)
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda device: True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    device = open_device(ComputeSettings(device=name, cpu_threads=1))
    assert device == Device(torch.device(name), precision)


class WithGrid(nn.Module):
    """A network of images with a volume that is no parameter."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 3)
        self.register_buffer("grid", torch.zeros(1, 1, 2, 2, 2), persistent=False)


@pytest.mark.parametrize(
    ("network", "layout"),
    [
        (nn.Conv2d(1, 1, 3), torch.channels_last),
        (nn.Conv3d(1, 1, 3), torch.channels_last_3d),
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv3d(1, 1, 3)), None),
        (nn.Linear(1, 1), None),
        (WithGrid(), None),
    ],
)
def test_a_network_is_laid_out_by_all_of_its_tensors(network, layout):
    assert choose_layout(network) == layout
    if layout is not None:
        network.to(memory_format=layout)
