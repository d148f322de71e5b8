"""One end of an upload: a site that offers arrays, or the process of a job at the server, which takes them.

FLARE's own cells and messages, without the rest of a federation.

    python upload_cell.py server URL           prints `took SUM` for each update, until it is ended
    python upload_cell.py site URL NAME        sends an update, prints the answer's return code
    python upload_cell.py dying-site URL NAME  is gone when the second piece of its update is asked for
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

import numpy as np
from nvflare.apis.fl_constant import ServerCommandNames
from nvflare.app_common.decomposers import numpy_decomposers
from nvflare.fuel.f3.cellnet.cell import Cell
from nvflare.fuel.f3.cellnet.defs import CellChannel, MessageHeaderKey, ReturnCode
from nvflare.fuel.f3.cellnet.utils import make_reply, new_cell_message
from nvflare.fuel.f3.message import Message
from nvflare.private.fed.utils.fed_utils import fobs_initialize

from consilium.federation.transport.array_pieces import ArrayPieces
from consilium.federation.transport.set_up import set_up_peer, set_up_server

JOB_CELL = "server.job"
UPDATE = {"w": np.arange(3_000_000, dtype=np.float32)}
_ROUTE: dict[str, Any] = {"channel": CellChannel.SERVER_COMMAND, "topic": ServerCommandNames.SUBMIT_UPDATE}


class Dying(ArrayPieces):
    """Arrays of a site whose process is killed while it sends them."""

    def produce(self, state: Any, requester: str) -> tuple[str, Any, dict[str, int]]:
        """Send the first piece, and be gone."""
        if state:
            os._exit(9)
        return super().produce(state, requester)


def cell(name: str, url: str, **options: Any) -> Cell:
    """Return a running cell without certificates that has its connection.

    Raises:
        TimeoutError: If it has none after a minute.
    """
    made = Cell(fqcn=name, root_url=url, secure=False, credentials={}, **options)
    made.start()
    end = time.monotonic() + 60
    while not made.core_cell.is_backbone_ready():
        if time.monotonic() > end:
            raise TimeoutError(f"{name} is not connected")
        time.sleep(0.05)
    return made


def serve(url: str) -> None:
    """Take updates until this process is ended."""
    root = cell("server", url, create_internal_listener=True)
    job = cell(JOB_CELL, url, create_internal_listener=False, parent_url=root.get_internal_listener_url())

    def take(message: Message) -> Message:
        _say("took", float(message.payload["w"].sum(dtype=float)))
        return make_reply(ReturnCode.OK)

    job.register_request_cb(**_ROUTE, cb=take)
    _say("ready")
    threading.Event().wait()


def send(url: str, name: str) -> None:
    """Send an update."""
    message = new_cell_message({}, UPDATE)
    answer = cell(name, url).send_request(target=JOB_CELL, request=message, timeout=60, **_ROUTE)
    _say(answer.get_header(MessageHeaderKey.RETURN_CODE))


def _say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Be one end."""
    role, url, *rest = sys.argv[1:]
    fobs_initialize()
    numpy_decomposers.register()
    if role == "server":
        set_up_server()
        serve(url)
    set_up_peer()
    if role == "dying-site":
        numpy_decomposers.ArrayDownloadable = Dying
    send(url, *rest)
    os._exit(0)  # FLARE's threads would stay


if __name__ == "__main__":
    main()
