"""Sites of a job in a process of their own, which searches the server's memory and disk for their updates.

The server's process gets what a site sends and nothing else, so bytes of an update that are found there came
over the wire, or follow from what came.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.app_common.abstract.fl_model import FLModel

from consilium.secagg import ring

VALUES = 4096
"""Of an update: enough that no other array is as large."""

_PIECE = 32
"""Bytes that no other values have by chance."""


def piece_of(array: np.ndarray[Any, Any]) -> bytes:
    """Return a part of an array that is looked for."""
    content, middle = array.tobytes(), array.nbytes // 2
    return content[middle : middle + _PIECE]


class Proxy:
    """A site that is in the other process."""

    def __init__(self, name: str, connection: Connection) -> None:
        self.name, self.connection = name, connection

    def __call__(self, task: str, model: FLModel) -> Any:
        self.connection.send((self.name, task, model))
        return self.connection.recv()


def serve(
    make: Callable[[], Mapping[str, Any]],
    connection: Connection,
    moments: Collection[str],
    folder: Path,
    server: int,
) -> None:
    """Answer the server's tasks; asked for nothing, send where an update was found, and how many there were.

    Args:
        make: Makes the sites, by name; a site's `clear` are its updates in the clear.
        connection: To the server.
        moments: Tasks at which the last site searches before it answers.
        folder: The server's.
        server: Its process id.
    """
    encode, encoded = ring.FixedPoint.encode, []

    def recorded(code: Any, *arguments: Any, **options: Any) -> Any:
        values, clipped = encode(code, *arguments, **options)
        if values.size == VALUES:  # the update as it is before it is masked
            encoded.append(piece_of(values))
        return values, clipped

    ring.FixedPoint.encode = recorded  # type: ignore[method-assign]
    sites, found = make(), set[str]()
    last = sorted(sites)[-1]
    while (order := connection.recv()) is not None:
        name, task, model = order
        needles = [piece_of(one) for site in sites.values() for one in site.clear] + encoded
        if needles and name == last and task in moments:
            found |= set(_search(needles, folder, server))
        connection.send(sites[name](task, model))
    connection.send((found, sum(len(site.clear) for site in sites.values()), len(encoded)))


def _search(needles: list[bytes], folder: Path, process: int) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file() and any(one in path.read_bytes() for one in needles):
            yield "disk"
    with Path(f"/proc/{process}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            place, rights, *_, name = [*line.split(maxsplit=5), "", "", ""][:6]
            if not rights.startswith("rw") or name.startswith("[v"):
                continue
            start, end = (int(part, 16) for part in place.split("-"))
            try:
                memory.seek(start)
                content = memory.read(end - start)
            except (OSError, ValueError, OverflowError):  # freed meanwhile, or no memory to read
                continue
            if any(one in content for one in needles):
                yield "memory"
