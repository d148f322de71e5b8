"""Guard of a hospital's processes, a FLARE component."""

from __future__ import annotations

import sys
from pathlib import Path

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_context import FLContext
from nvflare.fuel.f3.cellnet.defs import CellChannel, CellChannelTopic
from nvflare.fuel.f3.message import Message
from nvflare.private.fed.client.admin import FedAdminAgent
from nvflare.private.fed.client.scheduler_cmds import StartJobProcessor
from nvflare.private.fed.client.training_cmds import DeployProcessor

from consilium.federation.replacement import replace, require_all_known
from consilium.guard.deployment_check import process_deployment, process_start
from consilium.guard.guarded_cell import guard_messages
from consilium.guard.loopback import ProvenConnection, guard_connections
from consilium.guard.site_commands import GuardedAdminAgent
from consilium.guard.start_precedence import WAIT, Start, notices
from consilium.guard.workspace_lock import WorkspaceLock


class SiteGuard(FLComponent):  # type: ignore[misc]
    """Accept messages, commands, connections and jobs by the guard's rules only.

    The counterpart of `ServerGuard`, and one of the first components of a hospital's `resources.json`: FLARE
    builds it in the site's parent process and in that of each job, before either connects to anything.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0, or the kit runs already; the
            process doesn't start then.
    """

    def __init__(self) -> None:
        super().__init__()
        require_all_known()
        WorkspaceLock.hold()
        self._site = ""
        guard_connections()
        guard_messages()
        replace(DeployProcessor, "process", process_deployment)
        replace(StartJobProcessor, "process", process_start)
        # FLARE starts the parent process as a script, so it is the main module that uses the agent. A job's
        # process has no such agent, and a guarded cell takes commands from no other agent than this one.
        main = sys.modules["__main__"]
        if hasattr(main, FedAdminAgent.__name__):
            replace(main, FedAdminAgent.__name__, GuardedAdminAgent)
            ProvenConnection.own_start = Start.own(Path.cwd())
            notices.workspace = Path.cwd()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Listen, from the site's start on, whether the server knows of a second start of its kit."""
        if event_type == EventType.SYSTEM_START:
            engine = fl_ctx.get_engine()
            self._site = str(fl_ctx.get_identity_name())
            engine.client.cell.core_cell.add_incoming_reply_filter(
                channel=CellChannel.SERVER_MAIN, topic=CellChannelTopic.HEART_BEAT, cb=self._listen
            )

    def _listen(self, reply: Message) -> None:
        """Pass on to the site's log what the server answers to a heartbeat; the answer stays as it is."""
        said = reply.get_header(WAIT)
        if said is not None:
            notices.write(self._site, said)
