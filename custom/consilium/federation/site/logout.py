"""Logout of a site from the server when SIGTERM ends it."""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import Final

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.private.fed.client.fed_client import FederatedClient

_SECONDS_TO_LEAVE: Final = 4.0
"""How long a server that doesn't answer is waited for; less than anything that ends processes waits."""


class Logout(FLComponent):  # type: ignore[misc]
    """Log out of the federation when SIGTERM ends the site's parent process.

    FLARE's client dies silently, and the server shows it as connected until it has missed heartbeats for
    minutes. `consilium site stop`, systemd and `kill` send this signal. The scripts around the process
    start it again, so they are ended first.

    The component is for a hospital's `resources.json`, which is read in the processes of jobs too: those end
    as before.
    """

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Watch for the signal as soon as the site is part of the federation."""
        client = fl_ctx.get_prop(FLContextKey.SITE_OBJ)
        if (
            event_type == EventType.SYSTEM_START
            and isinstance(client, FederatedClient)
            and threading.current_thread() is threading.main_thread()
        ):
            signal.signal(signal.SIGTERM, lambda number, frame: self._leave(client))

    def _leave(self, client: FederatedClient) -> None:
        # Not in the handler: it may have interrupted a thread that holds a lock needed to send.
        threading.Thread(target=self._log_out, args=(client,), name="leave", daemon=True).start()
        late = threading.Timer(_SECONDS_TO_LEAVE, os._exit, (0,))
        late.daemon = True
        late.start()

    def _log_out(self, client: FederatedClient) -> None:
        try:
            self.logger.info("stopped by SIGTERM: the site leaves the federation")
            client.close()
        finally:
            logging.shutdown()
            os._exit(0)
