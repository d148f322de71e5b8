"""A site's kit that was started in two places, as the server's and the site's connections see it."""

import logging
import threading
import time
from dataclasses import replace

import msgpack
import pytest
from anything import ANYTHING
from hypothesis import given
from nvflare.fuel.f3.drivers.connector_info import Mode
from nvflare.fuel.f3.endpoint import Endpoint
from nvflare.fuel.f3.sfm.constants import Types
from nvflare.fuel.f3.sfm.prefix import PREFIX_LEN

from consilium.federation.message_names import SECOND_STARTS_META
from consilium.federation.server.second_starts import SecondStarts, second_starts
from consilium.guard import start_precedence as module
from consilium.guard.loopback import GuardedConnManager, ProvenConnection
from consilium.guard.start_precedence import LONGEST_SILENCE_SECONDS, START, WAIT, Notices, Start, Waiting
from consilium.records.job_status import SecondStart
from consilium.records.site_connection import read_second_start

from .test_loopback import SECURE, framed, key, listened, manager  # noqa: F401 - fixtures

HERE = Start(place="here", began=100.0, process=11)
AGAIN = replace(HERE, began=200.0, process=12)
ELSEWHERE = Start(place="elsewhere", began=50.0, process=13)


@pytest.mark.parametrize(
    ("second", "silent", "waits"),
    [
        (AGAIN, 0.0, False),  # the lock of its folder shows that the first has ended
        (replace(HERE, began=90.0), 0.0, True),  # a folder without locks: the later one stays
        (HERE, 0.0, False),  # it reconnects
        (ELSEWHERE, 0.0, True),
        (ELSEWHERE, LONGEST_SILENCE_SECONDS, False),  # the first is gone without a word
    ],
)
def test_who_waits_for_whom(second, silent, waits):
    assert second.must_wait_for(HERE, silent) is waits


