"""A hospital's line is cut for a minute, or is thin; the job waits for it or continues without it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration.security.conftest import NO_NAMESPACES
from waiting import wait_until

from .consortium import Consortium
from .long_line import long_line
from .outcome import Outcome
from .test_site import assert_as_undisturbed

pytestmark = [
    pytest.mark.drill,
    pytest.mark.skipif(NO_NAMESPACES is not None, reason=str(NO_NAMESPACES)),
]

CUT_SECONDS = 60
THIN = "1mbit"
LONG_LINE_SECONDS = 1800
"""For a job of which every round carries the model there and an update back."""

_SOME_BYTES = 400_000
"""A fifth of the model: more than all messages without it, and far from the whole."""


@contextmanager
def thin_line(consortium: Consortium) -> Iterator[None]:
    """Let the model take many seconds to the hospital `south` and back."""
    consortium.federation.network.limit("south", THIN)
    try:
        yield
    finally:
        consortium.federation.network.limit("south", None)


def cut_for_a_minute(consortium: Consortium) -> None:
    network, began = consortium.federation.network, time.monotonic()
    network.cut("south")
    try:
        wait_until(lambda: time.monotonic() - began >= CUT_SECONDS, "a minute is over")
    finally:
        network.restore("south")


def test_cut_for_a_minute_during_the_download_and_during_the_upload(
    consortium: Consortium, job: Path, undisturbed: Outcome
) -> None:
    network = consortium.federation.network
    job_id = consortium.submit(job)
    consortium.wait_for_round(job_id, 2)
    with thin_line(consortium):
        wait_until(lambda: consortium.durable(job_id) >= 2, "the round is over")
        before = network.bytes_received("south")
        wait_until(lambda: network.bytes_received("south") - before > _SOME_BYTES, "the model is on its way")
        cut_for_a_minute(consortium)
    consortium.wait_for_round(job_id, 4)
    before = network.bytes_sent("south")
    with thin_line(consortium):
        wait_until(lambda: network.bytes_sent("south") - before > _SOME_BYTES, "an update is on its way")
        cut_for_a_minute(consortium)
    assert_as_undisturbed(consortium.wait_for_end(job_id), undisturbed)


def test_its_process_is_killed_while_its_update_is_on_its_way(
    consortium: Consortium, job: Path, undisturbed: Outcome
) -> None:
    network = consortium.federation.network
    job_id = consortium.submit(job)
    consortium.wait_for_round(job_id, 2, at="south")
    before = network.bytes_sent("south")
    with thin_line(consortium):
        wait_until(lambda: network.bytes_sent("south") - before > _SOME_BYTES, "an update is on its way")
        consortium.kill("south", job=True)
    assert_as_undisturbed(consortium.wait_for_end(job_id), undisturbed)


def test_a_line_of_one_megabit_with_delay_and_loss(
    consortium: Consortium, job: Path, undisturbed: Outcome
) -> None:
    with long_line(consortium.federation.network, "south"):
        outcome = consortium.wait_for_end(consortium.submit(job), seconds=LONG_LINE_SECONDS)
    assert_as_undisturbed(outcome, undisturbed)
