"""Bytes and processor time of the protocol of secure aggregation, and its sum when 30% of the sites drop out.

    python benchmarks/secagg_protocol.py [--values 1000]

All sites and the server are in one process, without a network. The first table is what keys, shares,
signatures and lists cost in one attempt, without vectors and masks, for several numbers of sites of which 30%
drop out behind their shares. The second is of 100 sites of which 30 drop out before one of the steps; each
sends a masked vector, and the opened sum is compared with the sum of the vectors in the clear.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from consilium.secagg.identity import SiteIdentity
from consilium.secagg.mask_seed import MaskSeed
from consilium.secagg.masks import MaskStream, apply_masks
from consilium.secagg.memory import SecAggMemory
from consilium.secagg.messages import SecAggMessage, SumContext
from consilium.secagg.server_session import ServerSession
from consilium.secagg.site_session import SiteSession
from consilium.secagg.survivor_policy import SurvivorPolicy

SIZES = (5, 10, 30, 64, 100)
SIMULATED, DROPPED = 100, 30
STEPS = ("advertise", "share", "vector", "confirm", "reveal")
NEVER = len(STEPS)


@dataclass
class Meter:
    """Processor seconds and bytes of JSON of one kind of party."""

    seconds: float = 0.0
    sent: int = 0

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


@dataclass
class Attempt:
    """One attempt to open a sum of vectors in a ring of 32 bits.

    Attributes:
        lost: For each site, the step of `STEPS` before which it drops out, or `NEVER`.
        values: Of a vector.
        folder: For the sites' memories.
        site: Costs of all sites.
        server: Costs of the server.
        masks: How many masks the server removed.
        exact: Whether the opened sum is that of the survivors' vectors.
    """

    lost: list[int]
    values: int
    folder: Path
    site: Meter = field(default_factory=Meter)
    server: Meter = field(default_factory=Meter)
    masks: int = 0
    exact: bool = False

    def run(self) -> None:
        """Take all steps."""
        names = [f"hospital-{number:03d}" for number in range(len(self.lost))]
        self._until = dict(zip(names, self.lost, strict=True))
        context = SumContext(job="job", round=1, attempt=1, parameters=bytes(32))
        identities = {name: SiteIdentity(Ed25519PrivateKey.generate()) for name in names}
        pins = {name: one.fingerprint for name, one in identities.items()}
        sites = {
            name: SiteSession(
                context=context, site=name, identity=identities[name], peers=pins, policy=SurvivorPolicy(),
                memory=SecAggMemory(self.folder / f"{name}.sqlite"), subject=bytes(32),
            )
            for name in names
        }  # fmt: skip
        server, at = ServerSession(context), self._answering
        for name in at(names, "advertise"):
            self._answer(sites[name].advertise, server.add_advertisement)
        roster = self._announce(server.close_advertising, at(names, "advertise"))
        for name in at(roster.names, "share"):
            self._answer(lambda one=sites[name]: one.share(roster), server.add_shares)
        total, clear = np.zeros(self.values, np.uint32), np.zeros(self.values, np.uint32)
        for name, inbox in self.server.run(server.close_sharing).items():
            received = self.server.send(inbox)
            if name in at([name], "vector"):
                seeds = self.site.run(lambda one=name, message=received: sites[one].mask_seeds(message))
                vector = np.random.default_rng().integers(0, 2**32, self.values, np.uint32)
                clear += vector
                add_masks(vector, seeds)
                total += vector
                server.add_masked(name)
        survivors = self._announce(server.close_masking, at(names, "vector"))
        for name in at(survivors.survivors, "confirm"):
            self._answer(lambda one=sites[name]: one.confirm(survivors), server.add_confirmation)
        signed = self._announce(server.close_confirming, at(names, "confirm"))
        for name in at(signed.signatures, "reveal"):
            self._answer(lambda one=sites[name]: one.reveal(signed), server.add_reveal)
        opening = self.server.run(server.open_sum)
        add_masks(total, opening)
        self.masks, self.exact = len(opening), bool(np.array_equal(total, clear))

    def _answering(self, names: Iterable[str], step: str) -> list[str]:
        return [name for name in names if self._until[name] > STEPS.index(step)]

    def _answer(self, answer: Callable[[], SecAggMessage], add: Callable[[Any], None]) -> None:
        message = self.site.send(self.site.run(answer))
        self.server.run(lambda: add(message))

    def _announce(self, close: Callable[[], SecAggMessage], sites: list[str]) -> Any:
        return self.server.send(self.server.run(close), len(sites))


def add_masks(vector: NDArray[np.uint32], seeds: Iterable[MaskSeed]) -> None:
    """Add masks to a vector, in place."""
    streams = [(MaskStream(one.seed, b"benchmark"), one.sign) for one in seeds]
    plus, minus = ([stream for stream, sign in streams if sign == which] for which in (1, -1))
    apply_masks([vector], plus, minus)


def measure(lost: list[int], values: int) -> Attempt:
    """Return an attempt that was made, with its costs."""
    with tempfile.TemporaryDirectory() as folder:
        attempt = Attempt(lost, values, Path(folder))
        attempt.run()
    return attempt


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--values", type=int, default=1000, help="of a vector in the second table")
    values = parser.parse_args().values
    print(
        "| sites | left | kB from a site | kB to a site | ms of a site | ms of the server | masks removed |"
    )
    print("|---|---|---|---|---|---|---|")
    for count in SIZES:
        dropped = count * 3 // 10
        one = measure([NEVER] * (count - dropped) + [STEPS.index("vector")] * dropped, 0)
        print(
            f"| {count} | {count - dropped} | {one.site.sent / count / 1000:.1f} "
            f"| {one.server.sent / count / 1000:.1f} | {1000 * one.site.seconds / count:.0f} "
            f"| {1000 * one.server.seconds:.0f} | {one.masks} |",
            flush=True,
        )
    print(f"\n| {DROPPED} of {SIMULATED} drop out before | masks removed | s of the server | sum |")
    print("|---|---|---|---|")
    for step in range(len(STEPS)):
        one = measure([NEVER] * (SIMULATED - DROPPED) + [step] * DROPPED, values)
        verdict = "exact" if one.exact else "WRONG"
        print(f"| {STEPS[step]} | {one.masks} | {one.server.seconds:.2f} | {verdict} |", flush=True)


if __name__ == "__main__":
    main()