def test_a_start_is_recognized_by_its_folder_and_says_no_more_of_it(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = Start.own(tmp_path / "a"), Start.own(tmp_path / "b")
    assert first.place != second.place
    assert Start.own(tmp_path / "a") == first
    assert Start.parse(msgpack.unpackb(msgpack.packb(first.as_dict()))) == first
    assert str(tmp_path) not in str(first)


@given(ANYTHING)
def test_what_is_no_start_is_none(said):
    assert Start.parse(said) is None or isinstance(said, dict)


@pytest.fixture
def sites(manager, monkeypatch):  # noqa: F811
    """Connects processes of the site `north` to the server."""
    monkeypatch.setattr(second_starts, "_seen", {})
    monkeypatch.setattr(module, "waiting", Waiting())

    def connect(start, name="north", certificate="north"):
        hello = {"endpoint_name": name} | ({} if start is None else {START: start.as_dict()})
        wire, connection = listened(manager, framed(Types.HELLO, hello), params=SECURE, name=certificate)
        connection.last_activity = time.time()
        return wire, connection

    return connect


def answer_of(wire):
    return msgpack.unpackb(wire.sent[-1][PREFIX_LEN:])


def test_the_first_start_stays_connected_and_the_second_learns_why_it_can_t(manager, audited, sites):  # noqa: F811
    first, _ = sites(HERE)
    second, _ = sites(ELSEWHERE)
    assert [one.conn for one in manager.sfm_endpoints["north"].connections] == [first]
    assert not first.closed
    reported = answer_of(second)[WAIT]
    assert "process 11" in reported["first"]
    assert "process 13" in reported["second"]
    assert "site north was started twice" in audited[0]["msg"]
    sites(ELSEWHERE)
    assert len(audited) == 1
    assert second_starts.current()["north"].since == reported["since"]


def test_a_flood_of_second_starts_takes_few_threads_and_few_records(manager, audited, sites):  # noqa: F811
    first, _ = sites(HERE)
    before = threading.active_count()
    others = [sites(replace(ELSEWHERE, process=number))[0] for number in range(1, 200)]
    assert threading.active_count() <= before + 4
    assert len(audited) == 1
    assert sum(not one.closed for one in others) <= 4
    assert not first.closed


def test_a_restart_or_a_site_that_has_moved_takes_the_place_of_the_first(manager, audited, sites):  # noqa: F811
    first, _ = sites(HERE)
    again, later = sites(AGAIN)
    assert first.closed
    later.last_activity = time.time() - LONGEST_SILENCE_SECONDS - 1
    moved, _ = sites(ELSEWHERE)
    assert again.closed
    assert [one.conn for one in manager.sfm_endpoints["north"].connections] == [moved]
    assert audited == []


def test_nobody_speaks_for_a_site_without_its_certificate(manager, audited, sites):  # noqa: F811
    first, _ = sites(HERE)
    stranger, _ = sites(ELSEWHERE, certificate="south")
    assert stranger.closed
    assert second_starts.current() == {}
    assert [one.conn for one in manager.sfm_endpoints["north"].connections] == [first]


def test_a_process_that_says_nothing_of_its_start_is_connected_as_by_flare(manager, sites):  # noqa: F811
    first, _ = sites(None)
    second, _ = sites(HERE)
    assert first.closed
    assert not second.closed


def test_a_site_that_has_to_wait_says_so_and_tries_again(key, monkeypatch, caplog, tmp_path):  # noqa: F811
    notices = Notices()
    notices.workspace = tmp_path
    monkeypatch.setattr(module, "notices", notices)
    monkeypatch.setattr("nvflare.fuel.f3.stats_pool.StatsPoolManager.pools", {})
    site = GuardedConnManager(Endpoint("north"))
    reported = {"first": "process 11 at 10.0.0.5", "second": "process 13 at 10.0.0.6", "since": 1.0}
    ready = framed(Types.READY, {"endpoint_name": "server", WAIT: reported})
    with caplog.at_level(logging.WARNING):
        wires = [listened(site, ready, mode=Mode.ACTIVE, name=None)[0] for _ in range(2)]
    site.stop()
    assert [wire.closed for wire in wires] == [True, True]
    assert site.sfm_endpoints == {}
    assert caplog.text.count("site north was started twice: process 11 at 10.0.0.5 works") == 1
    assert "stop one of the two there (consilium site stop KIT)" in caplog.text
    assert read_second_start(tmp_path) == SecondStart(**reported)


@given(ANYTHING)
def test_a_notice_that_is_none_is_passed_over(said):
    Notices().write("north", said)


def test_only_a_sites_parent_process_says_which_start_it_is(monkeypatch, key):  # noqa: F811
    from .test_loopback import end

    assert START not in handshake(end("north", **SECURE))
    monkeypatch.setattr(ProvenConnection, "own_start", HERE)
    assert Start.parse(handshake(end("north", **SECURE))[START]) == HERE
    assert START not in handshake(end("north.job"))


def handshake(connection):
    connection.send_handshake(Types.HELLO)
    return connection.said[-1][1]


class Jobs:
    def __init__(self):
        self.updates = []

    def get_engine(self):
        return self

    def get_component(self, name):
        return self

    def update_meta(self, job, meta, fl_ctx):
        self.updates.append((job, meta[SECOND_STARTS_META]))


def test_running_jobs_say_it_as_long_as_it_lasts(monkeypatch):
    known, jobs = SecondStarts(), Jobs()
    known.publish(["a"], jobs)
    assert jobs.updates == []
    reported = known.note("north", "process 1 at 10.0.0.5", "process 2 at 10.0.0.6")
    reported = reported.without_addresses().model_dump(mode="json")
    assert "10.0.0" not in str(reported)  # all who may list jobs see it, users of other hospitals as well
    for _ in range(2):
        known.publish(["a"], jobs)
    known.publish(["a", "b"], jobs)
    assert jobs.updates == [("a", {"north": reported}), ("b", {"north": reported})]
    monkeypatch.setattr(time, "time", lambda: reported["since"] + 3600)
    known.publish(["b"], jobs)
    assert jobs.updates[2:] == [("b", {})]
