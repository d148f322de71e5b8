"""The hospitals that a site aggregates with, as an algorithm reads them."""

from __future__ import annotations

from pathlib import Path

from consilium.errors import ConfigurationError, RefusalCode, SiteRefusal
from consilium.secagg.peers import PEERS_FILE, PinnedPeers


def read_pinned(local: Path) -> PinnedPeers:
    """Read the hospitals that a site pinned, and what it demands of a sum.

    Args:
        local: Folder of the hospital's own files.

    Raises:
        SiteRefusal: If the list can't be read.
    """
    try:
        return PinnedPeers.read(local / PEERS_FILE)
    except ConfigurationError as error:
        raise SiteRefusal(
            "its list of the other hospitals' identities can't be read",
            code=RefusalCode.SECURE_AGGREGATION,
            details=[str(error)],
        ) from None
