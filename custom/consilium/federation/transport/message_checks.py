"""Checks of the form and sender of messages to a job's process at the server.

FLARE's server verifies that a message's sender is the site that its headers name. The content names a sender
as well, which FLARE believes, so a site could report for another one. The content may be any FLARE event,
which the server then fires as its own, the end of the job among them; and some return codes of an answer end
the job for all sites.
"""

from __future__ import annotations

import logging
import time
from contextvars import ContextVar
from threading import Lock
from typing import Any, Final

from nvflare.apis.fl_constant import FedEventHeader, FLContextKey, ReservedKey, ReturnCode, ServerCommandNames
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import ReservedHeaderKey, Shareable
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey
from nvflare.fuel.f3.cellnet.defs import ReturnCode as CellReturnCode
from nvflare.fuel.f3.cellnet.utils import make_reply
from nvflare.fuel.f3.message import Message
from nvflare.private.defs import CellMessageHeaderKeys
from nvflare.private.fed.server.server_command_agent import ServerCommandAgent
from nvflare.private.fed.server.server_commands import ServerCommands
from nvflare.private.fed.server.server_runner import ServerRunner
from nvflare.widgets.fed_event import FED_EVENT_TOPIC

from consilium.federation.message_names import REASON_HEADER, SITE_STATE_EVENT
from consilium.federation.replacement import replace
from consilium.records.texts import clean_text

BROKEN_ANSWER: Final = "consilium_broken_answer"
"""Event: a site's answer is not a message of FLARE's; data: `site`, `reason`."""

EVENTS: Final = frozenset({f"fed.{SITE_STATE_EVENT}"})
"""The events that a site may fire at the server."""

_LONGEST_ID = 80
_NO_CODE = "NO_RETURN_CODE"
"""Replaces a return code that is not a string: none of FLARE's, so the controller rejects the answer."""

_EVENTS_A_SECOND, _EVENTS_AT_ONCE = 10.0, 100.0
"""Progress messages of one site; an honest one sends one a second, and one for each new state."""

_log = logging.getLogger(__name__)

_execute_of_flare = ServerCommandAgent._execute_command
_communicate_of_flare = ServerCommandAgent._aux_communicate


_is_from_participant: ContextVar[bool] = ContextVar("consilium_is_of_participant", default=True)


def is_from_participant() -> bool:
    """Return whether the message that this thread handles is from a session that takes part in the job.

    FLARE rejects task requests and answers of other sessions of a site but accepts their heartbeats and
    progress, so a process that gets nothing would look alive forever.
    """
    return _is_from_participant.get()


def install_message_checks() -> None:
    """Check the sites' messages before FLARE acts on them.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    replace(ServerCommandAgent, "_execute_command", _execute_checked)
    replace(ServerCommandAgent, "_aux_communicate", _communicate_checked)


class EventRateLimit:
    """Token bucket for the events of each site.

    Args:
        per_second: Events a second.
        at_once: Largest burst.
    """

    def __init__(self, per_second: float, at_once: float) -> None:
        self._per_second = per_second
        self._at_once = at_once
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = Lock()

    def take(self, site: str) -> bool:
        """Count an event of a site; return whether it may be fired."""
        now = time.monotonic()
        with self._lock:
            left, before = self._left.get(site, (self._at_once, now))
            left = min(self._at_once, left + (now - before) * self._per_second)
            self._left[site] = (max(left - 1, 0.0), now)
        return left >= 1


_allowance = EventRateLimit(_EVENTS_A_SECOND, _EVENTS_AT_ONCE)


def submission_fault(payload: Any, sender: str) -> str | None:
    """Return why a task request or an answer is not its sender's message; None if it is."""
    fault = _form_fault(payload)
    if fault is not None:
        return fault
    context = payload.get_peer_context()
    if not sender or not isinstance(context, FLContext) or context.get_identity_name(default="") != sender:
        return "it names another site than its sender"
    return None


def answer_fault(payload: Any, sender: str) -> str | None:
    """Return why an answer can't be passed to FLARE; None if it can."""
    fault = submission_fault(payload, sender)
    if fault is not None:
        return fault
    task, task_id = payload.get_header(FLContextKey.TASK_NAME), payload.get_cookie(FLContextKey.TASK_ID)
    if not (_is_id(task) and _is_id(task_id)):
        return "it names no task"
    return None


