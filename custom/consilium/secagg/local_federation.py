"""Identities of hospitals that one person simulates: made and exchanged at once.

Only where one person owns every site's folder, as in a simulation or a proof of concept. Hospitals make their
identities themselves and compare fingerprints without the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from consilium.secagg.identity import IDENTITY_FILE, SiteIdentity
from consilium.secagg.peers import PEERS_FILE, PinnedPeers
from consilium.secagg.survivor_policy import FEWEST_SURVIVORS, MOST_PARTIES


def exchange_identities(folders: Mapping[str, Path]) -> None:
    """Make an identity for each site, and have each pin all others; sites that have one keep it.

    Nothing is made for fewer or more sites than a sum can have.

    Args:
        folders: Site name to its `local/`.

    Raises:
        ConfigurationError: A site has an identity that can't be read, or another one pinned.
        OSError: A file can't be written.
    """
    if not FEWEST_SURVIVORS <= len(folders) <= MOST_PARTIES:
        return
    identities = {}
    for name, folder in folders.items():
        path = folder / IDENTITY_FILE
        identities[name] = SiteIdentity.read(path) if path.exists() else SiteIdentity.create(path)
    for name, folder in folders.items():
        pinned = PinnedPeers.read(folder / PEERS_FILE)
        for peer, identity in identities.items():
            if peer != name:
                pinned = pinned.pin(peer, identity.fingerprint)
