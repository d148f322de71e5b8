"""What FLARE's server answers, and whom it believes, before it has started."""

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

from consilium.guard.certain_server import CertainServer

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
    return deploy(monkeypatch, tmp_path, entry, CertainServer)


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
def test_a_site_is_told_to_ask_again_until_it_has_started(server, ask):
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
        deploy(monkeypatch, tmp_path, without, CertainServer)


def test_flares_own_still_needs_this(monkeypatch, tmp_path, entry):
    server = deploy(monkeypatch, tmp_path, entry, FederatedServer)
    assert server.verify_auth_token("north", "token", "forged")
    server._add_auth_headers(Message())
    assert server.my_own_token_signature == "NA"
    assert CellMessageHeaderKeys.TOKEN in register(server).payload
