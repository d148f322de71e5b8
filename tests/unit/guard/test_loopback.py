import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import msgpack
import pytest
from nvflare.fuel.f3.connection import Connection
from nvflare.fuel.f3.drivers.connector_info import ConnectorInfo, Mode
from nvflare.fuel.f3.endpoint import Endpoint
from nvflare.fuel.f3.sfm.constants import Types
from nvflare.fuel.f3.sfm.prefix import PREFIX_LEN, Prefix
from nvflare.fuel.f3.stats_pool import StatsPoolManager

from consilium.guard import audit_log
from consilium.guard.loopback import (
    KEY_VARIABLE,
    GuardedConnManager,
    LoopbackKey,
    ProvenConnection,
    UsedNonces,
    credentials_with_key,
)


@pytest.fixture
def key(monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.setattr(LoopbackKey, "_key", None)
    yield LoopbackKey
    os.environ.pop(KEY_VARIABLE, None)


class Line:
    """One end of a connection: what it sends, reaches the other end's handshake."""

    def __init__(self, **params):
        self.connector = SimpleNamespace(params=params, mode=Mode.PASSIVE)
        self.name = "CN00001"

    def send_frame(self, frame):
        self.sent = frame


def end(name, **params):
    made = ProvenConnection(Line(**params), Endpoint(name))
    made.said = []
    made.send_dict = lambda frame_type, stream_id, data: made.said.append((frame_type, data))
    return made


def greet(child, parent):
    """Let a job's process and its parent shake hands; returns whether each believes the other."""
    child.send_handshake(Types.HELLO)
    hello = child.said[-1][1]
    if not parent.believes(Types.HELLO, hello):
        return False, False
    parent.send_handshake(Types.READY)
    return True, child.believes(Types.READY, parent.said[-1][1])


def test_processes_with_one_secret_believe_each_other(key):
    assert greet(end("north.job"), end("north")) == (True, True)


def test_a_process_without_the_secret_is_not_believed(key):
    child = end("north.job")
    child.send_handshake(Types.HELLO)
    LoopbackKey._key = b"another" * 5
    assert not end("north").believes(Types.HELLO, child.said[0][1])


@pytest.mark.parametrize("frame", [Types.HELLO, Types.READY])
@pytest.mark.parametrize(
    "said",
    [
        {},
        {"endpoint_name": "north.job"},
        {"endpoint_name": "x", "consilium_proof": 3, "consilium_nonce": []},
        {"endpoint_name": "x", "consilium_proof": "\u00e9", "consilium_nonce": ""},
    ],
)
def test_a_process_that_shows_nothing_is_not_believed(key, frame, said):
    assert not end("north").believes(frame, said)


def test_what_one_process_shows_is_no_use_to_another_name_or_connection(key):
    child, parent = end("north.job"), end("north")
    child.send_handshake(Types.HELLO)
    hello = child.said[0][1]
    assert not end("north").believes(Types.HELLO, {**hello, "endpoint_name": "north"})
    assert not end("north.job").believes(Types.READY, hello)  # reflected
    assert parent.believes(Types.HELLO, hello)
    parent.send_handshake(Types.READY)
    ready = parent.said[0][1]
    assert child.believes(Types.READY, ready)
    assert not end("north.job").believes(Types.READY, ready)  # of another connection


def test_the_secret_goes_to_jobs_and_no_further(key):
    secret = key.get()
    assert os.environ[KEY_VARIABLE] == secret.hex()
    assert credentials_with_key({})[KEY_VARIABLE] == secret.hex()
    program = (
        "import os; from consilium.guard.loopback import LoopbackKey as k, KEY_VARIABLE as v; "
        "print(k.get().hex(), os.environ.get(v))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [secret.hex(), "None"]


def test_two_starts_have_two_secrets(key, monkeypatch):
    first = key.get()
    del os.environ[KEY_VARIABLE]
    monkeypatch.setattr(LoopbackKey, "_key", None)
    assert key.get() != first


def test_nothing_is_shown_over_the_network(key):
    secure = end("north", scheme="grpc", secure=True)
    assert secure.is_proven_by_certificate
    secure.send_handshake(Types.HELLO)
    assert set(secure.said[0][1]) == {"endpoint_name"}


NORTH_JOB = "north.1c5a0f6e-9a3b-4d52-8f1e-0d6c2f6b7a11"
SECURE = {"scheme": "grpcs", "secure": True}


class Wire(Connection):
    """A connection to nobody."""

    def __init__(self, params, mode=Mode.PASSIVE, name=None):
        super().__init__(ConnectorInfo("h", None, params, mode, 0, 0, False, threading.Event()))
        self.peer, self.sent, self.closed = name, [], False

    def get_conn_properties(self):
        return {"peer_cn": self.peer} if self.peer else {}

    def close(self):
        self.closed = True

    def send_frame(self, frame):
        self.sent.append(bytes(frame))


@pytest.fixture
def manager(key, monkeypatch):
    """A server's keeper of connections."""
    monkeypatch.setattr(StatsPoolManager, "pools", {})
    monkeypatch.setattr(audit_log, "_refusals", audit_log.AuditLog())
    monkeypatch.setattr(ProvenConnection, "used_nonces", UsedNonces())
    made = GuardedConnManager(Endpoint("server", {"fqcn": "server"}))
    yield made
    made.stop()


def framed(frame_type, said):
    content = said if isinstance(said, bytes) else msgpack.packb(said)
    frame = bytearray(PREFIX_LEN + len(content))
    Prefix(len(frame), 0, frame_type, 0, 0, 0, 1, 0).to_buffer(frame, 0)
    frame[PREFIX_LEN:] = content
    return bytes(frame)


def listened(manager, *frames, params=SECURE, mode=Mode.PASSIVE, name="north"):
    """Let frames come over a new connection."""
    wire = Wire(params, mode, name)
    connection = ProvenConnection(wire, manager.local_endpoint)
    for frame in frames:
        manager.process_frame_task(connection, frame)
    return wire, connection


def hello_of(name):
    wire = Wire({}, Mode.ACTIVE)
    ProvenConnection(wire, Endpoint(name, {"fqcn": name})).send_handshake(Types.HELLO)
    return wire.sent[0]


@pytest.mark.parametrize("again", [Types.HELLO, Types.READY])
def test_one_connection_says_once_who_it_is(manager, audited, again):
    first = framed(Types.HELLO, {"endpoint_name": "north"})
    wire, _ = listened(manager, first)
    assert (wire.closed, list(manager.sfm_endpoints), audited) == (False, ["north"], [])
    wire, _ = listened(manager, first, framed(again, {"endpoint_name": NORTH_JOB}))
    assert (wire.closed, list(manager.sfm_endpoints)) == (True, ["north"])
    assert [event["action"] for event in audited] == ["connection_rejected"]
    assert not listened(manager, first)[0].closed  # a site that reconnects has another connection


@pytest.mark.parametrize(
    ("mode", "frame", "closed"),
    [
        (Mode.PASSIVE, Types.HELLO, False),
        (Mode.PASSIVE, Types.READY, True),
        (Mode.ACTIVE, Types.READY, False),
        (Mode.ACTIVE, Types.HELLO, True),
    ],
)
def test_who_connects_says_hello_and_who_listens_ready(key, monkeypatch, mode, frame, closed):
    monkeypatch.setattr(StatsPoolManager, "pools", {})
    me, other = ("south", "server") if mode == Mode.ACTIVE else ("server", "south")
    manager = GuardedConnManager(Endpoint(me))
    said = framed(frame, {"endpoint_name": other})
    assert listened(manager, said, mode=mode, name=other)[0].closed == closed
    manager.stop()


BAD = {
    "a list": [1, 2],
    "a number": 5,
    "nothing": None,
    "an empty one": {},
    "no message": b"\xc1",
    "half a message": b"\x82\xa1",
    "no text as a name": {"endpoint_name": ["north"]},
    "nobody's name": {"endpoint_name": "north.local"},
    "a long name": {"endpoint_name": "n" * 5000},
    "the server's name in other letters": {"endpoint_name": "SERVER"},
    "the own name": {"endpoint_name": "server"},
    "another's name": {"endpoint_name": "south"},
    "much": {"endpoint_name": "north", "x": bytes(2**20)},
}


@pytest.mark.parametrize("params", [{}, SECURE], ids=["loopback", "network"])
@pytest.mark.parametrize("said", BAD.values(), ids=BAD)
def test_a_bad_handshake_is_rejected(manager, audited, said, params):
    wire, connection = listened(manager, framed(Types.HELLO, said), params=params)
    assert (wire.closed, connection.sfm_endpoint, manager.sfm_endpoints) == (True, None, {})


@pytest.mark.parametrize("said", BAD.values(), ids=BAD)
def test_a_rejected_handshake_is_on_record(manager, audited, said):
    listened(manager, framed(Types.HELLO, said), params={})
    assert [event["action"] for event in audited] == ["connection_rejected"]


def test_a_connection_that_sends_no_frames_is_closed(manager, audited):
    assert listened(manager, b"x")[0].closed
    assert [event["action"] for event in audited] == ["connection_rejected"]


def test_only_known_properties_are_kept(manager):
    said = {"endpoint_name": "north", "fqcn": "north", "timestamp": 1.0, "x": "y"}
    listened(manager, framed(Types.HELLO, said))
    assert manager.sfm_endpoints["north"].endpoint.properties == {"fqcn": "north"}


def test_a_recorded_handshake_is_rejected_on_another_connection(manager, audited):
    hello = hello_of(f"server.{NORTH_JOB[6:]}")
    assert [listened(manager, hello, params={}, name=None)[0].closed for _ in range(3)] == [False, True, True]
    assert not listened(manager, hello_of(f"server.{NORTH_JOB[6:]}"), params={}, name=None)[0].closed


def test_numbers_of_handshakes_are_remembered_up_to_a_bound():
    used = UsedNonces(longest=2)
    assert [used.use(nonce) for nonce in ("a", "a", "b", "b", "c", "c", "a")] == [
        *(True, False) * 3,
        True,
    ]
