"""FLARE's server, changed to load its certificate before listening."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import FLContextKey, SecureTrainConst
from nvflare.apis.fl_context import FLContext
from nvflare.fuel.f3.message import Message
from nvflare.private.defs import CellMessageHeaderKeys
from nvflare.private.fed.server.fed_server import FederatedServer
from nvflare.private.fed.utils.identity_utils import IdentityAsserter

from consilium.errors import ConfigurationError
from consilium.federation.server.second_starts import second_starts
from consilium.guard.start_check import require_free, server_ports
from consilium.guard.start_precedence import WAIT

_SECONDS_TO_FREE, _SECONDS_BETWEEN_TRIES = 30.0, 1.0
_SECONDS_TO_LISTEN = 60.0


class AuthenticatedServer(FederatedServer):  # type: ignore[misc]
    """FLARE's server, with its certificate before the port opens, and no registration before all has started.

    FLARE 2.9 opens its port first, and loads certificates and security mode last, when every component has
    started. In between it verifies nothing: a site that asks for a challenge gets the answer that the server
    isn't secure, one that doesn't ask is registered without proof of its identity. Its answers are signed
    with the word "NA", which it keeps as its signature, so that no user can log in until it is restarted.

    The arguments are FLARE's.
    """

    def deploy(
        self, args: Any, grpc_args: Any = None, secure_train: bool = False, enable_admin_listener: bool = True
    ) -> None:
        """Open the server's port.

        Args:
            args: Of the server's command line.
            grpc_args: The server's entry in `fed_server.json`.
            secure_train: Whether the federation has certificates.
            enable_admin_listener: Whether users reach the server.

        Raises:
            OSError: If a certificate or key can't be read.
            ConfigurationError: If a port is taken for half a minute, or nothing listens at it then.
        """
        if secure_train:
            self.cred_keeper.id_asserter = IdentityAsserter(
                private_key_file=grpc_args[SecureTrainConst.PRIVATE_KEY],
                cert_file=grpc_args[SecureTrainConst.SSL_CERT],
            )
        places = server_ports(Path(str(self.workspace)))
        self._wait_for_ports(places)
        super().deploy(args, grpc_args, secure_train, enable_admin_listener=enable_admin_listener)
        _require_listening(places)

    def _wait_for_ports(self, places: list[tuple[str, int]]) -> None:
        """Wait until the ports are free: an earlier server of this kit may need some seconds to end.

        FLARE says that it has started, and reports nothing of a port that it could not have.
        """
        end, is_said = time.monotonic() + _SECONDS_TO_FREE, False
        for host, port in places:
            while True:
                try:
                    require_free(host, port)
                    break
                except ConfigurationError as error:
                    if time.monotonic() > end:
                        raise
                    if not is_said:
                        self.logger.error(f"{error}; it tries for {_SECONDS_TO_FREE:g} s, and ends then")
                    is_said = True
                    time.sleep(_SECONDS_BETWEEN_TRIES)

    def client_heartbeat(self, request: Message) -> Message:
        """Take a site's heartbeat, and report in the answer if the site was also started elsewhere.

        Who sends it is the only process of the site that is connected (`consilium.guard.start_precedence`).
        FLARE rejects it for as long as it remembers a session of another one.
        """
        token, site = (
            request.get_header(key)
            for key in (CellMessageHeaderKeys.TOKEN, CellMessageHeaderKeys.CLIENT_NAME)
        )
        sessions = self.client_manager
        if token not in sessions.clients and not sessions.is_client_disabled(site):
            for other, client in list(sessions.clients.items()):
                if client.name == site:
                    self.logger.warning(f"{site}: another start of its kit has ended; this one continues")
                    self.logout_client(other)
        reply = super().client_heartbeat(request)
        second = second_starts.current().get(str(site))
        if second is not None:
            reply.set_header(WAIT, second.model_dump(mode="json"))
        return reply

    def _ready_for_registration(self, fl_ctx: FLContext) -> str | None:
        """Return why a site has to ask again later, None if it can register now."""
        if fl_ctx.get_prop(FLContextKey.SECURE_MODE) is None:
            return "the server is still starting"
        error: str | None = super()._ready_for_registration(fl_ctx)
        return error


def _require_listening(places: list[tuple[str, int]]) -> None:
    end = time.monotonic() + _SECONDS_TO_LISTEN
    for host, port in places:
        while not _listens(host or "127.0.0.1", port):
            if time.monotonic() > end:
                raise ConfigurationError(
                    f"the server does not listen at port {port} after {_SECONDS_TO_LISTEN:g} s; its log says "
                    "what its driver could not do"
                )
            time.sleep(0.1)


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
