import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from nvflare.fuel.f3.drivers.connector_info import Mode
from nvflare.fuel.f3.endpoint import Endpoint
from nvflare.fuel.f3.sfm.constants import Types

from consilium.guard.loopback import KEY_VARIABLE, LoopbackKey, ProvenConnection, credentials_with_key


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


START = """
import os, subprocess, sys, time
from nvflare.fuel.f3.cellnet.cell import Cell
from nvflare.private.fed.utils.fed_utils import fobs_initialize
from consilium.guard.loopback import KEY_VARIABLE, guard_connections

NOWHERE = {"root_url": "tcp://127.0.0.1:9", "secure": False, "credentials": {}}
fobs_initialize()
"""
CHILD = (
    START
    + """
url, kind, seconds = sys.argv[1:]
if kind == "guarded":
    guard_connections()
cell = Cell(fqcn="north.job", parent_url=url, **NOWHERE)
cell.start()
end = time.monotonic() + float(seconds)
while "north" not in cell.core_cell.agents and time.monotonic() < end:
    time.sleep(0.05)
print("north" in cell.core_cell.agents, flush=True)
os._exit(0)
"""
)
PARENT = (
    START
    + """
guard_connections()
cell = Cell(fqcn="north", create_internal_listener=True, **NOWHERE)
cell.start()
stranger = {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}
for environment, kind, seconds in (
    (os.environ, "guarded", 60), (stranger, "guarded", 3), (stranger, "flare's", 3)
):
    command = [sys.executable, "-c", sys.argv[1], cell.get_internal_listener_url(), kind, str(seconds)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    print(ended.stdout.split()[-1], "north.job" in cell.core_cell.agents, flush=True)
    while "north.job" in cell.core_cell.agents:
        time.sleep(0.05)
os._exit(0)
"""
)


def test_a_cell_of_flare_s_joins_only_with_the_secret():
    environment = {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}
    command = [sys.executable, "-c", PARENT, CHILD]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=240)
    own, stranger, without_our_code = ended.stdout.splitlines()
    assert own.startswith("True")
    assert (stranger, without_our_code) == ("False False", "False False")
