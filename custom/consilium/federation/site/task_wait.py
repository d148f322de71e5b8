"""A site's wait for its next task, which the job's server can end.

FLARE's clients request a task and then sleep for the job's `task_request_seconds`: with 15 s, as in GPU jobs,
every round begins up to 15 s late. Here the server sends a message as soon as it has a task, and the site
requests it at once. The message has no content and only shortens a wait; if it is lost, the site requests
its task when the wait is over.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from threading import Event
from typing import Any, Final

from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import ReturnCode, Shareable, make_reply
from nvflare.private.fed.client.client_runner import ClientRunner

from consilium.federation.message_names import TASK_READY_TOPIC
from consilium.federation.replacement import replace, require_known

LEAST_SECONDS: Final = 0.5
"""Between two requests that follow each other without a task, however often the server wakes the site."""

_SECONDS_TO_STOP: Final = 0.5
"""How long after the end of the job a wait may last."""


class TaskWait:
    """Waits between a site's requests for tasks.

    Args:
        clock: Seconds, of a clock that never goes back.
        ready: Set when the server has a task.
        pause: Sleeps for some seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        ready: Event | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._ready = ready or Event()
        self._pause = pause
        self._requested = -math.inf

    def begin_request(self) -> None:
        """Note that the site requests a task now: what was ready before is in the answer."""
        self._ready.clear()
        self._requested = self._clock()

    def wake(self) -> None:
        """End the present wait, or the next one if the site is busy."""
        self._ready.set()

    def wait(self, seconds: float, stopped: Callable[[], bool]) -> None:
        """Wait for a task.

        Args:
            seconds: The longest wait.
            stopped: Whether the job has ended; looked at twice a second.
        """
        latest = self._clock() + seconds
        earliest = min(latest, self._requested + LEAST_SECONDS)
        while not stopped():
            woken = self._ready.is_set()
            left = (earliest if woken else latest) - self._clock()
            if left <= 0:
                return
            wait = self._pause if woken else self._ready.wait
            wait(min(left, _SECONDS_TO_STOP))


_task_wait: Final = TaskWait()
"""Of this process, which works for one job."""

_fetch_and_run: Final[Callable[[Any, FLContext], tuple[float, bool]]] = ClientRunner.fetch_and_run_one_task


def wait_for_wake_ups(engine: Any) -> None:
    """Have the server end this process's waits for tasks.

    Args:
        engine: FLARE's, of a job's process at a site, before it requests its first task.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    require_known(ClientRunner)
    replace(ClientRunner, "fetch_and_run_one_task", _fetch_run_and_wait)
    engine.register_aux_message_handler(topic=TASK_READY_TOPIC, message_handle_func=_hear)


def _fetch_run_and_wait(runner: ClientRunner, fl_ctx: FLContext) -> tuple[float, bool]:
    """Request and carry out a task, then wait.

    Returns:
        How long FLARE is still to wait, which is not at all, and whether there was a task.
    """
    _task_wait.begin_request()
    seconds, processed = _fetch_and_run(runner, fl_ctx)
    _task_wait.wait(seconds, lambda: bool(runner.run_abort_signal.triggered))
    return 0.0, processed


def _hear(topic: str, request: Shareable, fl_ctx: FLContext) -> Shareable:
    """Take the server's message; what is in it is not read."""
    _task_wait.wake()
    return make_reply(ReturnCode.OK)
