"""Heartbeats of a job's process at a site."""

from __future__ import annotations

import logging
from threading import Event, Thread
from typing import Any, Final

from nvflare.apis.fl_constant import ReservedTopic
from nvflare.apis.shareable import Shareable
from nvflare.fuel.f3.cellnet.fqcn import FQCN

_SECONDS: Final = 10.0
"""As often as FLARE's own."""

_log = logging.getLogger(__name__)


class Heartbeats:
    """Sends the server a heartbeat every ten seconds, whatever this process works on.

    FLARE's own clients begin with it when they request their first task, and those of its simulator never
    do: a simulated site that prepared or trained for longer than `quorum.silence_minutes` would be lost.
    FLARE's also end for good at the first one that can't be sent, for lack of memory for instance.

    Args:
        seconds: Between two of them.
    """

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self._ended = Event()
        self._engine: Any = None

    def begin(self, engine: Any) -> None:
        """Send them from now on, in a thread.

        Args:
            engine: FLARE's, of a job's process at a site.
        """
        if self._engine is None:
            self._engine = engine
            Thread(target=self._send_until_ended, name="heartbeats", daemon=True).start()

    def end(self) -> None:
        """Send no more."""
        self._ended.set()

    def _send_until_ended(self) -> None:
        failing = False
        while not self._ended.is_set():
            try:
                self._send()
                failing = False
            except Exception as error:  # noqa: BLE001 - the FLARE boundary: the next one may be sent
                if not failing:
                    _log.warning(f"a heartbeat can't be sent ({type(error).__name__}); trying again")
                failing = True
            self._ended.wait(self._seconds)

    def _send(self) -> None:
        with self._engine.new_context() as fl_ctx:
            self._engine.send_aux_request(
                targets=[FQCN.ROOT_SERVER],
                topic=ReservedTopic.JOB_HEART_BEAT,
                request=Shareable(),
                timeout=0.0,  # no answer is waited for
                fl_ctx=fl_ctx,
                optional=True,
            )
