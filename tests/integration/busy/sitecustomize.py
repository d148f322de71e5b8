"""Python reads this at its start where it is on the path: a simulated site prepares until it was heard of.

The server's process writes into the folder `CONSILIUM_BUSY`, one row a message, which site it heard of and
why. A site's process holds its preparation until two of the rows that were added meanwhile are heartbeats
of its own, and writes a file there, empty but for a reason if it gave up.
"""

import json
import os
import sys
import time
from functools import wraps
from pathlib import Path
from typing import Any

HEARTBEATS = 2
PATIENCE_SECONDS = 120


def _write_down_what_is_heard(rows: Path) -> None:
    from consilium.federation.exchange.communicator import TaskCommunicator

    hear = TaskCommunicator.client_is_active

    @wraps(hear)
    def watched(self: Any, client_name: str, reason: str, fl_ctx: Any) -> None:
        hear(self, client_name, reason, fl_ctx)
        with rows.open("a") as file:
            file.write(json.dumps([client_name, reason]) + "\n")

    TaskCommunicator.client_is_active = watched  # type: ignore[method-assign]


def _heartbeats(rows: Path, site: str) -> int:
    return rows.read_text().count(json.dumps([site, "jobHeartbeat"]) + "\n") if rows.exists() else 0


def _prepare_slowly(rows: Path) -> None:
    from consilium.federation.message_names import PREPARE
    from consilium.federation.site.executor import SiteExecutor

    execute = SiteExecutor.execute

    @wraps(execute)
    def slow(self: Any, task_name: str, shareable: Any, fl_ctx: Any, abort_signal: Any) -> Any:
        if task_name == PREPARE:
            site = fl_ctx.get_identity_name()
            wanted, end = _heartbeats(rows, site) + HEARTBEATS, time.monotonic() + PATIENCE_SECONDS
            while (heard := _heartbeats(rows, site)) < wanted and time.monotonic() < end:
                time.sleep(0.1)
            reason = "" if heard >= wanted else f"{heard} of {wanted} heartbeats"
            (rows.parent / f"{site}.prepared").write_text(reason)
        return execute(self, task_name, shareable, fl_ctx, abort_signal)

    SiteExecutor.execute = slow  # type: ignore[method-assign]


if "CONSILIUM_BUSY" in os.environ:
    heard = Path(os.environ["CONSILIUM_BUSY"]) / "heard.jsonl"
    if any("simulator_worker" in word for word in sys.orig_argv):
        _prepare_slowly(heard)
    elif "consilium.simulation.environment" in sys.orig_argv:
        _write_down_what_is_heard(heard)
