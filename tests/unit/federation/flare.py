"""The smallest FLARE that the parts of a job can live in: contexts, workspace and logs are FLARE's own."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nvflare.apis.client import Client
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext, FLContextManager
from nvflare.apis.workspace import Workspace
from nvflare.fuel.f3.cellnet.defs import CellChannel
from nvflare.fuel.f3.cellnet.registry import Callback, Registry
from nvflare.fuel.f3.streaming.blob_streamer import BlobHandler

JOB_ID = "a-job"
JOB_NAME = "brain_tumor_fedavg"


class Engine:
    """Hands out contexts, knows the workspace, and takes events to the components and to a list.

    Args:
        folder: Becomes the workspace, with `local/` and `startup/`.
        components: Components by id; they see every event.
        clients: Names of the connected sites.
        job_id: Of the job that runs.
        meta: More of the job's meta data than its name.
    """

    def __init__(
        self,
        folder: Path,
        components: dict[str, FLComponent] | None = None,
        clients: Sequence[str] = (),
        job_id: str = JOB_ID,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        for name in ("local", "startup"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.local = folder / "local"
        self.workspace = Workspace(str(folder), site_name="north")
        self.run_folder = Path(self.workspace.get_run_dir(job_id))
        self.run_folder.mkdir(exist_ok=True)
        self.components = components or {}
        self.clients = [Client(name, "token") for name in clients]
        self.fobs_context: dict[str, Any] = {}
        self.receivers = Registry()
        for channel in (CellChannel.SERVER_COMMAND, CellChannel.AUX_COMMUNICATION, CellChannel.RETURN_ONLY):
            receive = BlobHandler(lambda message: None).handle_blob_cb
            self.receivers.set(channel, "*", Callback(receive, (), {}))
        # What stands for the server with its connections: nothing comes over any here.
        receiver = SimpleNamespace(registry=self.receivers)
        cell = SimpleNamespace(update_fobs_context=self.fobs_context.update, byte_receiver=receiver)
        self.server = SimpleNamespace(command_agent=SimpleNamespace(cell=cell))
        self.aux_handlers: dict[str, Callable[..., Any]] = {}
        self.sent: list[tuple[str, Any, Any]] = []
        """Topic, sites and content of each message."""
        self.events: list[tuple[str, Any]] = []
        self.on_event: Callable[[str, Any], None] = lambda event, data: None
        self._manager = FLContextManager(engine=self, identity_name="north", job_id=job_id)
        self.context = self.new_context()
        self.context.set_prop(
            FLContextKey.JOB_META, {"name": JOB_NAME, **(meta or {})}, private=True, sticky=True
        )

    def new_context(self) -> FLContext:
        return self._manager.new_context()

    def get_workspace(self) -> Workspace:
        return self.workspace

    def get_clients(self) -> list[Client]:
        return self.clients

    def sync_clients_from_main_process(self) -> None:
        """Do nothing: the clients are known from the start, as in FLARE's simulator."""

    def register_aux_message_handler(self, topic: str, message_handle_func: Callable[..., Any]) -> None:
        self.aux_handlers[topic] = message_handle_func

    def send_aux_request(
        self, *, targets: Any, topic: str, request: Any, fl_ctx: FLContext, **_: Any
    ) -> dict[str, Any]:
        """Hand a message to the handler of this very process: sender and receiver are one here."""
        self.sent.append((topic, targets, dict(request)))
        handler = self.aux_handlers.get(topic)
        return {"north": handler(topic, request, fl_ctx)} if handler else {}

    def get_component(self, component_id: str) -> FLComponent:
        return self.components[component_id]

    def fire_event(self, event_type: str, fl_ctx: FLContext) -> None:
        data = fl_ctx.get_prop(FLContextKey.EVENT_DATA)
        self.events.append((event_type, data))
        self.on_event(event_type, data)
        for component in self.components.values():
            component.handle_event(event_type, fl_ctx)
