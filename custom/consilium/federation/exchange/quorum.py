"""The quorum of a round, and how long the round waits for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pydantic import Field

from consilium.federation.safe_names import SiteName
from consilium.settings import MAX_SITES, MINUTES_PER_YEAR, Settings


class QuorumSettings(Settings):
    """Requirements of a round that counts, beside its fewest sites.

    A round ends when every site has answered, when the quorum has been complete for `grace_minutes`, or at
    the deadline. A later answer is dropped: the site stops that work within seconds and takes the
    round that runs then.
    """

    min_case_share: float = Field(
        default=0.0, ge=0, le=1, description="Fewest training cases, as a share of all sites' together."
    )
    mandatory_sites: tuple[SiteName, ...] = Field(
        default=(), max_length=MAX_SITES, description="Sites without which no round counts."
    )
    deadline_minutes: float | None = Field(
        default=None,
        gt=0,
        le=MINUTES_PER_YEAR,
        description="Longest time of a round; default: as long as it takes.",
    )
    grace_minutes: float | None = Field(
        default=None,
        ge=0,
        le=MINUTES_PER_YEAR,
        description="Wait for the others once the quorum is complete; default: all.",
    )
    silence_minutes: float = Field(
        default=5.0,
        ge=1,
        le=MINUTES_PER_YEAR,
        description="A site that sends nothing for so long is lost; a busy one sends a heartbeat every 10 s.",
    )
    attempts: int = Field(default=3, ge=1, le=100, description="Times that a round is tried.")
    backoff_seconds: float = Field(
        default=30.0, ge=0, le=3600, description="Pause before the second attempt; doubled for each other."
    )


class Quorum:
    """Decides whether the sites that trained are enough for a round.

    Args:
        settings: The job's requirements.
        min_sites: Fewest sites.
    """

    def __init__(self, settings: QuorumSettings, min_sites: int) -> None:
        self.settings = settings
        self.min_sites = min_sites

    def lack(self, trained: Collection[str], cases: Mapping[str, int]) -> str | None:
        """Return what is missing for a quorum; None if nothing.

        Args:
            trained: The sites whose updates were taken.
            cases: Training cases of every site that ever said how many it has.
        """
        if len(trained) < self.min_sites:
            return f"and min_sites is {self.min_sites}"
        absent = [site for site in self.settings.mandatory_sites if site not in trained]
        if absent:
            return f"without mandatory {', '.join(absent)}"
        total = sum(cases.values())
        share = sum(cases.get(site, 0) for site in trained) / total if total else 0.0
        if share < self.settings.min_case_share:
            return (
                f"with {share:.0%} of the training cases, and min_case_share is "
                f"{self.settings.min_case_share:.0%}"
            )
        return None

    def pause_seconds(self, failed_attempts: int) -> float:
        """Return how long to wait after that many attempts."""
        return float(self.settings.backoff_seconds * 2 ** (failed_attempts - 1))
