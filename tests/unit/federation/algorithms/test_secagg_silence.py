"""A site that stops without a word: how long the others wait for it, on a clock that the test moves."""

from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from nvflare.apis.impl.wf_comm_server import WFCommServer
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.federation.exchange import communicator, site_controller
from consilium.federation.exchange.communicator import TaskCommunicator
from consilium.federation.message_names import TEST, TRAIN
from consilium.federation.rounds import run as running
from consilium.learning.algorithms.secagg_plan import ADVERTISE, CONFIRM, REVEAL, SHARE
from federation.rehearsal import Rehearsal, Site, TwoWeights

from .test_secagg_fedavg import STEPS, run, sites  # noqa: F401 - fixtures

HEARTBEAT_SECONDS = 10.0
SILENCE_SECONDS = 300.0


@pytest.fixture
def controller(monkeypatch):
    """Make a controller whose sites answer at once and send heartbeats, but for those that have stopped.

    It takes the tasks at which sites stop, by name: a task and a round. The time that each question took is
    in `waits`, as pairs of the task and its seconds.
    """
    now = [0.0]

    class Watched(Rehearsal):
        stops: ClassVar[dict[str, tuple[str, int]]] = {}
        waits: ClassVar[list[tuple[str, float]]] = []

        def broadcast(self, task, fl_ctx, targets=None, min_responses=1, wait_time_after_min_received=0):
            index = FLModelUtils.from_shareable(task.data).current_round
            self.stopped |= {one for one in targets if self.stops.get(one) == (task.name, index)}
            self.standing = bool(self.stopped & {*targets})
            live = [one for one in targets if one not in self.stopped]
            for name in live:
                self.communicator.client_is_active(name, "answer", fl_ctx)
            if live:
                super().broadcast(task, fl_ctx, live)

        def get_num_standing_tasks(self):
            return int(self.standing)

        def cancel_all_tasks(self, *arguments, **options):
            """End the task a moment later, as FLARE does."""
            self.looks = self.looks or 2

        def ask(self, task, *arguments, **options):
            began = now[0]
            super().ask(task, *arguments, **options)
            self.waits.append((task, now[0] - began))

        def start_controller(self, fl_ctx):
            self.stopped: set[str] = set()
            self.looks = 0
            self.waits.clear()
            self.communicator = TaskCommunicator()
            super().start_controller(fl_ctx)

        def _wait_briefly(self):
            if self.looks:
                self.looks -= 1
                self.standing = self.looks > 0
            now[0] += HEARTBEAT_SECONDS / 4
            for name in self.sites.keys() - self.stopped:
                self.communicator.client_is_active(name, "heartbeat", self.fl_ctx)

    def advance(seconds):
        now[0] += seconds

    clock = SimpleNamespace(monotonic=lambda: now[0], advance=advance)
    for module in (communicator, site_controller, running):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(WFCommServer, "client_is_active", lambda *_: None)

    def controller(**stops):
        return type("Stopping", (Watched,), {"stops": stops, "waits": []})

    return controller


def longest(waits, *tasks):
    return max(seconds for task, seconds in waits if task in tasks)


@pytest.mark.long
def test_a_site_that_stopped_in_the_last_round_delays_the_end_by_two_minutes_at_most(
    run,  # noqa: F811
    sites,  # noqa: F811
    controller,
):
    """Its update is in the sum; the final validation and the tests are waited for by nobody else."""
    watched = controller(west=(CONFIRM, 1))
    record, _ = run(sites(options=STEPS), controller=watched)
    assert record.status == "finished", record.reason
    assert record.rounds[1].sites["west"].outcome == "trained"
    assert {"east", "north", "south"} <= {*record.final_sites}
    assert record.rounds[1].scores, "the last model has validation scores"
    behind = sum(seconds for _, seconds in watched.waits)
    assert 30 < behind < 200


def test_keys_are_waited_for_a_minute_once_there_are_enough_and_all_others_answered(
    run,  # noqa: F811
    sites,  # noqa: F811
    controller,
):
    watched = controller(west=(ADVERTISE, 0))
    record, _ = run(sites(options=STEPS), controller=watched)
    assert record.status == "finished", record.reason
    assert [one.attempts for one in record.rounds] == [1, 1]
    assert 55 < watched.waits[1][1] < 75
    assert watched.waits[1][0] == ADVERTISE
    assert longest(watched.waits, ADVERTISE, SHARE, TRAIN, CONFIRM, REVEAL, TEST) < 75


