"""How long a site waits between its requests for tasks."""

from itertools import pairwise
from threading import Event, Thread
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.private.fed.client.client_runner import ClientRunner

from consilium.federation.message_names import TASK_READY_TOPIC
from consilium.federation.site.task_wait import LEAST_SECONDS, TaskWait, wait_for_wake_ups

INTERVAL = 15.0
LONGER_THAN_ANY_TEST = 3600.0
DEADLINE_SECONDS = 30.0


class Clock(Event):
    """Time that passes only while the site waits; the server wakes it at some seconds."""

    def __init__(self, wakes=()):
        super().__init__()
        self.now, self.wakes = 0.0, sorted(wakes)

    def pause(self, seconds):
        self.now += seconds
        while self.wakes and self.wakes[0] <= self.now:
            self.wakes.pop(0)
            self.set()

    def wait(self, timeout=None):
        if self.wakes:
            timeout = min(timeout, max(self.wakes[0] - self.now, 0.0))
        self.pause(timeout)
        return self.is_set()


def waiting(wakes=()):
    clock = Clock(wakes)
    return clock, TaskWait(lambda: clock.now, clock, clock.pause)


def never():
    return False


def test_a_site_that_nobody_wakes_waits_as_long_as_the_job_says():
    clock, site = waiting()
    site.begin_request()
    site.wait(INTERVAL, never)
    assert clock.now == pytest.approx(INTERVAL)


def test_a_wake_up_ends_the_wait():
    clock, site = waiting(wakes=[4.0])
    site.begin_request()
    site.wait(INTERVAL, never)
    assert clock.now == pytest.approx(4.0)


def test_a_wake_up_while_the_site_is_busy_counts_for_the_next_wait():
    clock, site = waiting(wakes=[100.0])
    site.begin_request()
    clock.pause(120.0)  # it trains
    site.wait(INTERVAL, never)
    assert clock.now == pytest.approx(120.0)


def test_a_wake_up_before_a_request_is_answered_by_it():
    clock, site = waiting()
    site.wake()
    site.begin_request()
    site.wait(INTERVAL, never)
    assert clock.now == pytest.approx(INTERVAL)


def test_a_job_that_has_ended_is_not_waited_for():
    clock, site = waiting()
    site.begin_request()
    site.wait(INTERVAL, lambda: clock.now > 1)
    assert clock.now < 2


@given(st.lists(st.floats(0, 60), max_size=400), st.floats(0.1, 60))
def test_however_often_a_site_is_woken_its_requests_stay_rare(wakes, interval):
    clock, site = waiting(wakes)
    requests = []
    while clock.now < 60:
        requests.append(clock.now)
        site.begin_request()
        site.wait(interval, never)
    gaps = [later - one for one, later in pairwise(requests)]
    assert all(gap >= min(LEAST_SECONDS, interval) - 1e-9 for gap in gaps)
    assert all(gap <= interval + 1e-9 for gap in gaps)


def test_flares_own_client_is_woken_by_the_message(engine):
    """Its loop requests the next task as soon as the wait here is over, and sleeps no more."""
    wait_for_wake_ups(engine)
    asked = Event()
    runner = ClientRunner.__new__(ClientRunner)
    runner.run_abort_signal = Signal()
    runner.default_task_fetch_interval, runner.get_task_timeout = LONGER_THAN_ANY_TEST, None
    runner.log_debug = lambda *_: None
    runner.engine = SimpleNamespace(get_task_assignment=lambda *_: asked.set())
    results = []
    thread = Thread(target=lambda: results.append(runner.fetch_and_run_one_task(engine.context)), daemon=True)
    thread.start()
    assert asked.wait(DEADLINE_SECONDS)
    engine.aux_handlers[TASK_READY_TOPIC](TASK_READY_TOPIC, Shareable({"task": "x" * 1000}), engine.context)
    thread.join(DEADLINE_SECONDS)
    assert results == [(0.0, False)]
