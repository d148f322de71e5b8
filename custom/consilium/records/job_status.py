"""Status of a job for its users."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, Field

from consilium.errors import RefusalCode
from consilium.records.bounds import Code, Label, Moment, Reason
from consilium.records.progress import Ended, JobProgress
from consilium.records.remedies import remedy_for

ADDRESS: Final = " at "
"""Separates a process from its address."""

NOBODY = "nobody"
"""Value of `continued_by` for an interrupted job that a person has to resume."""


class Interruption(BaseModel):
    """A job that ended because the server's processes died."""

    reason: Reason
    code: Code = None
    durable_round: int | None = Field(description="The last round that is not lost; null if all are.")
    continued_by: Label | None = Field(description="Id of the job that continues it; null if none yet.")


class Abort(BaseModel):
    """Who aborted a job, and when."""

    by: Label = Field(description="The user's name.")
    time: Moment = Field(description="Unix time in seconds.")


class SecondStart(BaseModel):
    """The two starts of one site's kit; the first works, the second waits."""

    first: Label = Field(description="Where the first runs: process and, for its own site, the address seen.")
    second: Label = Field(description="Where the second runs.")
    since: Moment = Field(description="Since when the second tries to join; Unix time in seconds.")

    def without_addresses(self) -> SecondStart:
        """Return a copy without addresses, for users of other organizations."""
        first, second = (text.partition(ADDRESS)[0] for text in (self.first, self.second))
        return SecondStart(first=first, second=second, since=self.since)


class JobStatus(BaseModel):
    """A job."""

    job_id: Label
    name: Label
    status: Label = Field(description="FLARE's, such as `RUNNING` or `FINISHED:COMPLETED`.")
    progress: JobProgress | None = Field(default=None, description="While it runs.")
    ended: Ended | None = Field(default=None, description="How it ended.")
    interruption: Interruption | None = None
    second_starts: dict[Label, SecondStart] = Field(
        default_factory=dict, description="The sites that were started in two places, while it runs."
    )
    aborted: Abort | None = None
    resumes: Label | None = Field(default=None, description="Id of the job that it resumes.")

    @property
    def went_wrong(self) -> bool:
        """Whether it ended otherwise than with success."""
        if self.ended is not None:
            return self.ended.kind != "success"
        return self.status.startswith("FINISHED") and self.status != "FINISHED:COMPLETED"

    def as_json(self) -> dict[str, Any]:
        """Return it for `json.dumps`, with what follows from it."""
        content = self.model_dump(mode="json")
        for reason, shown in zip(
            self.ended.reasons if self.ended else [], (content["ended"] or {}).get("reasons", []), strict=True
        ):
            shown["remedy"] = reason.remedy
        if self.interruption is not None:
            content["interruption"]["remedy"] = remedy_for(self.interruption.code)
        for start in content["second_starts"].values():
            start |= {"code": RefusalCode.SECOND_START.value, "remedy": remedy_for(RefusalCode.SECOND_START)}
        if self.progress is not None:
            content["progress"] |= {
                "awaited": self.progress.awaited,
                "seconds_left": self.progress.seconds_left,
            }
            for name, site in self.progress.sites.items():
                if site.problem is not None:
                    content["progress"]["sites"][name]["problem"]["remedy"] = remedy_for(
                        site.problem.code, site.problem.task
                    )
        return content


def describe_second_start(site: str, one: SecondStart) -> str:
    """Return a sentence about the two starts of a site, with the remedy."""
    return (
        f"site {site} was started twice: {one.first} works, and {one.second} waits for it to end. "
        f"What to do: {remedy_for(RefusalCode.SECOND_START)}"
    )
