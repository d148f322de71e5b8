"""The component by which a hospital's processes protect themselves."""

from __future__ import annotations

import sys

from nvflare.apis.fl_component import FLComponent
from nvflare.private.fed.client.admin import FedAdminAgent
from nvflare.private.fed.client.scheduler_cmds import StartJobProcessor
from nvflare.private.fed.client.training_cmds import DeployProcessor

from consilium.federation.replacement import replace, require_all_known
from consilium.guard.deployment import process_deployment, process_start
from consilium.guard.guarded_cell import guard_messages
from consilium.guard.loopback import guard_connections
from consilium.guard.site_commands import GuardedAdminAgent
from consilium.guard.workspace_lock import WorkspaceLock


class SiteGuard(FLComponent):  # type: ignore[misc]
    """Accept messages, commands, connections and jobs by the guard's rules only.

    The counterpart of `ServerGuard`, and one of the first components of a hospital's `resources.json`: FLARE
    builds it in the site's lasting process and in that of each job, before either connects to anything.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0, or the kit runs already; the
            process doesn't start then.
    """

    def __init__(self) -> None:
        super().__init__()
        require_all_known()
        WorkspaceLock.hold()
        guard_connections()
        guard_messages()
        replace(DeployProcessor, "process", process_deployment)
        replace(StartJobProcessor, "process", process_start)
        # FLARE starts the lasting process as a script, so it is the main module that uses the agent. A job's
        # process has no such agent, and a guarded cell takes commands from no other agent than this one.
        main = sys.modules["__main__"]
        if hasattr(main, FedAdminAgent.__name__):
            replace(main, FedAdminAgent.__name__, GuardedAdminAgent)
