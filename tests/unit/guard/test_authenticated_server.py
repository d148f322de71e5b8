"""What FLARE's server answers, and whom it believes, before it has started."""

import json
import socket
from types import SimpleNamespace

import pytest
from nvflare.apis.fl_constant import FLContextKey, SecureTrainConst
from nvflare.apis.fl_context import FLContext, FLContextManager
from nvflare.apis.shareable import Shareable
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey, ReturnCode
from nvflare.fuel.f3.message import Message
from nvflare.lighter.utils import Identity, generate_cert, generate_keys, serialize_cert, serialize_pri_key
from nvflare.private.defs import CellMessageHeaderKeys, ClientType
from nvflare.private.fed.server.fed_server import BaseServer, FederatedServer
from nvflare.private.fed.server.run_manager import RunManager
from nvflare.private.fed.utils.identity_utils import TokenVerifier, load_cert_file

from consilium.errors import ConfigurationError
from consilium.federation.server.second_starts import second_starts
from consilium.guard import authenticated_server as certain_server
from consilium.guard.authenticated_server import AuthenticatedServer
from consilium.guard.start_precedence import WAIT

OWN_HEADERS = (
    CellMessageHeaderKeys.CLIENT_NAME,
    CellMessageHeaderKeys.TOKEN,
    CellMessageHeaderKeys.TOKEN_SIGNATURE,
)


@pytest.fixture(scope="module")
def entry(tmp_path_factory):
    """The server's entry in `fed_server.json`, and its certificate."""
    folder = tmp_path_factory.mktemp("kit")
    private, public = generate_keys()
    identity = Identity("flare.consortium.example")
    (folder / "server.crt").write_bytes(serialize_cert(generate_cert(identity, identity, private, public)))
    (folder / "server.key").write_bytes(serialize_pri_key(private))
    return {
        "service": {"target": "flare.consortium.example:8002"},
        SecureTrainConst.SSL_CERT: str(folder / "server.crt"),
        SecureTrainConst.PRIVATE_KEY: str(folder / "server.key"),
    }


class Cell:
    """Takes everything that is registered, and hears of nothing."""

    def __init__(self):
        self.core_cell = self

    def __getattr__(self, name):
        return lambda *args, **kwargs: None


def deploy(monkeypatch, tmp_path, entry, kind):
    """A server that has opened its port and got no further."""
    monkeypatch.setattr(BaseServer, "deploy", lambda server, *args, **kwargs: setattr(server, "cell", Cell()))
    server = kind("project", args=SimpleNamespace(workspace=str(tmp_path), set=[]), secure_train=True)
    server.deploy(server.engine.args, grpc_args=entry, secure_train=True)
    return server


def register(server):
    """What is answered, while components start, to a stranger who says that it is the site `north`."""
    server.engine.set_run_manager(
        RunManager("server", server.engine, job_id="", workspace=None, components={}, handlers=[])
    )
    request = Shareable()
    request.set_peer_context(FLContext())
    headers = {
        CellMessageHeaderKeys.CLIENT_NAME: "north",
        CellMessageHeaderKeys.CLIENT_TYPE: ClientType.REGULAR,
        CellMessageHeaderKeys.CLIENT_IP: "192.0.2.1",
        CellMessageHeaderKeys.PROJECT_NAME: server.project_name,
        MessageHeaderKey.ORIGIN: "north",
    }
    return server.register_client(Message(headers, request))


@pytest.fixture
def server(monkeypatch, tmp_path, entry):
    return deploy(monkeypatch, tmp_path, entry, AuthenticatedServer)


def test_its_first_answer_is_signed(server, entry):
    message = Message()
    server._add_auth_headers(message)
    verifier = TokenVerifier(load_cert_file(entry[SecureTrainConst.SSL_CERT]))
    assert verifier.verify(*(message.get_header(key) for key in OWN_HEADERS))


def test_it_believes_nobody_without_the_servers_signature(server):
    assert server.verify_auth_token("north", "token", server.sign_auth_token("north", "token"))
    assert not server.verify_auth_token("north", "token", server.sign_auth_token("south", "token"))
    assert not server.verify_auth_token("north", "token", "NA")


@pytest.mark.parametrize("ask", [lambda server: server.client_challenge(Message()), register])
def test_a_site_has_to_ask_again_until_it_has_started(server, ask):
    answer = ask(server)
    assert answer.get_header(MessageHeaderKey.RETURN_CODE) == ReturnCode.COMM_ERROR
    assert "still starting" in answer.get_header(MessageHeaderKey.ERROR)