def test_without_enough_keys_they_are_waited_for_as_the_quorum_says(run, sites, controller):  # noqa: F811
    watched = controller(south=(ADVERTISE, 0), west=(ADVERTISE, 0))
    record, _ = run(sites(options=STEPS), controller=watched, rounds=1)
    assert record.status == "failed"
    assert longest(watched.waits, ADVERTISE) == pytest.approx(SILENCE_SECONDS, abs=HEARTBEAT_SECONDS)


@pytest.mark.parametrize("minutes", [2.0, 5.0])
def test_a_plain_job_waits_once_as_long_as_it_says_and_then_briefly(run, controller, minutes):  # noqa: F811
    """Also at its end, where no quorum counts: twice the last model's test, and once its validation."""
    watched = controller(west=(TRAIN, 0))
    plain = {name: Site(step=1.0, dice=lambda w: 0.1 * w) for name in ("east", "north", "west")}
    record, _ = run(
        plain, controller=watched, algorithm={"name": "fedavg"}, min_sites=2, persistor=TwoWeights,
        quorum={"attempts": 1, "silence_minutes": minutes},
    )  # fmt: skip
    assert record.status == "finished", record.reason
    seconds = [one for _, one in watched.waits if one]
    assert seconds[0] == pytest.approx(60 * minutes, abs=HEARTBEAT_SECONDS)
    assert len(seconds) > 2
    assert max(seconds[1:]) <= 30 + HEARTBEAT_SECONDS
    assert np.sum(seconds) < 60 * minutes + 180
    said = [record.rounds[0].sites["west"].reason, record.final_sites["west"].reason]
    assert said == [f"it sent nothing for {minutes:g} min", "it sent nothing for 0.5 min"]


def test_a_site_that_is_heard_of_again_is_waited_for_as_before(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(communicator, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(WFCommServer, "client_is_active", lambda *_: None)
    tasks = TaskCommunicator()
    assert tasks.absence("west", now[0] - 40, SILENCE_SECONDS) is None
    tasks.note_lost("west")
    assert tasks.absence("west", now[0] - 40, SILENCE_SECONDS) == "it sent nothing for 0.5 min"
    assert tasks.absence("west", now[0] - 20, SILENCE_SECONDS) is None, "each question is one more chance"
    assert tasks.absence("north", now[0] - 40, SILENCE_SECONDS) is None
    tasks.client_is_active("west", "heartbeat", None)
    now[0] += 100
    assert tasks.absence("west", now[0] - 100, SILENCE_SECONDS) is None


PAUSE_SECONDS = 400.0


def test_while_the_server_is_stopped_no_site_is_silent(run, controller):  # noqa: F811
    """What a site sent meanwhile is read only after that, so the wait for it begins once more."""
    watched = controller(west=(TRAIN, 0))

    class Stopped(watched):
        asked = ""
        was_stopped = False

        def ask(self, task, *arguments, **options):
            self.asked = task
            super().ask(task, *arguments, **options)

        def _wait_briefly(self):
            if self.asked == TRAIN and not self.was_stopped:
                type(self).was_stopped = True
                communicator.time.advance(PAUSE_SECONDS)
            super()._wait_briefly()

    plain = {name: Site(step=1.0, dice=lambda w: 0.1 * w) for name in ("east", "north", "west")}
    record, _ = run(
        plain, controller=Stopped, algorithm={"name": "fedavg"}, min_sites=2, persistor=TwoWeights,
        quorum={"attempts": 1},
    )  # fmt: skip
    assert record.status == "finished", record.reason
    waited = longest(watched.waits, TRAIN)
    assert waited == pytest.approx(PAUSE_SECONDS + SILENCE_SECONDS, abs=2 * HEARTBEAT_SECONDS)


def test_a_server_that_is_always_short_of_a_processor_loses_a_site_that_stopped(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(communicator, "time", SimpleNamespace(monotonic=lambda: now[0]))
    tasks, asked = TaskCommunicator(), now[0]
    tasks.begin_waiting()
    for _ in range(100):
        now[0] += 20
        tasks.note_running()
    assert tasks.absence("west", asked, SILENCE_SECONDS) == "it sent nothing for 5 min"


def test_a_pause_counts_only_where_the_site_was_not_heard_in_it(monkeypatch):
    """The thread that waits may not run while others of the process hear the sites."""
    now = [1000.0]
    monkeypatch.setattr(communicator, "time", SimpleNamespace(monotonic=lambda: now[0]))
    tasks = TaskCommunicator()
    tasks.begin_waiting()
    now[0] += 90
    tasks._heard["west"] = now[0]
    now[0] += 10
    assert tasks.note_running() == 95  # that much later is the deadline
    now[0] += 1
    assert tasks.note_running() == 0
    now[0] += SILENCE_SECONDS
    assert tasks.absence("west", 1000.0, SILENCE_SECONDS) == "it sent nothing for 5 min"
