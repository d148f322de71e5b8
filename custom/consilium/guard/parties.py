"""Parties of a federation, by the names of their cells.

FLARE calls the messaging end of a process a cell, and names it by its fully qualified cell name (FQCN):
`server`, `server.<job id>`, `north`, `north.<job id>`, `_admin_<uuid>` for a user's console.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal

from nvflare.fuel.f3.cellnet.fqcn import FQCN
from nvflare.fuel.utils.admin_name_utils import is_valid_admin_client_name

from consilium.federation.safe_names import is_job_id, is_site_name

SiteKind = Literal["server", "client"]
"""Whose a kit is, and which half of a job runs there, in FLARE's words: the server's or a hospital's."""

_TRANSFER: Final = "ws_transfer_"
"""What FLARE puts before the job id where a job in Kubernetes fetches its files from its parent."""

_MAX_LENGTH: Final = 600
"""Of a name, in characters; the longest of a party's, a site's with a job's id, has about 110."""


class Kind(Enum):
    """Kind of a process."""

    SERVER = "the server"
    SERVER_JOB = "a job's process at the server"
    SITE = "a site"
    SITE_JOB = "a job's process at a site"
    USER = "a user's console"
    TRANSFER = "a job that fetches its files from its parent"


@dataclass(frozen=True)
class Party:
    """A process of a federation.

    Attributes:
        name: Its fully qualified cell name.
        kind: What it is.
        root: First part of the name: `server`, the site's name, or the user's console.
        job: The job that it works for; None for a parent process.
    """

    name: str
    kind: Kind
    root: str
    job: str | None = None


def parse_party(name: Any) -> Party | None:
    """Return the party of a name; None for others, such as FLARE's relays and sub-workers.

    Args:
        name: A fully qualified cell name, as another process states it.

    Example:
        >>> parse_party("north").kind
        <Kind.SITE: 'a site'>
        >>> parse_party("north.x") is None
        True
    """
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_LENGTH:
        return None
    if FQCN.normalize(name) != name or FQCN.validate(name):
        return None
    root, *rest = FQCN.split(name)
    is_server = root == FQCN.ROOT_SERVER
    if not is_site_name(root) or (root.lower() == FQCN.ROOT_SERVER and not is_server):
        return None  # a user's console has such a name, too
    if not rest:
        if is_valid_admin_client_name(root):
            return Party(name, Kind.USER, root)
        return Party(name, Kind.SERVER if is_server else Kind.SITE, root)
    if len(rest) > 1 or is_valid_admin_client_name(root):
        return None
    if is_job_id(rest[0]):
        return Party(name, Kind.SERVER_JOB if is_server else Kind.SITE_JOB, root, rest[0])
    if rest[0].startswith(_TRANSFER) and is_job_id(rest[0].removeprefix(_TRANSFER)):
        return Party(name, Kind.TRANSFER, root, rest[0].removeprefix(_TRANSFER))
    return None
