"""Writes vectors.json: an attempt of four sites, of which one drops out, with its secrets and messages.

PYTHONPATH=custom:tests/unit python -m secagg.vectors
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consilium.secagg.identity import SiteIdentity
from consilium.secagg.messages import SumContext, digest_parameters
from consilium.secagg.server_session import ServerSession
from consilium.secagg.site_session import SiteSession
from consilium.secagg.survivor_policy import SurvivorPolicy
from secagg.hospitals import NoMemory, add_masks

FILE = Path(__file__).with_name("vectors.json")
NAMES = ("east", "north", "south", "west")
DROPPED = "south"
SECRETS = ("channel_key", "mask_key", "self_secret")
PARAMETERS = {"ring": 32, "tensors": {"weight": [4]}}


class Tape:
    """Bytes that look random and are the same each time: SHAKE-256 of a name, read in order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.position = 0

    def __call__(self, count: int) -> bytes:
        start, self.position = self.position, self.position + count
        return hashlib.shake_256(self.name.encode()).digest(self.position)[start:]


def make_vectors() -> dict[str, Any]:
    of = SumContext(job="job-1", round=3, attempt=7, parameters=digest_parameters(PARAMETERS))
    seeds = {name: Tape(f"identity {name}")(32) for name in NAMES}
    identities = {
        name: SiteIdentity(Ed25519PrivateKey.from_private_bytes(seed)) for name, seed in seeds.items()
    }
    pins = {name: one.fingerprint for name, one in identities.items()}
    sites = {
        name: SiteSession(
            context=of, site=name, identity=identities[name], peers=pins, policy=SurvivorPolicy(),
            memory=NoMemory(), subject=bytes(32), random=Tape(f"attempt {name}"),
        )
        for name in NAMES
    }  # fmt: skip
    vectors = {name: np.arange(4, dtype="<u4") * 1000 + place for place, name in enumerate(NAMES)}
    server, messages = ServerSession(of), {}

    def keep(kind: str, message: Any) -> Any:
        messages[kind] = json.loads(message.to_json())
        return message

    for name, site in sites.items():
        server.add_advertisement(keep(f"advertisement of {name}", site.advertise()))
    roster = keep("roster", server.close_advertising())
    for name, site in sites.items():
        server.add_shares(keep(f"shares of {name}", site.share(roster)))
    total, mask_seeds, masked = np.zeros(4, "<u4"), {}, {}
    for name, inbox in server.close_sharing().items():
        keep(f"inbox of {name}", inbox)
        if name != DROPPED:
            given = sites[name].mask_seeds(inbox)
            mask_seeds[name] = [[one.seed.hex(), one.sign] for one in given]
            vector = add_masks(vectors[name], given)
            masked[name] = vector.tolist()
            total = total + vector
            server.add_masked(name)
    survivors = keep("survivors", server.close_masking())
    for name in survivors.survivors:
        server.add_confirmation(keep(f"confirmation of {name}", sites[name].confirm(survivors)))
    confirmations = keep("confirmations", server.close_confirming())
    for name in survivors.survivors:
        server.add_reveal(keep(f"reveal of {name}", sites[name].reveal(confirmations)))
    opened = server.open_sum()
    return {
        "parameters": PARAMETERS,
        "context": json.loads(of.to_json()),
        "threshold": server.threshold,
        "roster_digest": roster.digest.hex(),
        "sites": {
            name: {
                "identity_seed": seeds[name].hex(),
                "fingerprint": pins[name].hex(),
                **dict(zip(SECRETS, tape_of(name, (32, 32, 32)), strict=True)),
                "self_coefficients": tape_of(name, (96, 64, 64))[1:],
                "key_coefficients": tape_of(name, (224, 64, 64))[1:],
                "vector": vectors[name].tolist(),
                **({"mask_seeds": mask_seeds[name], "masked": masked[name]} if name in masked else {}),
            }
            for name in NAMES
        },
        "messages": messages,
        "masked_sum": total.tolist(),
        "opening_seeds": [[one.seed.hex(), one.sign] for one in opened],
        "sum": add_masks(total, opened).tolist(),
    }  # fmt: skip


def tape_of(name: str, lengths: tuple[int, ...]) -> list[str]:
    """Return what a site drew, in hexadecimal: pieces of the lengths, in order."""
    tape = Tape(f"attempt {name}")
    return [tape(length).hex() for length in lengths]


if __name__ == "__main__":
    FILE.write_text(json.dumps(make_vectors(), indent=1) + "\n")
