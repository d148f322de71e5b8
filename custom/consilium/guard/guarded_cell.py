"""FLARE's cell, restricted to the messages in the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from nvflare.fuel.f3.cellnet import cell as cell_module
from nvflare.fuel.f3.cellnet.core_cell import CoreCell
from nvflare.fuel.f3.cellnet.defs import CellChannel, MessageHeaderKey, MessageType
from nvflare.fuel.f3.connection import Connection
from nvflare.fuel.f3.endpoint import Endpoint
from nvflare.fuel.f3.message import Message

from consilium.errors import ConfigurationError
from consilium.federation.replacement import replace
from consilium.guard.audit_log import record_rejected_message
from consilium.guard.message_rules import MessageRules, stream_report_fault
from consilium.guard.message_table import accepted_topics
from consilium.guard.site_commands import GuardedAdminAgent

_UNUSED: Final = (MessageHeaderKey.CONN_URL, MessageHeaderKey.PASS_THROUGH, MessageHeaderKey.ROUTE)
"""Headers of no use here. The first has its receiver connect to an address, the second keep what is sent
unread, and of the third FLARE keeps statistics by each name in it, for good."""


class GuardedCell(CoreCell):  # type: ignore[misc]
    """FLARE's cell, which drops messages not allowed from their sender to their receiver, unread.

    FLARE's cell hands a message to its filters, creates a connection to an address that the sender names,
    passes it on to whatever process it is for, and unpacks it; each of them comes after the look that is
    taken here, and an answer is taken only if this process waits for it. A rejected message is not answered:
    its sender runs into its own time limit.

    The arguments are FLARE's.

    Attributes:
        log_streams: Whether hospitals may stream their log files, the same for all cells of a process.
    """

    log_streams: ClassVar[bool] = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rules = MessageRules(self.get_fqcn(), accepted_topics(log_streams=self.log_streams))

    def register_request_cb(
        self, channel: str, topic: str, cb: Callable[..., Any], *args: Any, **options: Any
    ) -> None:
        """Register a handler of requests; called by FLARE's components.

        Raises:
            ConfigurationError: If FLARE's own agent would take the server's commands to a site.
        """
        agent = getattr(cb, "__self__", None)
        if channel == CellChannel.CLIENT_MAIN and not isinstance(agent, GuardedAdminAgent):
            raise ConfigurationError(
                f"{type(agent).__name__} would take the server's commands at this site instead of "
                f"{GuardedAdminAgent.__name__}; start the site with its kit's start.sh, with nvflare 2.9.0"
            )
        super().register_request_cb(channel, topic, cb, *args, **options)

    def process_message(
        self, endpoint: Endpoint | None, connection: Connection, app_id: int, message: Message
    ) -> None:
        """Take a message from the network; called by FLARE for each.

        Args:
            endpoint: The process at the other end of the connection.
            connection: The connection.
            app_id: Of FLARE.
            message: The message, its content still packed.
        """
        neighbor = None if endpoint is None else endpoint.name
        headers = message.headers or {}
        if not isinstance(headers, dict):
            record_rejected_message(neighbor, {}, f"its headers are a {type(headers).__name__}")
            return
        try:
            fault = self._rules.fault(neighbor, headers)
            if fault is None and headers.get(MessageHeaderKey.DESTINATION) == self.get_fqcn():
                fault = stream_report_fault(headers)
        except Exception as error:  # noqa: BLE001 - the FLARE boundary: a sender's headers may be anything
            fault = f"the rules can't be applied to its headers ({type(error).__name__})"
        if fault is not None:
            record_rejected_message(neighbor, headers, fault)
            return
        if self._is_unsolicited_answer(headers):
            return
        for unused in _UNUSED:
            message.remove_header(unused)
        super().process_message(endpoint, connection, app_id, message)

    def _is_unsolicited_answer(self, headers: Mapping[str, Any]) -> bool:
        """Return whether a message is an answer for this process to no request that it waits for.

        An honest one that arrives too late looks the same, so there is no record of it.
        """
        if headers.get(MessageHeaderKey.MSG_TYPE) not in (MessageType.REPLY, MessageType.RETURN):
            return False
        if headers.get(MessageHeaderKey.DESTINATION) != self.get_fqcn():
            return False
        asked = headers.get(MessageHeaderKey.REQ_ID)
        ids = asked if isinstance(asked, list) else [asked]
        return not any(isinstance(one, str) and one in self.waiters for one in ids)


def guard_messages(*, log_streams: bool = False) -> None:
    """Restrict this process's cells to the messages in the table.

    Args:
        log_streams: Whether hospitals may stream their log files to the server.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    GuardedCell.log_streams = log_streams
    replace(cell_module, "CoreCell", GuardedCell)


def messages_are_guarded() -> bool:
    """Return whether this process's cells are restricted to the messages in the table."""
    return cell_module.CoreCell is GuardedCell