def aux_fault(topic: Any, payload: Any, sender: str, allowance: EventRateLimit = _allowance) -> str | None:
    """Return why another message, such as progress, is rejected; None if it is accepted.

    Args:
        topic: Its topic.
        payload: Its content.
        sender: The site that sent it, as FLARE has verified.
        allowance: The limit of events.
    """
    fault = _form_fault(payload)
    if fault is not None:
        return fault
    properties = payload.get_peer_props()
    if not sender or not isinstance(properties, dict) or properties.get(ReservedKey.IDENTITY_NAME) != sender:
        return "it names another site than its sender"
    if not isinstance(topic, str) or topic != FED_EVENT_TOPIC:
        return None
    event, event_id = (
        payload.get_header(key) for key in (FedEventHeader.EVENT_TYPE, FedEventHeader.EVENT_ID)
    )
    if not isinstance(event, str) or event not in EVENTS or not _is_id(event_id):
        return "it is an event that no site may fire"
    return None if allowance.take(sender) else "the site sends too many"


def limit_return_code(answer: Shareable) -> None:
    """Replace a return code that would end the job by one for a failure of this site.

    The other texts of an answer that FLARE logs are cleaned here as well.
    """
    code = answer.get_return_code()
    if not isinstance(code, str):
        answer.set_return_code(_NO_CODE)
    elif code in ServerRunner.ABORT_RETURN_CODES:
        answer.set_return_code(ReturnCode.EXECUTION_EXCEPTION)
        if not isinstance(answer.get_header(REASON_HEADER), str):
            answer.set_header(REASON_HEADER, f"the job can't run there ({code})")
    audited = answer.get_header(ReservedHeaderKey.AUDIT_EVENT_ID, "")
    answer.set_header(
        ReservedHeaderKey.AUDIT_EVENT_ID, clean_text(audited, _LONGEST_ID) if isinstance(audited, str) else ""
    )


def _execute_checked(agent: ServerCommandAgent, request: Message) -> Any:
    """Handle a command; called by FLARE in place of its `_execute_command`."""
    command, sender = request.get_header(MessageHeaderKey.TOPIC), _sender(request)
    if command in ServerCommands.client_request_commands_names:
        is_answer = command == ServerCommandNames.SUBMIT_UPDATE
        fault = (answer_fault if is_answer else submission_fault)(request.payload, sender)
        if fault is not None:
            if is_answer:
                _announce_broken(agent.engine, sender, f"its answer can't be read: {fault}")
            return _reject(sender, command, fault)
        if is_answer:
            limit_return_code(request.payload)
    return _execute_of_flare(agent, request)


def _communicate_checked(agent: ServerCommandAgent, request: Message) -> Any:
    """Handle another message; called by FLARE in place of its `_aux_communicate`."""
    topic, sender = request.get_header(MessageHeaderKey.TOPIC), _sender(request)
    fault = aux_fault(topic, request.payload, sender)
    if fault is not None:
        return _reject(sender, topic, fault)
    token = request.get_header(CellMessageHeaderKeys.TOKEN)
    is_known = isinstance(token, str) and agent._get_client(token) is not None
    before = _is_from_participant.set(is_known)
    try:
        return _communicate_of_flare(agent, request)
    finally:
        _is_from_participant.reset(before)


def _reject(sender: str, topic: Any, fault: str) -> Message:
    _log.warning(f"a message of {clean_text(sender, 80)} ({clean_text(topic, 80)}) is rejected: {fault}")
    return make_reply(CellReturnCode.INVALID_REQUEST, fault)


def _announce_broken(engine: Any, site: str, reason: str) -> None:
    with engine.new_context() as fl_ctx:
        data = {"site": site, "reason": reason}
        fl_ctx.set_prop(FLContextKey.EVENT_DATA, data, private=True, sticky=False)
        engine.fire_event(BROKEN_ANSWER, fl_ctx)


def _sender(request: Message) -> str:
    """Return the site that a message is from: the server has verified its signature over this name."""
    name = request.get_header(CellMessageHeaderKeys.CLIENT_NAME)
    return name if isinstance(name, str) else ""


def _form_fault(payload: Any) -> str | None:
    if not isinstance(payload, Shareable):
        return "it is no message of FLARE's"
    headers = payload.get(ReservedHeaderKey.HEADERS)
    if not isinstance(headers, dict):
        return "it has no headers"
    if not isinstance(headers.get(ReservedHeaderKey.COOKIE_JAR), dict | None):
        return "its cookies are none"
    return None


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_ID and value.isprintable()