def test_a_site_is_challenged_once_it_has_started(server):
    contexts = FLContextManager(server.engine, "server")
    server.engine.run_manager = contexts
    contexts.new_context().set_prop(FLContextKey.SECURE_MODE, True, private=True, sticky=True)
    answer = server.client_challenge(Message({MessageHeaderKey.ORIGIN: "north", "nonce": "once"}))
    assert answer.get_header(MessageHeaderKey.RETURN_CODE) == ReturnCode.OK


def test_a_server_without_its_key_does_not_open_its_port(monkeypatch, tmp_path, entry):
    without = {**entry, SecureTrainConst.PRIVATE_KEY: str(tmp_path / "none")}
    with pytest.raises(FileNotFoundError):
        deploy(monkeypatch, tmp_path, without, AuthenticatedServer)


def test_flares_own_still_needs_this(monkeypatch, tmp_path, entry):
    server = deploy(monkeypatch, tmp_path, entry, FederatedServer)
    assert server.verify_auth_token("north", "token", "forged")
    server._add_auth_headers(Message())
    assert server.my_own_token_signature == "NA"
    assert CellMessageHeaderKeys.TOKEN in register(server).payload


def beat(server, token, name="north"):
    request = Shareable()
    request.set_peer_context(FLContext())
    headers = {
        CellMessageHeaderKeys.CLIENT_NAME: name,
        CellMessageHeaderKeys.TOKEN: token,
        CellMessageHeaderKeys.PROJECT_NAME: server.project_name,
        MessageHeaderKey.ORIGIN: name,
    }
    return server.client_heartbeat(Message(headers, request))


@pytest.fixture
def started(server, monkeypatch):
    """A server that takes heartbeats, and of which no job is known."""
    server.engine.set_run_manager(
        RunManager("server", server.engine, job_id="", workspace=None, components={}, handlers=[])
    )
    server.engine.job_runner = SimpleNamespace(get_client_outcome_jobs=lambda *_: set())
    monkeypatch.setattr(second_starts, "_seen", {})
    return server


def test_a_site_keeps_its_session_when_another_start_of_it_has_ended(started):
    """It was cut off, another took its place and was killed: FLARE would refuse it for ten minutes."""
    beat(started, "of the other")
    answer = beat(started, "its own")
    assert answer.get_header(MessageHeaderKey.RETURN_CODE) == ReturnCode.OK
    assert list(started.client_manager.clients) == ["its own"]
    beat(started, "of the south", name="south")
    assert sorted(started.client_manager.clients) == ["its own", "of the south"]


def test_a_disabled_site_ends_nobodys_session(started):
    beat(started, "its own")
    started.client_manager.disabled_clients.add("north")
    answer = beat(started, "another")
    assert answer.get_header(MessageHeaderKey.RETURN_CODE) == ReturnCode.UNAUTHENTICATED
    assert list(started.client_manager.clients) == ["its own"]


def test_a_heartbeat_is_answered_with_the_second_start_of_its_site(started):
    second_starts.note("north", "process 1 at x", "process 2 at y")
    assert beat(started, "token").get_header(WAIT)["second"] == "process 2 at y"
    assert beat(started, "another", name="south").get_header(WAIT) is None


def write_port(folder, port):
    (folder / "startup").mkdir()
    entry = {"service": {"target": f"flare.consortium.example:{port}"}, "admin_port": port}
    (folder / "startup/fed_server.json").write_text(json.dumps({"servers": [entry]}))


def test_a_server_waits_for_its_port_and_gives_up_with_words(monkeypatch, tmp_path, entry):
    monkeypatch.setattr(certain_server, "_SECONDS_TO_FREE", 0.2)
    with socket.create_server(("", 0)) as other:
        write_port(tmp_path, other.getsockname()[1])
        with pytest.raises(ConfigurationError, match="is taken by another program"):
            deploy(monkeypatch, tmp_path, entry, AuthenticatedServer)


def test_a_server_that_does_not_come_to_listen_has_not_started(monkeypatch, tmp_path, entry):
    monkeypatch.setattr(certain_server, "_SECONDS_TO_LISTEN", 0.2)
    with socket.create_server(("", 0)) as probe:
        port = probe.getsockname()[1]
    write_port(tmp_path, port)
    with pytest.raises(ConfigurationError, match=f"does not listen at port {port}"):
        deploy(monkeypatch, tmp_path, entry, AuthenticatedServer)
