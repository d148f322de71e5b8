"""Check of a hospital's identity for secure aggregation, and of the other hospitals that it pinned."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from consilium.counts import counted
from consilium.errors import ConfigurationError
from consilium.participant.site_settings import SiteSettings
from consilium.provisioning.kit import Kit
from consilium.secagg.identity import IDENTITY_FILE, SiteIdentity, format_fingerprint
from consilium.secagg.peers import PEERS_FILE, PinnedPeers
from consilium.site_check.finding import SiteCheck, SiteFinding
from consilium.site_check.job import SiteJob

SECURE_AGGREGATION = SiteCheck("policy.secure_aggregation", "Secure aggregation with other hospitals")

_IDENTITY: Final = f"local/{IDENTITY_FILE}"
_PEERS: Final = f"local/{PEERS_FILE}"
_CREATE: Final = "consilium identity create KIT, and have the other hospitals pin the fingerprint"
_PIN: Final = "consilium identity pin KIT SITE FINGERPRINT, as that hospital reads it out by telephone"
_SHOWN: Final = len("00:01:02:03:04:05:06:07")


def check_secure_aggregation(kit: Kit, site: SiteSettings | None, job: SiteJob) -> SiteFinding:
    """Check that a hospital can take part in secure aggregation.

    What is damaged, or open to other accounts, fails. What is missing fails if the hospital demands secure
    aggregation or the job has it; if not, it is a warning, and skipped where nothing has been set up.

    Args:
        kit: The site's.
        site: What the hospital decides; None where that can't be read, or there is no hospital.
        job: The job.
    """
    if kit.kind == "server":
        return SECURE_AGGREGATION.skipped("this is the server's kit, which has no identity")
    identity_file, peers_file = kit.local / IDENTITY_FILE, kit.local / PEERS_FILE
    try:
        # A link that leads nowhere is damage, and no hospital that has nothing set up.
        identity = SiteIdentity.read(identity_file) if os.path.lexists(identity_file) else None
    except ConfigurationError as error:
        remedy = (
            f"if only its mode is wrong and nobody else had access, chmod 600 {_IDENTITY} (in the kit's "
            f"folder); otherwise move it away, then {_CREATE}"
        )
        return _damaged(error, identity_file, _IDENTITY, remedy)
    try:
        pinned = PinnedPeers.read(peers_file)
    except ConfigurationError as error:
        return _damaged(error, peers_file, _PEERS, f"correct {_PEERS}, or move it away, then {_PIN}")
    others = {name: one for name, one in pinned.fingerprints.items() if name != kit.site_name}
    if identity and (wrong := [name for name, one in others.items() if one == identity.fingerprint]):
        return SECURE_AGGREGATION.failed(
            f"{_PEERS} has this hospital's own fingerprint for {wrong[0]}, with which no sum would be made",
            f"remove {wrong[0]} from {_PEERS}, then {_PIN}",
        )
    everybody = len(others) + 1
    missing, steps = [], []
    if identity is None:
        missing.append(f"{_IDENTITY} is missing")
        steps.append(_CREATE)
    if everybody < pinned.policy.fewest:
        missing.append(
            f"{_PEERS} pins {counted(len(others), 'other hospital')}, and with this one a sum is of "
            f"{pinned.policy.fewest} or more"
        )
        steps.append(f"for {pinned.policy.fewest - everybody} more at least: {_PIN}")
    if identity is None or missing:
        untouched = identity is None and not os.path.lexists(peers_file)
        return _incomplete("; ".join(missing), "; ".join(steps), site, job, untouched=untouched)
    threshold = pinned.policy.threshold(everybody)
    more = ", in jobs of fewer hospitals too" if pinned.follows_pins else ""
    if pinned.allows_two_sums:
        more = (
            f". min_survivors {pinned.policy.min_survivors} in {_PEERS} lets a malicious server open two "
            "sums of a round (docs/secure-aggregation.md); null prevents it"
        )
    return SECURE_AGGREGATION.ok(
        f"identity {format_fingerprint(identity.fingerprint)[:_SHOWN]}..., "
        f"{counted(len(others), 'other hospital')} pinned; of all {everybody}, {threshold} must be left at "
        f"the end of a sum{more}",
        data={"peers": len(others), "threshold": threshold, **pinned.policy.model_dump()},
    )


def _damaged(error: ConfigurationError, path: Path, name: str, remedy: str) -> SiteFinding:
    """Return that a file can't be used, with its name in the kit only: findings are mailed around."""
    first, *more = str(error).replace(str(path), name).splitlines()
    return SECURE_AGGREGATION.failed(first, remedy, details=more)


def _incomplete(
    missing: str, remedy: str, site: SiteSettings | None, job: SiteJob, *, untouched: bool
) -> SiteFinding:
    if site is not None and site.privacy.secure_aggregation:
        why = "this hospital demands secure aggregation (privacy in local/privacy.json)"
    elif not job.promise.server_sees_updates and (site is None or site.role == "trains"):
        what = (
            "has secure aggregation" if job.promise.secure_aggregation else "encrypts updates for hospitals"
        )
        why = f"job {job.name} {what}"
    elif not untouched:
        return SECURE_AGGREGATION.warning(
            f"{missing}: this site would be left out of jobs with secure aggregation", remedy
        )
    elif site is None:
        return SECURE_AGGREGATION.skipped(
            "nothing is set up, and the settings that say whether it has to be can't be used"
        )
    else:
        return SECURE_AGGREGATION.skipped(
            "nothing is set up, and neither this hospital nor the job demands it; to take part in such jobs: "
            "consilium identity create KIT, then consilium identity pin"
        )
    return SECURE_AGGREGATION.failed(f"{why}: {missing}", remedy)
