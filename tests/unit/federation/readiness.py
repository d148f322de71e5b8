"""What a readiness check could have found."""

from typing import Any

from consilium.records.readiness import ReadinessRecord, SiteReadiness

HARDWARE = {"cores": 2, "memory_gib": 8.0, "free_disk_gib": 50.0}


def site(can: str, **fields: Any) -> SiteReadiness:
    return SiteReadiness.model_validate({"can": can, "hardware": HARDWARE, **fields})


def readiness(**sites: str | SiteReadiness) -> ReadinessRecord:
    """Return a check of just now; a text is what a site can do."""
    answers = {name: site(one) if isinstance(one, str) else one for name, one in sites.items()}
    return ReadinessRecord(
        job="brain_tumor_check", task="brain_tumor", title="Brain tumor segmentation", sites=answers
    )
