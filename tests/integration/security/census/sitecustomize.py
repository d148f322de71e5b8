"""Python reads this at its start where it is on the path: write down all that FLARE's processes answer to.

Each process of a kit appends to a file of its own in the folder `CONSILIUM_CENSUS`: kind of registration,
name of the cell, channel, topic.
"""

import importlib.abc
import json
import os
import sys
from functools import wraps
from pathlib import Path
from typing import Any

PROGRAMS = ("client_train", "worker_process", "server_train", "runner_process")


def _write(*row: Any) -> None:
    with (Path(os.environ["CONSILIUM_CENSUS"]) / f"{os.getpid()}.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


def _watch(owner: type, method: str, describe: Any) -> None:
    original = getattr(owner, method)

    @wraps(original)
    def watched(self: Any, *args: Any, **options: Any) -> Any:
        for row in describe(self, *args, **options):
            _write(*row)
        return original(self, *args, **options)

    setattr(owner, method, watched)


def _observe() -> None:
    from nvflare.fuel.f3.cellnet.core_cell import CoreCell
    from nvflare.fuel.f3.streaming.byte_receiver import ByteReceiver
    from nvflare.private.aux_runner import AuxRunner
    from nvflare.private.fed.client.client_req_processors import ClientRequestProcessors

    def request(self: Any, channel: str, topic: str, *_: Any, **__: Any) -> list[tuple[str, ...]]:
        return [("request", self.get_fqcn(), channel, topic)]

    def stream(self: Any, channel: str, topic: str, *_: Any, **__: Any) -> list[tuple[str, ...]]:
        return [("stream", self.cell.get_fqcn(), channel, topic)]

    def aux(self: Any, topic: str, *_: Any, **__: Any) -> list[tuple[str, ...]]:
        return [("aux", "", "aux_communication", topic)]

    _watch(CoreCell, "register_request_cb", request)
    _watch(ByteReceiver, "register_callback", stream)
    _watch(AuxRunner, "register_aux_message_handler", aux)
    for processor in ClientRequestProcessors.request_processors:
        for topic in processor.get_topics():
            _write("command", "", "admin", topic)


class _Finder(importlib.abc.MetaPathFinder):
    """Observe as soon as the process is about to read its kit, before it has a cell."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "nvflare.private.fed.app.fl_conf":
            sys.meta_path.remove(self)
            _observe()


if "CONSILIUM_CENSUS" in os.environ and any(name in " ".join(sys.orig_argv) for name in PROGRAMS):
    sys.meta_path.insert(0, _Finder())
