"""A few travel at a time; nobody waits for ever, and a site that is slow or dead holds up no others."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock

import numpy as np
import pytest
from nvflare.fuel.f3.streaming.download_service import ProduceRC

from consilium.federation.transport import transfer_slots as module
from consilium.federation.transport.array_pieces import ArrayPieces
from consilium.federation.transport.transfer_slots import TransferSlots
from federation.flare import Engine
from federation.rehearsal import Rehearsal, TwoWeights

LONG, AT_ONCE, SITES = 600.0, 3, 20


@pytest.fixture
def sites():
    """Threads for all sites, and one more."""
    with ThreadPoolExecutor(SITES + 1) as pool:
        yield pool


@pytest.fixture
def clock(monkeypatch):
    """What the time is; a list of one number, to be set. Nobody who waits is woken by it."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_no_more_than_a_few_travel_at_a_time_and_all_of_them_do(sites):
    slots, lock, full = TransferSlots(AT_ONCE, LONG), Lock(), Barrier(AT_ONCE)
    now, most = [0], [0]

    def travel(site):
        with slots.hold(site):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            if site < AT_ONCE:
                full.wait(timeout=60)  # so many have a turn at the same time
            with lock:
                now[0] -= 1
        return site

    first = [sites.submit(travel, site) for site in range(AT_ONCE)]
    others = [sites.submit(travel, site) for site in range(AT_ONCE, SITES)]
    assert [one.result(timeout=60) for one in first + others] == list(range(SITES))
    assert most == [AT_ONCE]


def test_a_turn_ends_with_an_error_as_well(sites):
    slots = TransferSlots(1, LONG)
    with pytest.raises(OSError, match="lost"), slots.hold("north"):
        raise OSError("lost")
    sites.submit(slots.acquire, "south").result(timeout=60)


def test_nobody_waits_longer_than_its_patience(sites):
    slots = TransferSlots(1, 0.05)
    slots.acquire("north, which has died")
    sites.submit(slots.acquire, "south").result(timeout=60)


def test_who_takes_longer_than_that_is_not_counted(clock):
    slots = TransferSlots(1, 30.0)
    slots.acquire("north, which is slow")
    clock[0] = 31.0
    slots.acquire("south")  # would wait for ever: the clock stands still
    slots.release("north, which is slow")
    assert not slots._is_free()  # south's turn is its own


def test_a_waiting_transfer_starts_when_a_slot_is_no_longer_counted(clock, monkeypatch):
    def wait(seconds):
        clock[0] += seconds

    slots = TransferSlots(2, 30.0)
    monkeypatch.setattr(slots._changed, "wait", wait)
    slots.acquire("north, which has died")
    clock[0] = 10.0
    slots.acquire("south, which has died")
    clock[0] = 20.0
    slots.acquire("east")
    assert clock == [30.0]
    slots.acquire("west")
    assert clock == [40.0]


def test_one_who_asks_again_does_not_wait_for_itself():
    slots = TransferSlots(1, LONG)
    slots.acquire("north")
    slots.acquire("north")
    slots.release("north")
    slots.release("north")
    assert slots._is_free()


def test_at_the_end_nobody_waits_any_more(sites):
    slots = TransferSlots(1, LONG)
    slots.acquire("north")
    waiting = [sites.submit(slots.acquire, site) for site in range(SITES)]
    slots.release_all()
    for one in waiting:
        one.result(timeout=60)


def test_a_site_gets_the_first_piece_in_its_turn_and_the_others_at_once(monkeypatch):
    slots, waited = TransferSlots(1, LONG), []
    monkeypatch.setattr(ArrayPieces, "slots", slots)
    source = ArrayPieces({"w": np.arange(100.0)}, 64)

    def wait(seconds):
        waited.append(seconds)
        source.downloaded_to_one("north", "success")

    monkeypatch.setattr(slots._changed, "wait", wait)
    _, _, state = source.produce(None, "north")
    while state:
        code, _, state = source.produce(state, "north")
    assert (code, waited) == (ProduceRC.EOF, [])
    assert source.produce(None, "south")[0] == ProduceRC.OK
    assert len(waited) == 1
    source.downloaded_to_one("south", "failed")
    assert slots._is_free()


def test_a_job_that_ends_keeps_nobody_waiting(sites, tmp_path, monkeypatch):
    monkeypatch.setattr(ArrayPieces, "slots", ArrayPieces.slots)
    engine = Engine(tmp_path, {"persistor": TwoWeights()}, ["north"])
    controller = Rehearsal(rounds=1, min_sites=1)
    controller.start_controller(engine.context)
    slots = ArrayPieces.slots
    while slots._is_free():
        slots.acquire(len(slots._since))
    waiting = sites.submit(slots.acquire, "north")
    controller.stop_controller(engine.context)
    waiting.result(timeout=20)  # less than its patience
