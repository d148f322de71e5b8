import os
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache

import pytest
from effort import examples, spread
from hypothesis import HealthCheck, settings

settings.register_profile(
    "a busy machine",
    deadline=None,
    max_examples=examples(100),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("a busy machine")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as long the cases that `quick_cases` leaves out, before tests are selected by their marks."""
    cases = defaultdict(list)
    for item in items:
        if item.get_closest_marker("quick_cases") and not item.get_closest_marker("long"):
            cases[item.nodeid.partition("[")[0]].append(item)
    for group in cases.values():
        (count,) = group[0].get_closest_marker("quick_cases").args
        quick = spread(count, len(group))
        for place, item in enumerate(group):
            if place not in quick:
                item.add_marker(pytest.mark.long)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """More threads than cores make small networks slower, not faster."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_disks() -> Iterator[None]:
    """Spare thousands of waits for a disk: what they are for, a power cut, happens in no unit test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def divergences_are_computed_once() -> None:
    """Keep what Opacus computes of a mechanism and an order: it asks four times in each bound of epsilon."""
    renyi = sys.modules.get("opacus.accountants.analysis.rdp")
    if renyi is not None and not hasattr(renyi._compute_rdp, "cache_info"):
        renyi._compute_rdp = lru_cache(maxsize=1 << 16)(renyi._compute_rdp)


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


@pytest.fixture
def without_drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the seconds of charts, figures and PDFs, where a test reads the page or a command's answer."""
    from consilium.report.privacy import write
    from consilium.report.statistics import page
    from consilium.report.training import build

    monkeypatch.setattr(build, "draw_curves", lambda report, path, palette: path.write_bytes(b"png"))
    monkeypatch.setattr(build, "write_figures", lambda folder, report: None)
    monkeypatch.setattr(build, "render_summary", lambda report: b"pdf")
    monkeypatch.setattr(page, "_draw", lambda features, group, sites: ())
    monkeypatch.setattr(write, "render_privacy_pdf", lambda statement: b"pdf")
