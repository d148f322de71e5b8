"""A component that lets a server start as slowly as a test needs it."""

from pathlib import Path

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_context import FLContext

from waiting import wait_until


class Hesitation(FLComponent):
    """Hold up the start of the server, whose port is open by then, until a file lies there.

    Args:
        until: The file.
    """

    def __init__(self, until: str) -> None:
        super().__init__()
        self._until = Path(until)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Wait, when the server's other components have started."""
        if event_type == EventType.SYSTEM_START:
            self.log_info(fl_ctx, "the server hesitates", fire_event=False)
            wait_until(self._until.exists, "the server may continue")
