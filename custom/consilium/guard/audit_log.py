"""Bounded audit log of rejected messages, commands and connections."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from threading import Lock
from typing import Any, Final

from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey
from nvflare.fuel.f3.streaming.stream_const import StreamHeaderKey
from nvflare.fuel.sec.audit import AuditService

from consilium.errors import RefusalCode

_LONGEST: Final = 400
_LONGEST_NAME: Final = 80
_PAUSE_SECONDS: Final = 600.0
_MOST_KINDS: Final = 2000

_log = logging.getLogger(__name__)


def audit_text(text: str, longest: int = _LONGEST) -> str:
    """Return a text as one line of an audit log, which a name from outside could otherwise break or forge.

    FLARE puts each part of an entry in square brackets: those of the text become round ones.

    Args:
        text: Any text.
        longest: Characters kept at most.
    """
    return text.encode("unicode_escape").decode().replace("[", "(").replace("]", ")")[:longest]


class AuditLog:
    """Writes each kind of rejection at most once in ten minutes, so that no sender can fill the disk.

    Kinds differ in the rejected sender and content. Beyond 2000 kinds in ten minutes, the rest counts as one:
    at most 1 MB of audit log.

    Args:
        pause_seconds: How long a kind of rejection is only counted after it was written.
    """

    def __init__(self, pause_seconds: float = _PAUSE_SECONDS) -> None:
        self._pause = pause_seconds
        self._since: dict[tuple[str, str], float] = {}
        self._more: dict[tuple[str, str], int] = {}
        self._lock = Lock()

    def record(self, who: str, code: RefusalCode, what: str) -> None:
        """Record a rejection.

        Args:
            who: The rejected party, as far as its name can be believed.
            code: The kind of rejection; the entry's action.
            what: What it was, and why it was rejected.
        """
        action = code.value
        key = (audit_text(who, _LONGEST_NAME), f"{action}: {audit_text(what)}")
        now = time.monotonic()
        with self._lock:
            if len(self._since) >= _MOST_KINDS:
                self._since = {kind: at for kind, at in self._since.items() if now - at < self._pause}
                self._more = {kind: count for kind, count in self._more.items() if kind in self._since}
            if len(self._since) >= _MOST_KINDS and key not in self._since:
                key = ("many", f"{action}: rejections of more than {_MOST_KINDS} kinds")
            if now - self._since.get(key, -self._pause) < self._pause:
                self._more[key] = self._more.get(key, 0) + 1
                return
            self._since[key] = now
            more = self._more.pop(key, 0)
        what = key[1].removeprefix(f"{action}: ") + (f" ({more} more since the last entry)" if more else "")
        AuditService.add_event(user=key[0], action=action, msg=what)
        _log.warning("%s of %s: %s", action, *(key[0], what))


_refusals = AuditLog()


def record_rejected_message(neighbor: str | None, headers: Mapping[str, Any], fault: str) -> None:
    """Record a rejected message.

    Args:
        neighbor: Name of the process that delivered it.
        headers: The message's, by FLARE's names.
        fault: Why it was rejected.
    """
    said = {
        name: _brief(headers[key])
        for name, key in (
            ("from", MessageHeaderKey.ORIGIN),
            ("to", MessageHeaderKey.DESTINATION),
            ("channel", MessageHeaderKey.CHANNEL),
            ("topic", MessageHeaderKey.TOPIC),
            ("stream of", StreamHeaderKey.CHANNEL),
            ("with", StreamHeaderKey.TOPIC),
        )
        if headers.get(key) is not None
    }
    what = " ".join(f"{name} {value}" for name, value in said.items())
    _refusals.record(neighbor or "this process", RefusalCode.MESSAGE, f"{what}: {fault}")


def _brief(value: Any) -> str:
    # What is not a text may be too large or too deeply nested to be written out.
    return value[:_LONGEST_NAME] if isinstance(value, str) else f"<{type(value).__name__}>"


def record_rejected_command(
    headers: Mapping[str, Any], command: Any, fault: str, code: RefusalCode = RefusalCode.COMMAND
) -> None:
    """Record a rejected command of the server's to a site.

    Args:
        headers: Of the message that brought it.
        command: FLARE's name of the command.
        fault: Why it was rejected.
        code: The kind of rejection.
    """
    who = str(headers.get(MessageHeaderKey.ORIGIN))
    _refusals.record(who, code, f"{str(command)[:_LONGEST_NAME]}: {fault}")


def record_rejected_connection(peer: str, fault: str, code: RefusalCode = RefusalCode.CONNECTION) -> None:
    """Record a rejected connection.

    Args:
        peer: The name that the process at its other end gave.
        fault: Why it was rejected.
        code: The kind of rejection.
    """
    _refusals.record(peer, code, fault)
