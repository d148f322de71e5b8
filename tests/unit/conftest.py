import os
import signal
from collections.abc import Iterator
from functools import lru_cache

import opacus.accountants.analysis.rdp as renyi
import pytest
import torch
from effort import examples
from hypothesis import HealthCheck, settings

settings.register_profile(
    "a busy machine",
    deadline=None,
    max_examples=examples(100),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("a busy machine")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """More threads than cores make small networks slower, not faster."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_disks() -> Iterator[None]:
    """Spare thousands of waits for a disk: what they are for, a power cut, happens in no unit test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def divergences_are_computed_once() -> Iterator[None]:
    """Keep what Opacus computes of a mechanism and an order: it asks four times in each bound of epsilon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(renyi, "_compute_rdp", lru_cache(maxsize=1 << 16)(renyi._compute_rdp))
        yield


@pytest.fixture(autouse=True)
def own_umask() -> Iterator[None]:
    """Keep the umask of the tests: the command line and provisioning set that of their process."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture
def handlers() -> Iterator[None]:
    """Start from the signal handlers of an ordinary program, and put the tests' own back."""
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in ends}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in ends[1:]:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
