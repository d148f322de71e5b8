"""The hospital's own look at what a server asks of it."""

from __future__ import annotations

from nvflare.apis.fl_component import FLComponent
from nvflare.private.fed.client.scheduler_cmds import StartJobProcessor
from nvflare.private.fed.client.training_cmds import DeployProcessor

from consilium.federation.replacement import replace
from consilium.guard import deployment


class SiteGuard(FLComponent):  # type: ignore[misc]
    """Look at every job before FLARE removes or unpacks anything for it, and again before it starts.

    The counterpart of `ServerGuard`, a component of a hospital's `resources.json`: FLARE builds it before the
    site connects, and has no setting for what it replaces.

    Raises:
        ConfigurationError: If FLARE's own is not that of 2.9; the site doesn't start then.
    """

    def __init__(self) -> None:
        super().__init__()
        replace(DeployProcessor, "process", deployment.FLARES_PROCESS, deployment.process_deployment)
        replace(StartJobProcessor, "process", deployment.FLARES_START, deployment.process_start)
