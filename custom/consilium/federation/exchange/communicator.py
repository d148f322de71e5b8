"""Communicator of a controller: FLARE's distribution of tasks, without rules of its own."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

from nvflare.apis.fl_context import FLContext
from nvflare.apis.impl.wf_comm_server import WFCommServer
from nvflare.apis.shareable import ReturnCode, Shareable, make_reply
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.errors import RefusalCode
from consilium.federation.exchange.answer_form import RejectedAnswer, read_answer, read_refusal
from consilium.federation.message_names import CODE_HEADER, LEFT_OUT_HEADER, REASON_HEADER
from consilium.federation.transport.message_checks import is_from_participant

_SILENT_AGAIN_SECONDS: Final = 30.0
"""For a site that a question was closed without, and that sent nothing since: three heartbeats."""

_PAUSE_SECONDS: Final = 5.0
"""Between two looks at the sites, of which there are ten a second; after more, this process did not run."""

_MOST_PAUSES: Final = 1000


class TaskCommunicator(WFCommServer):  # type: ignore[misc]
    """FLARE's distribution of tasks, for a controller with its own quorum.

    FLARE's own ends the job when fewer than its fewest sites are connected for a minute.
    """

    def __init__(self) -> None:
        super().__init__()
        self._heard: dict[str, float] = {}
        self._lost: set[str] = set()
        self._seen_running = 0.0
        self._pauses: deque[tuple[float, float]] = deque(maxlen=_MOST_PAUSES)

    def client_is_active(self, client_name: str, reason: str, fl_ctx: FLContext) -> None:
        """Record that a site is active: it sent a request, an answer, or a heartbeat (every ten seconds).

        Messages of a session whose requests are rejected don't count.
        """
        if not is_from_participant():
            return
        self._heard[client_name] = time.monotonic()
        self._lost.discard(client_name)
        super().client_is_active(client_name, reason, fl_ctx)

    def absence(self, site: str, since: float, silence_seconds: float) -> str | None:
        """Return why a site can't be waited for; None if it can.

        A site that was lost before, and sent nothing since, is waited for only briefly: it would otherwise
        delay every question for as long.

        Args:
            site: Its name.
            since: When it was asked, on the monotonic clock.
            silence_seconds: Without a message for so long, it is taken for lost.
        """
        if self.get_client_disconnect_time(site) is not None:
            return "its process or its connection was lost"
        if site in self._lost:
            silence_seconds = min(silence_seconds, _SILENT_AGAIN_SECONDS)
        last = max(self._heard.get(site, since), since)
        unheard = sum(min(seconds, end - last) for end, seconds in self._pauses if end > last)
        if time.monotonic() - last - unheard > silence_seconds:
            return f"it sent nothing for {silence_seconds / 60:g} min"
        return None

    def begin_waiting(self) -> None:
        """Note that sites are waited for from now on, with a call of `note_running` every moment."""
        self._seen_running = time.monotonic()

    def note_running(self) -> float:
        """Note that this process runs, and return for how many seconds it did not since the last call.

        While it was stopped, or had no processor, it heard nobody, and what the sites sent is still to be
        read: such a pause is no silence of theirs, and counts towards no deadline.
        """
        now = time.monotonic()
        pause = now - self._seen_running - _PAUSE_SECONDS
        if pause > 0:
            self._pauses.append((now, pause))
        self._seen_running = now
        return max(0.0, pause)

    def note_lost(self, site: str) -> None:
        """Record that a question was closed without a site, as `absence` said."""
        self._lost.add(site)

    def _job_policy_violated(self) -> bool:
        return False


class RejectedShareable(Shareable):  # type: ignore[misc]
    """Placeholder for an answer that the server rejects; no site can send one."""


def check_answer(result: object, site: str) -> Shareable:
    """Return an answer in the required form, or a placeholder for a decline or a rejection."""
    try:
        refusal = read_refusal(result)
        if refusal is None:
            return FLModelUtils.to_shareable(read_answer(result, site))
    except RejectedAnswer as error:
        return _rejected(str(error), error.code)
    except Exception as error:  # noqa: BLE001 - the FLARE boundary: a site sends what it likes
        return _rejected(f"its answer can't be read ({type(error).__name__})", RefusalCode.ANSWER)
    return_code, absence = refusal
    headers = {
        REASON_HEADER: absence.reason,
        CODE_HEADER: absence.code.value,
        LEFT_OUT_HEADER: dict(absence.left_out),
    }
    return make_reply(return_code, headers)


def _rejected(reason: str, code: RefusalCode) -> Shareable:
    rejected = RejectedShareable()
    rejected.set_return_code(ReturnCode.BAD_REQUEST_DATA)
    rejected.set_header(REASON_HEADER, reason)
    rejected.set_header(CODE_HEADER, code.value)
    return rejected
