"""Hospitals with identities that sum small vectors; their masks are expanded here, not by the package."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from consilium.secagg.errors import SecAggFailure
from consilium.secagg.identity import SiteIdentity
from consilium.secagg.mask_seed import MaskSeed
from consilium.secagg.memory import SecAggMemory
from consilium.secagg.messages import ShareBundle, SumContext, digest_parameters
from consilium.secagg.server_session import ServerSession
from consilium.secagg.site_attempt import SiteAttempt
from consilium.secagg.site_session import SiteSession
from consilium.secagg.survivor_policy import SurvivorPolicy

LENGTH = 4
_GENERATOR = np.random.default_rng(1)
NEVER = 5
"""Step at which a site drops out that doesn't: behind the last."""

PARAMETERS = digest_parameters({"ring": 32, "tensors": {"weight": [LENGTH]}})


def context(round_number: int = 1, attempt: int = 1, job: str = "job") -> SumContext:
    return SumContext(job=job, round=round_number, attempt=attempt, parameters=PARAMETERS)


def names_of(count: int) -> list[str]:
    return [f"site-{number:02d}" for number in range(count)]


def add_masks(vector: np.ndarray, seeds: Iterable[MaskSeed]) -> np.ndarray:
    for seed, sign in seeds:
        stream = Cipher(ChaCha20(seed, bytes(16)), None).encryptor().update(bytes(vector.nbytes))
        mask = np.frombuffer(stream, "<u4")
        vector = vector + mask if sign > 0 else vector - mask
    return vector


class NoMemory(SecAggMemory):
    """Remembers nothing, where thousands of attempts are each of a new job."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))

    def begin_attempt(self, job: str, attempt: int) -> None:
        pass

    def record_opening(self, subjects: Iterable[bytes], survivors: bytes) -> None:
        pass


class Hospitals:
    """Some hospitals that pinned each other.

    `kind` is the site's part in the protocol that they follow.

    Args:
        names: Their names.
        folder: Where their memories are; None for none.
        policy: What each demands.
    """

    kind: type[SiteAttempt] = SiteSession

    def __init__(
        self, names: Sequence[str], folder: Path | None = None, policy: SurvivorPolicy | None = None
    ) -> None:
        self.names = names
        self.policy = policy or SurvivorPolicy()
        self.identities = {name: SiteIdentity(Ed25519PrivateKey.generate()) for name in names}
        self.pins = {name: one.fingerprint for name, one in self.identities.items()}
        self.memories: dict[str, SecAggMemory] = {
            name: NoMemory() if folder is None else SecAggMemory(folder / name / "memory.sqlite")
            for name in names
        }

    def session(self, name: str, of: SumContext, **options):
        """A site's part in an attempt; a new subject in each round of each job."""
        options = {"policy": self.policy, "subject": f"{of.job} {of.round}".encode(), **options}
        pins = {peer: pin for peer, pin in self.pins.items() if peer != name}
        return self.kind(
            context=of, site=name, identity=self.identities[name], peers=pins,
            memory=self.memories[name], **options,
        )  # fmt: skip

    def sessions(self, of: SumContext, names: Iterable[str] | None = None, **options):
        return {name: self.session(name, of, **options) for name in names or self.names}


def run_attempt(
    sites: Mapping[str, SiteSession],
    of: SumContext,
    vectors: Mapping[str, np.ndarray],
    drops: Mapping[str, int] | None = None,
    seen: Callable[[str, object], None] = lambda kind, message: None,
) -> np.ndarray:
    """Run all steps through JSON; a site with `drops` n answers the steps before n only.

    Returns the sum of the vectors of those that answered step 2.

    Raises:
        SecAggFailure: Too few sites are left in some step.
    """
    drops = drops or {}

    def ask(step: int, names: Iterable[str]) -> list[str]:
        return [name for name in names if drops.get(name, NEVER) > step]

    def send(message):
        seen(type(message).__name__, message)
        return type(message).from_json(message.to_json())

    server = ServerSession(of)
    for name in ask(0, sites):
        server.add_advertisement(send(sites[name].advertise()))
    roster = send(server.close_advertising())
    for name in ask(1, roster.names):
        server.add_shares(send(sites[name].share(roster)))
    total = np.zeros(LENGTH, "<u4")
    inboxes = server.close_sharing()
    for name in ask(2, inboxes):
        masked = add_masks(vectors[name], sites[name].mask_seeds(send(inboxes[name])))
        seen("masked", masked.tobytes())
        total = total + masked
        server.add_masked(name)
    survivors = send(server.close_masking())
    for name in ask(3, survivors.survivors):
        server.add_confirmation(send(sites[name].confirm(survivors)))
    confirmations = send(server.close_confirming())
    for name in ask(4, confirmations.signatures):
        server.add_reveal(send(sites[name].reveal(confirmations)))
    return add_masks(total, server.open_sum())


def expected_sum(
    names: Iterable[str], vectors: Mapping[str, np.ndarray], drops: Mapping[str, int], threshold: int
) -> np.ndarray | None:
    """The sum that an attempt must give, or None where a step has fewer sites than the threshold."""
    for step in range(5):
        left = [name for name in names if drops.get(name, NEVER) > step]
        if len(left) < threshold:
            return None
    arrived = [vectors[name] for name in names if drops.get(name, NEVER) > 2]
    return np.sum(arrived, axis=0, dtype="<u4")


def outcome(*arguments) -> np.ndarray | None:
    """The sum of an attempt, or None where it failed."""
    try:
        return run_attempt(*arguments)
    except SecAggFailure:
        return None


def draw_vectors(names: Iterable[str]) -> dict[str, np.ndarray]:
    """Random vectors, by site."""
    return {name: _GENERATOR.integers(0, 2**32, LENGTH, dtype=np.uint32) for name in names}


class Collected:
    """A server in its last step, with the reveals of all sites that are left.

    Args:
        count: How many sites.
        drops: Those that send no vector.
        spoil: Changes the bundle of shares of a site, if given its name and its session.
        mute: Those that don't confirm.
    """

    def __init__(
        self,
        count: int,
        drops: Collection[str] = (),
        spoil: Callable[[str, SiteSession, ShareBundle], ShareBundle] = lambda name, site, bundle: bundle,
        mute: Collection[str] = (),
    ) -> None:
        self.hospitals = Hospitals(names_of(count))
        self.of = context()
        self.vectors = draw_vectors(self.hospitals.names)
        self.server = ServerSession(self.of)
        sites = self.hospitals.sessions(self.of)
        for site in sites.values():
            self.server.add_advertisement(site.advertise())
        roster = self.server.close_advertising()
        for name, site in sites.items():
            self.server.add_shares(spoil(name, site, site.share(roster)))
        self.total = np.zeros(LENGTH, np.uint32)
        for name, inbox in self.server.close_sharing().items():
            if name not in drops:
                masked = add_masks(self.vectors[name], sites[name].mask_seeds(inbox))
                self.total = self.total + masked
                self.server.add_masked(name)
        left = self.server.close_masking()
        for name in left.survivors:
            if name not in mute:
                self.server.add_confirmation(sites[name].confirm(left))
        confirmed = self.server.close_confirming()
        self.reveals = {name: sites[name].reveal(confirmed) for name in confirmed.signatures}
        self.expected = np.sum([self.vectors[name] for name in left.survivors], axis=0, dtype=np.uint32)

    def opens(self) -> bool:
        """Whether the opened sum is that of the vectors."""
        return bool(np.array_equal(add_masks(self.total, self.server.open_sum()), self.expected))
