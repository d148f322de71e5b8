"""FLARE's server, which tells its sites from strangers from the first message on."""

from __future__ import annotations

from typing import Any

from nvflare.apis.fl_constant import FLContextKey, SecureTrainConst
from nvflare.apis.fl_context import FLContext
from nvflare.private.fed.server.fed_server import FederatedServer
from nvflare.private.fed.utils.identity_utils import IdentityAsserter


class CertainServer(FederatedServer):  # type: ignore[misc]
    """Know the server's own certificate before the port opens, and register no site before all has started.

    FLARE 2.9 opens its port first, and puts certificates and security mode into its context last, when every
    component has started. Of what comes in between it verifies nothing: a site that asks to be challenged is
    told that the server isn't secure, one that doesn't ask is registered without a proof that it is that
    site. What it answers is signed with the word "NA", which it keeps as its signature, so that no user can
    log in until it is started again.

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
        """
        if secure_train:
            self.cred_keeper.id_asserter = IdentityAsserter(
                private_key_file=grpc_args[SecureTrainConst.PRIVATE_KEY],
                cert_file=grpc_args[SecureTrainConst.SSL_CERT],
            )
        super().deploy(args, grpc_args, secure_train, enable_admin_listener=enable_admin_listener)

    def _ready_for_registration(self, fl_ctx: FLContext) -> str | None:
        """Return why a site has to ask again later, None if it can register now."""
        if fl_ctx.get_prop(FLContextKey.SECURE_MODE) is None:
            return "the server is still starting"
        error: str | None = super()._ready_for_registration(fl_ctx)
        return error
