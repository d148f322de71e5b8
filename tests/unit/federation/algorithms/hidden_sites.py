"""Sites of a job in a process of their own, which searches the server's memory and disk for their updates.

The server's process gets what a site sends and nothing else, so bytes of an update that are found there came
over the wire, or follow from what came.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel

from consilium.secagg import ring
from process_memory import find_pieces, piece_of

VALUES = 4096
"""Of an update: enough that no other array is as large."""


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
            found |= set(find_pieces(needles, folder, server))
        connection.send(sites[name](task, model))
    connection.send((found, sum(len(site.clear) for site in sites.values()), len(encoded)))
