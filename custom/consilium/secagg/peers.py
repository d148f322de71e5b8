"""Fingerprints of the other hospitals' identities, which a hospital pins in its `local/`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, field_validator

from consilium.data.files import write_atomically
from consilium.errors import ConfigurationError
from consilium.secagg.identity import format_fingerprint, parse_fingerprint
from consilium.secagg.messages import PartyName
from consilium.secagg.survivor_policy import FEWEST_SURVIVORS, MOST_PARTIES, SurvivorPolicy
from consilium.settings import Settings

PEERS_FILE: Final = "secagg_peers.json"
"""In `local/` of a hospital's kit."""

_LARGEST_FILE: Final = 1024 * 1024


class PeerFile(Settings):
    """Content of `secagg_peers.json`, which a person may edit.

    Attributes:
        peers: Other hospitals' names to the fingerprints of their identities.
        min_survivors: Sites that a sum must be of, at least; None: more than half of all hospitals, also
            if fewer take part (`SurvivorPolicy.majority_of`).
        colluding_sites: How many sites may work together with the server and still learn nothing but the sum
            of the others.
    """

    model_config = ConfigDict(strict=True)

    peers: Annotated[dict[PartyName, str], Field(default_factory=dict, max_length=MOST_PARTIES)]
    min_survivors: Annotated[int, Field(ge=FEWEST_SURVIVORS, le=MOST_PARTIES)] | None = None
    colluding_sites: Annotated[int, Field(ge=0, le=MOST_PARTIES - 2)] = 0

    @field_validator("peers")
    @classmethod
    def _of_different_hospitals(cls, value: dict[str, str]) -> dict[str, str]:
        fingerprints = [parse_fingerprint(text) for text in value.values()]
        if len({*fingerprints}) < len(fingerprints):
            raise ValueError("two hospitals with one fingerprint; each hospital has an identity of its own")
        return value


class PinnedPeers:
    """The hospitals that a site aggregates with, and what it demands of a sum.

    Args:
        content: Of `secagg_peers.json`.
        path: The file.

    Attributes:
        fingerprints: The other hospitals' names to the fingerprints of their identities, 32 bytes each.
        policy: How many survivors the site demands.
        follows_pins: Whether the fewest sites of a sum follow from the number of pinned hospitals.
        allows_two_sums: Whether a number in their place is so low that a server can open two sums of a round.
    """

    def __init__(self, content: PeerFile, path: Path) -> None:
        self._content = content
        self._path = path
        self.fingerprints: Mapping[str, bytes] = MappingProxyType(
            {name: parse_fingerprint(text) for name, text in content.peers.items()}
        )
        majority = SurvivorPolicy.majority_of(len(content.peers) + 1, content.colluding_sites)
        chosen = content.min_survivors
        self.policy = majority if chosen is None else majority.model_copy(update={"min_survivors": chosen})
        self.follows_pins = chosen is None
        self.allows_two_sums = self.policy.fewest < majority.fewest

    @classmethod
    def read(cls, path: Path) -> PinnedPeers:
        """Read the file; one that is missing pins nobody.

        Raises:
            ConfigurationError: It can't be read or is not as `PeerFile` has it.
        """
        try:
            if path.stat().st_size > _LARGEST_FILE:
                raise ConfigurationError(f"{path} is larger than any list of {MOST_PARTIES} hospitals")
            content: Any = json.loads(path.read_bytes())
        except FileNotFoundError:
            content = {}
        except ValueError as error:
            raise ConfigurationError(f"{path} is not valid JSON: {error}") from None
        except OSError as error:
            raise ConfigurationError(f"{path} can't be read: {error.strerror}") from None
        if not isinstance(content, dict):
            raise ConfigurationError(f"{path} holds a {type(content).__name__}, and a JSON object is allowed")
        return cls(PeerFile.parse(content, source=str(path)), path)

    def pin(self, site: str, fingerprint: bytes) -> PinnedPeers:
        """Pin one more hospital and write the file; returns the new list.

        Raises:
            ConfigurationError: Another fingerprint is pinned for it, or its name can't be a site's.
            OSError: The file can't be written.
        """
        known = self.fingerprints.get(site)
        if known is not None and known != fingerprint:
            raise ConfigurationError(
                f"{site} is pinned with another fingerprint, {format_fingerprint(known)}. If it has "
                f"a new identity, ask it by telephone, and remove its line from {self._path} first"
            )
        peers = {**self._content.peers, site: format_fingerprint(fingerprint)}
        values = {**self._content.model_dump(), "peers": dict(sorted(peers.items()))}
        content = PeerFile.parse(values, source=f"{site} for {self._path}")
        write_atomically(self._path, f"{json.dumps(content.model_dump(), indent=2)}\n".encode())
        return PinnedPeers(content, self._path)
