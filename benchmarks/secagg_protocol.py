"""Bytes and processor time of the protocol of secure aggregation, without the vectors and their masks.

    python benchmarks/secagg_protocol.py

In one process, with small vectors in no file system: what keys, shares, signatures and lists cost a site and
the server in one attempt, for several numbers of sites of which 30% drop out behind their shares.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consilium.secagg.identity import SiteIdentity
from consilium.secagg.memory import SecAggMemory
from consilium.secagg.messages import SecAggMessage, SumContext
from consilium.secagg.server_session import ServerSession
from consilium.secagg.site_session import SiteSession
from consilium.secagg.survivor_policy import SurvivorPolicy


class Meter:
    """Processor seconds and bytes of JSON of one kind of party."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.sent = 0

    def run(self, work: Callable[[], Any]) -> Any:
        """Run some work and count its processor time."""
        start = time.process_time()
        result = work()
        self.seconds += time.process_time() - start
        return result

    def send(self, message: SecAggMessage, times: int = 1) -> Any:
        """Count the bytes of a message; returns it as its receiver reads it."""
        text = self.run(message.to_json)
        self.sent += len(text) * times
        return type(message).from_json(text)


def measure(count: int, folder: Path) -> str:
    """Return a line of the table for a number of sites."""
    of = SumContext(job="job", round=1, attempt=1, parameters=bytes(32))
    names = [f"hospital-{number:02d}" for number in range(count)]
    identities = {name: SiteIdentity(Ed25519PrivateKey.generate()) for name in names}
    pins = {name: one.fingerprint for name, one in identities.items()}
    sites = {
        name: SiteSession(
            context=of, site=name, identity=identities[name], peers=pins, policy=SurvivorPolicy(),
            memory=SecAggMemory(folder / str(count) / f"{name}.sqlite"),
        )
        for name in names
    }  # fmt: skip
    left = names[: count - count * 3 // 10]
    server, server_meter, site_meter = ServerSession(of), Meter(), Meter()
    for site in sites.values():
        advertisement = site_meter.send(site_meter.run(site.advertise))
        server_meter.run(lambda one=advertisement: server.add_advertisement(one))
    roster = server_meter.send(server_meter.run(server.close_advertising), count)
    for site in sites.values():
        bundle = site_meter.send(site_meter.run(lambda one=site: one.share(roster)))
        server_meter.run(lambda one=bundle: server.add_shares(one))
    for name, inbox in server_meter.run(server.close_sharing).items():
        received = server_meter.send(inbox)
        if name in left:
            site_meter.run(lambda one=name, message=received: sites[one].mask_seeds(message))
            server.add_masked(name)
    survivors = server_meter.send(server_meter.run(server.close_masking), len(left))
    for name in left:
        signed = site_meter.send(site_meter.run(lambda one=name: sites[one].confirm(survivors)))
        server_meter.run(lambda one=signed: server.add_confirmation(one))
    confirmations = server_meter.send(server_meter.run(server.close_confirming), len(left))
    for name in left:
        reveal = site_meter.send(site_meter.run(lambda one=name: sites[one].reveal(confirmations)))
        server_meter.run(lambda one=reveal: server.add_reveal(one))
    masks = len(server_meter.run(server.open_sum))
    return (
        f"| {count} | {len(left)} | {site_meter.sent / count / 1000:.1f} "
        f"| {server_meter.sent / count / 1000:.1f} "
        f"| {1000 * site_meter.seconds / count:.0f} | {1000 * server_meter.seconds:.0f} | {masks} |"
    )


def main() -> None:
    """Print the table."""
    print(
        "| sites | left | kB from a site | kB to a site | ms of a site | ms of the server | masks removed |"
    )
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for count in (5, 10, 30, 64):
            print(measure(count, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
