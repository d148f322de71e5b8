"""A site's heartbeats: from the start of a job's process to its end, whatever fails meanwhile."""

from queue import Queue
from threading import Event, Thread
from threading import enumerate as running_threads

import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import ReservedTopic

from consilium.federation.site import executor as site_executor
from consilium.federation.site.heartbeats import Heartbeats

DEADLINE_SECONDS = 30.0
AT_ONCE = 0.001


@pytest.fixture
def beats(engine, monkeypatch):
    """The heartbeats that arrive; an exception put into `faults` is raised instead of the next one."""
    arrived, faults = Queue(), Queue()
    send = engine.send_aux_request

    def watched(*, topic, targets, **more):
        if topic != ReservedTopic.JOB_HEART_BEAT:
            return send(topic=topic, targets=targets, **more)
        if not faults.empty():
            raise faults.get()
        arrived.put(targets)
        return {}

    monkeypatch.setattr(engine, "send_aux_request", watched)
    arrived.faults = faults
    return arrived


def senders():
    return [thread for thread in running_threads() if thread.name == "heartbeats"]


def test_they_go_to_the_server_until_the_job_ends(engine, beats):
    before = senders()
    sending = Heartbeats(AT_ONCE)
    sending.begin(engine)
    sending.begin(engine)  # a second start of the job's run does not double them
    (thread,) = (one for one in senders() if one not in before)
    assert [beats.get(timeout=DEADLINE_SECONDS) for _ in range(3)] == [["server"]] * 3
    sending.end()
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()


def test_one_that_can_not_be_sent_does_not_end_them(engine, beats, caplog):
    for fault in (RuntimeError("can't start new thread"), MemoryError(), OSError("connection lost")):
        beats.faults.put(fault)
    sending = Heartbeats(AT_ONCE)
    sending.begin(engine)
    beats.get(timeout=DEADLINE_SECONDS)
    sending.end()
    assert beats.faults.empty()
    assert caplog.text.count("a heartbeat can't be sent (RuntimeError)") == 1, "one line until one is sent"


def test_a_site_sends_them_while_its_process_still_loads_and_while_it_works(
    engine, executor, beats, monkeypatch
):
    """All of that takes as long as a slow disk and a busy machine make it take."""
    monkeypatch.setattr(executor, "_heartbeats", Heartbeats(AT_ONCE))
    loading, loaded = Event(), Event()

    def load(_engine):
        loading.set()
        assert loaded.wait(DEADLINE_SECONDS)

    monkeypatch.setattr(site_executor, "wait_for_wake_ups", load)
    start = Thread(target=executor.handle_event, args=(EventType.START_RUN, engine.context), daemon=True)
    start.start()
    assert loading.wait(DEADLINE_SECONDS)
    for _ in range(beats.qsize() + 2):
        beats.get(timeout=DEADLINE_SECONDS)
    loaded.set()
    start.join(DEADLINE_SECONDS)
    for _ in range(beats.qsize() + 2):
        beats.get(timeout=DEADLINE_SECONDS)
    executor.handle_event(EventType.END_RUN, engine.context)
