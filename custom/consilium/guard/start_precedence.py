"""Precedence of two starts of a site's kit: the first works, the second waits.

FLARE lets each connection of a name evict the one before it, and each registration the session before it. Two
processes of one kit so take the site from each other every few seconds, and no job gets on.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock, Timer
from typing import Any, Final
from urllib.parse import unquote

import psutil
from nvflare.fuel.f3.cellnet.fqcn import FQCN
from nvflare.fuel.f3.cellnet.identity import get_param
from nvflare.fuel.f3.drivers.connector_info import Mode
from nvflare.fuel.f3.drivers.driver_params import DriverParams
from nvflare.fuel.f3.sfm.constants import HandshakeKeys, Types
from pydantic import ValidationError

from consilium.errors import RefusalCode
from consilium.federation.server.second_starts import second_starts
from consilium.guard.audit_log import record_rejected_connection
from consilium.records.job_status import ADDRESS, SecondStart, describe_second_start
from consilium.records.site_connection import save_second_start

START: Final = "consilium_start"
"""Key of a site's handshake with the server: its `Start`."""

WAIT: Final = "consilium_wait"
"""Key of the server's answer to a second start, and header of its answer to the first one's heartbeats: a
`SecondStart`."""

LONGEST_SILENCE_SECONDS: Final = 35.0
"""A site sends a heartbeat every ten seconds. After so long without, another start takes its place."""

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_LONGEST_PLACE = 64
_SECONDS_BETWEEN_NOTICES = 60.0
_SECONDS_TO_READ = 5.0
"""How long a connection stays open after its other end was asked to wait."""

_MOST_WAITING: Final = 4
"""Concurrent connections of one site that are asked to wait; each takes a thread. An honest site has one."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """A start of a site's parent process.

    Attributes:
        place: Stands for the folder on its machine since that was booted, and says nothing else of them.
        began: When the process began, by its machine's clock; Unix time in seconds.
        process: Its id there.
    """

    place: str
    began: float
    process: int

    @classmethod
    def own(cls, workspace: Path) -> Start:
        """Return this process's."""
        boot = ""
        with suppress(OSError):
            boot = _BOOT.read_text().strip()
        found = workspace.stat()
        words = "\0".join((boot, socket.gethostname(), str(found.st_dev), str(found.st_ino)))
        place = hashlib.sha256(words.encode()).hexdigest()[:16]
        return cls(place, psutil.Process().create_time(), os.getpid())

    @classmethod
    def parse(cls, said: Any) -> Start | None:
        """Return a start from a site's message; None if invalid."""
        if not isinstance(said, Mapping):
            return None
        place, began, process = (said.get(key) for key in ("place", "began", "process"))
        if not isinstance(place, str) or len(place) > _LONGEST_PLACE or type(process) is not int:
            return None
        return cls(place, began, process) if isinstance(began, float) else None

    def as_dict(self) -> dict[str, Any]:
        """Return it for a handshake."""
        return asdict(self)

    def must_wait_for(self, first: Start, silent_seconds: float) -> bool:
        """Return whether it must wait for the end of another start of the same site.

        A process that follows another one in its folder needn't: the workspace's lock shows that that one has
        ended. Where locks don't hold, the later of the two stays.

        Args:
            first: The start that the server is connected to.
            silent_seconds: Since when nothing came from it.
        """
        if self.place == first.place:
            return self.began < first.began
        return silent_seconds < LONGEST_SILENCE_SECONDS


class Notices:
    """Writes at a site that it was started twice, once a minute at most: into its log and its workspace.

    Attributes:
        workspace: The site's; None writes into the log only.
    """

    def __init__(self) -> None:
        self._last = -_SECONDS_BETWEEN_NOTICES
        self.workspace: Path | None = None

    def write(self, site: str, said: Any) -> None:
        """Log the server's message about the two starts.

        Args:
            site: The site's name.
            said: From the server; anything else is passed over.
        """
        now = time.monotonic()
        if now - self._last < _SECONDS_BETWEEN_NOTICES:
            return
        try:
            one = SecondStart.model_validate(said)
        except ValidationError:
            return
        self._last = now
        _log.warning("%s; this is process %d", describe_second_start(site, one), os.getpid())
        if self.workspace is not None:
            with suppress(OSError):  # the log has it
                save_second_start(self.workspace, one)


notices: Final = Notices()


def must_wait(connection: Any, name: str, said: Mapping[str, Any], present: Sequence[Any]) -> bool:
    """Return whether the site at one end of a new connection was started elsewhere as well.

    The server then informs the site, which closes the connection; FLARE reconnects after a pause.

    Args:
        connection: A `ProvenConnection` with a certificate.
        name: Which the other end gives itself.
        said: Its handshake.
        present: The connections that there are with that name.
    """
    if connection.conn.connector.mode == Mode.ACTIVE:
        if WAIT not in said or name != FQCN.ROOT_SERVER:
            return False
        notices.write(connection.local_endpoint.name, said[WAIT])
        connection.conn.close()
        return True
    start = Start.parse(said.get(START))
    if start is None or get_param(connection.conn.get_conn_properties(), DriverParams.PEER_CN) != name:
        return False  # FLARE rejects a name that differs from the certificate's
    connection.other_start = start
    for first in present:
        earlier = first.other_start
        if earlier is not None and start.must_wait_for(earlier, time.time() - first.last_activity):
            waiting.add(connection, name, first)
            return True
    return False


class Waiting:
    """Second starts that the server asks to wait: few of a site at a time, recorded once a minute.

    A site may claim anything about itself, at any rate.
    """

    def __init__(self) -> None:
        self._waiting: Counter[str] = Counter()
        self._recorded: dict[str, float] = {}
        self._lock = Lock()

    def add(self, second: Any, site: str, first: Any) -> None:
        """Ask a second start to wait, or close its connection at once.

        Args:
            second: Its connection.
            site: Whose it is, by the certificate.
            first: The connection of the first.
        """
        places = [
            _describe(one.other_start, get_param(one.conn.get_conn_properties(), DriverParams.PEER_ADDR))
            for one in (first, second)
        ]
        known = second_starts.note(site, *places)
        now = time.monotonic()
        with self._lock:
            is_due = now - self._recorded.get(site, -_SECONDS_BETWEEN_NOTICES) >= _SECONDS_BETWEEN_NOTICES
            has_room = self._waiting[site] < _MOST_WAITING
            self._recorded[site] = now if is_due else self._recorded[site]
            self._waiting[site] += has_room
        if is_due:
            record_rejected_connection(site, describe_second_start(site, known), RefusalCode.SECOND_START)
        if not has_room:
            second.conn.close()
            return
        closing = Timer(_SECONDS_TO_READ, self._close, (second, site))
        closing.daemon = True
        closing.start()
        answer = {
            HandshakeKeys.ENDPOINT_NAME: second.local_endpoint.name,
            WAIT: known.model_dump(mode="json"),
        }
        second.send_dict(Types.READY, 1, answer)

    def _close(self, second: Any, site: str) -> None:
        with self._lock:
            self._waiting[site] -= 1
        second.conn.close()


waiting: Final = Waiting()
"""Of the server's process."""


def _describe(start: Start, address: Any) -> str:
    """Return where a process is, for people.

    Args:
        start: The process.
        address: As FLARE's drivers give it, such as `ipv4:10.0.0.5:41230`.
    """
    text = unquote(str(address))[:_LONGEST_PLACE]
    host = text.partition(":")[2] if text.startswith(("ipv4:", "ipv6:")) else text
    return f"process {start.process}{ADDRESS}{host.rpartition(':')[0] or host or 'an unknown address'}"
