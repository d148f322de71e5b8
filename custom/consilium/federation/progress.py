"""The server's record of where a job stands, one small file that anybody beside the job may read."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from nvflare.apis.dxo import from_shareable
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType
from nvflare.app_common.widgets.streaming import AnalyticsReceiver

from consilium.data.files import write_atomically
from consilium.federation.tasks import SITE_STATE_EVENT
from consilium.report.progress import PROGRESS_FILE


class ProgressReceiver(AnalyticsReceiver):  # type: ignore[misc]
    """Gathers what the sites say they are doing, and the round, into `progress.json` in the run folder."""

    def __init__(self) -> None:
        super().__init__(events=[f"fed.{SITE_STATE_EVENT}"])
        self._path: Path | None = None
        self._state: dict[str, Any] = {"round": 0, "rounds": 0, "started": time.time(), "sites": {}}

    def initialize(self, fl_ctx: FLContext) -> None:
        """Find the run folder."""
        self._path = (
            Path(fl_ctx.get_engine().get_workspace().get_run_dir(fl_ctx.get_job_id())) / PROGRESS_FILE
        )
        self._write()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Take note of rounds; the base class takes the sites' events."""
        super().handle_event(event_type, fl_ctx)
        if event_type == AppEventType.ROUND_STARTED:
            if self._state["round"] == 0:
                self._state["started"] = time.time()
            self._state["round"] = fl_ctx.get_prop(AppConstants.CURRENT_ROUND) + 1
            self._state["rounds"] = fl_ctx.get_prop(AppConstants.NUM_ROUNDS)
            self._write()
        elif event_type == EventType.END_RUN:
            self._write()

    def save(self, fl_ctx: FLContext, shareable: Shareable, record_origin: str) -> None:
        """Take one site's state."""
        data = from_shareable(shareable).data
        self._state["sites"][record_origin] = {
            "state": str(data.get("state", ""))[:80],
            "done": int(data.get("done", 0)),
            "total": int(data.get("total", 0)),
            "loss": data.get("loss"),
            "since": time.time(),
        }
        self._write()

    def finalize(self, fl_ctx: FLContext) -> None:
        """Write the last state."""
        self._write()

    def _write(self) -> None:
        if self._path is not None:
            write_atomically(self._path, json.dumps(self._state).encode(), durable=False)
