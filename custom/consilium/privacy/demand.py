"""What a hospital demands of the jobs that train on its patients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator
from typing_extensions import Self

from consilium.counts import counted
from consilium.privacy.promise import MOST_EPSILON, PrivacyLevel, PrivacyPromise, allows_more
from consilium.settings import MAX_SITES, Settings


class PrivacyDemand(Settings):
    """A hospital's demand, from its own settings; no job can change it.

    Example:
        >>> demand = PrivacyDemand(level=PrivacyLevel.FORMAL, job_epsilon=3.0)
        >>> demand.shortfall(PrivacyPromise(epsilon=8.0), sites=2)
        'it allows a job an epsilon of 3, and this job has 8'
    """

    level: PrivacyLevel = Field(
        default=PrivacyLevel.NONE,
        description="Least protection of a patient: none, reconstruction (noise, with a large epsilon), or "
        "formal (an epsilon of at most 10).",
    )
    epsilon: float | None = Field(
        default=None,
        gt=0,
        le=MOST_EPSILON,
        description="Budget: the most that all jobs together may spend of a patient, for ever; default: no "
        "limit.",
    )
    delta: float = Field(
        default=1e-4,
        ge=1e-10,
        le=0.01,
        description="At which delta a patient's epsilon is counted here, whatever delta a job has. Less than "
        "one divided by the number of patients.",
    )
    job_epsilon: float | None = Field(
        default=None,
        gt=0,
        le=MOST_EPSILON,
        description="The most that one job may spend of a patient; default: that of the level that the job "
        "promises.",
    )
    min_sites: int = Field(
        default=1, ge=1, le=MAX_SITES, description="Fewest sites whose updates a round of a job combines."
    )
    secure_aggregation: bool = Field(
        default=False,
        description="Whether a job has to hide this site's update from the server, in a sum of several.",
    )
    updates_to_hospitals: bool = Field(
        default=False,
        description="Whether the site takes part in jobs in which other hospitals see its update by itself.",
    )
    stated: bool = Field(
        default=True,
        description="Whether a readiness check states what is demanded of a job, so that the lead data "
        "scientist sees it before submitting one. The budget, and what is left of it, are never stated.",
    )

    @model_validator(mode="before")
    @classmethod
    def _homomorphic_encryption_is_not_offered(cls, values: Any) -> Any:
        """Refuse it by name, as a hospital may know it from FLARE."""
        if isinstance(values, Mapping) and values.keys() & {"homomorphic_encryption", "he"}:
            raise ValueError(
                "no job has homomorphic encryption: all hospitals would hold its one key, so any of them "
                "could open every update together with the server. Demand secure_aggregation instead, in "
                "which no key opens a single update (docs/secure-aggregation.md)"
            )
        return values

    @model_validator(mode="after")
    def _what_is_limited_is_counted(self) -> Self:
        if self.level is PrivacyLevel.NONE and (self.epsilon is not None or self.job_epsilon is not None):
            raise ValueError(
                "epsilon and job_epsilon limit jobs with noise only; demand the level reconstruction or "
                "formal as well, or a job without noise passes every limit"
            )
        return self

    def is_looser_than(self, other: PrivacyDemand) -> bool:
        """Return whether a job that another demand declines may pass this one."""
        return (
            not self.level.reaches(other.level)
            or allows_more(self.epsilon, other.epsilon)
            or allows_more(self.job_epsilon, other.job_epsilon)
            or self.delta > other.delta
            or self.min_sites < other.min_sites
            or (other.secure_aggregation and not self.secure_aggregation)
            or (self.updates_to_hospitals and not other.updates_to_hospitals)
        )

    def describe(self) -> str:
        """Return what is demanded of a job, in words; the budget of all jobs together is no part of it.

        Example:
            >>> PrivacyDemand(level=PrivacyLevel.FORMAL, job_epsilon=3.0, min_sites=2).describe()
            'formal protection, an epsilon of at most 3 in a job, at least 2 hospitals a round'
        """
        parts = []
        if self.level is not PrivacyLevel.NONE:
            parts.append(f"{self.level.value} protection")
        if self.job_epsilon is not None:
            parts.append(f"an epsilon of at most {self.job_epsilon:g} in a job")
        if self.min_sites > 1:
            parts.append(f"at least {counted(self.min_sites, 'hospital')} a round")
        if self.secure_aggregation:
            parts.append("secure aggregation")
        demanded = ", ".join(parts) or "no noise and no secure aggregation"
        return demanded + ("; other hospitals may see its update" if self.updates_to_hospitals else "")

    def shortfall(self, promise: PrivacyPromise, *, sites: int) -> str | None:
        """Return what a job offers less than is demanded; None if nothing. It names no patient.

        Args:
            promise: The job's.
            sites: The job's `min_sites`: fewest sites whose updates a round of it combines, unless the
                promise is of a single one.
        """
        if not promise.level.reaches(self.level):
            return (
                f"it demands {self.level.value} protection of patients, and this job offers {_offer(promise)}"
            )
        if self.job_epsilon is not None and (promise.epsilon or 0.0) > self.job_epsilon:
            return f"it allows a job an epsilon of {self.job_epsilon:g}, and this job has {promise.epsilon:g}"
        combined = 1 if promise.single_update else sites
        if combined < self.min_sites:
            return f"it demands {counted(self.min_sites, 'site')} a round, and this job needs {combined} only"
        if self.secure_aggregation and not promise.secure_aggregation:
            who = "the server sees" if promise.server_sees_updates else "other hospitals see"
            return f"it demands secure aggregation, and in this job {who} single updates"
        if promise.hospitals_see_updates and not self.updates_to_hospitals:
            return (
                "it lets no other hospital see its update (updates_to_hospitals), and in this job others do"
            )
        return None


def _offer(promise: PrivacyPromise) -> str:
    level = promise.level
    return (
        level.value if promise.epsilon is None else f"{level.value}, with an epsilon of {promise.epsilon:g}"
    )
