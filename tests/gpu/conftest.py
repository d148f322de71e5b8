"""Tests of what only a GPU can show. With CONSILIUM_TEST_DEVICE=cpu, most of them run on the CPU instead."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.device import Device, open_device

DEVICE = os.environ.get("CONSILIUM_TEST_DEVICE", "cuda")

# Helpers of the unit tests: their hospitals, toys and kits.
sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))


@pytest.fixture(scope="session", autouse=True)
def gpu() -> None:
    """Skip where there is no GPU."""
    if DEVICE != "cpu" and not torch.cuda.is_available():
        pytest.skip("torch sees no GPU; CONSILIUM_TEST_DEVICE=cpu tries most of these tests on the CPU")


@pytest.fixture
def cuda_only(gpu: None) -> None:
    """Skip what means nothing on a CPU."""
    if DEVICE == "cpu":
        pytest.skip("only on a GPU")


@pytest.fixture
def compute() -> ComputeSettings:
    """What a site decides that trains on the device under test."""
    return ComputeSettings(device=DEVICE, cpu_threads=1)


@pytest.fixture
def device(compute: ComputeSettings) -> Device:
    """The device under test, in the precision in which it trains."""
    return open_device(compute)


@pytest.fixture
def exact(device: Device) -> Iterator[Device]:
    """The same in full precision, without the shorter products that a GPU calls float32."""
    backends = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [one.allow_tf32 for one in backends]
    for one in backends:
        one.allow_tf32 = False
    yield Device(device.torch_device, None)
    for one, value in zip(backends, before, strict=True):
        one.allow_tf32 = value


@pytest.fixture
def half(cuda_only: None, device: Device) -> Device:
    """A GPU that doesn't compute in bfloat16."""
    return Device(device.torch_device, torch.float16)
