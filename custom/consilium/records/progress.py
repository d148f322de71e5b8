"""Progress of a job: the server's file, its users' view, and the outcome."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from consilium.records.bounds import (
    MOST_CASES,
    Code,
    Label,
    LongReason,
    Loss,
    Moment,
    Reason,
    Record,
    RoundNumber,
    SiteLabel,
    Span,
    StepCount,
)
from consilium.records.federation import OutcomeKind, Resumption
from consilium.records.reading import read_record
from consilium.records.remedies import TASKS_AFTER_ROUNDS, remedy_for
from consilium.settings import MAX_SITES

MOST_REASONS: Final = 10_000

PROGRESS_FILE = "progress.json"
"""Name of the file in the server's run folder."""


class StateMessage(Record):
    """A site's message about its state."""

    state: Label = ""
    done: StepCount = 0
    total: StepCount = 0
    loss: Loss | None = None

    @model_validator(mode="after")
    def _is_within_total(self) -> Self:
        if self.done > self.total:
            raise ValueError("more is done than there is to do")
        return self


class _ProgressPart(BaseModel):
    """Base of the parts: a server of another version may say more than this one knows."""

    model_config = ConfigDict(allow_inf_nan=False)


class Problem(_ProgressPart):
    """Reason why a site's answer to a task did not count."""

    reason: Reason
    code: Code = None
    task: Label
    round: RoundNumber = Field(description="From 1; 0 before the first.")
    time: Moment = Field(description="Unix time in seconds.")


class SiteProgress(_ProgressPart):
    """Last state of a site, and the status of its answers."""

    state: Label = Field(default="", description="In the site's own words, a few of them.")
    done: StepCount = 0
    total: StepCount = 0
    loss: Loss | None = None
    since: Moment = Field(description="Since when it is in this state; Unix time in seconds.")
    heard: Moment = Field(default=0.0, description="When it last said something; Unix time in seconds.")
    answer: Literal["awaited", "taken", "refused", "none"] | None = Field(
        default=None, description="Its answer to the task that runs; null if it was not asked."
    )
    used: int | None = Field(
        default=None,
        ge=0,
        le=2 * MOST_CASES,
        description="Cases that it trains or validates on, as far as it says.",
    )
    left_out: int | None = Field(default=None, ge=0, description="Cases that it can't use.")
    rounds_used: RoundNumber = Field(default=0, description="Rounds that its update is part of.")
    problem: Problem | None = Field(default=None, description="The last one.")

    def __str__(self) -> str:
        """Return, for example, `training 12/40`; empty until the site has reported."""
        return f"{self.state} {self.done}/{self.total}" if self.total else self.state


class LastCheckpoint(_ProgressPart):
    """The last round that is kept across restarts of the server."""

    round: RoundNumber
    time: Moment = Field(description="Unix time in seconds.")
    seconds: Span | None = Field(default=None, description="What it took to write.")


class EndReason(_ProgressPart):
    """A problem in a job."""

    text: LongReason
    code: Code = None
    task: Label = Field(default="train", description="What a site had no part in.")

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return remedy_for(self.code, self.task)

    def __str__(self) -> str:
        """Return the text."""
        return self.text


class Ended(_ProgressPart):
    """Outcome of a job."""

    kind: OutcomeKind
    reasons: list[EndReason] = Field(default_factory=list, max_length=MOST_REASONS)
    time: Moment = Field(description="Unix time in seconds.")


class JobProgress(_ProgressPart):
    """Progress of a job."""

    round: RoundNumber = Field(default=0, description="The round that runs, from 1; 0 before the first.")
    rounds: RoundNumber = 0
    attempt: RoundNumber = Field(default=1, description="How often the round was begun.")
    started: Moment = Field(description="Unix time in seconds.")
    round_started: Moment | None = Field(default=None, description="Unix time in seconds.")
    round_seconds: Span | None = Field(default=None, description="Mean of the rounds done by this process.")
    task: Label = Field(default="", description="What the sites were asked for last.")
    until: Moment | None = Field(
        default=None, description="When the task is closed at the latest, Unix time in seconds; null: never."
    )
    deadline: Moment | None = Field(
        default=None, description="When the job ends at the latest, Unix time in seconds; null: never."
    )
    sites: dict[SiteLabel, SiteProgress] = Field(default_factory=dict, max_length=MAX_SITES)
    checkpoint: LastCheckpoint | None = None
    resumed: list[Resumption] = Field(
        default_factory=list, description="Jobs that this one resumes, the first of them first."
    )
    ended: Ended | None = None
    now: Moment = Field(default_factory=time.time, description="The server's clock when this was written.")

    @property
    def awaited(self) -> list[str]:
        """The sites whose answer to the task is missing."""
        return sorted(name for name, site in self.sites.items() if site.answer == "awaited")

    @property
    def rounds_are_done(self) -> bool:
        """Whether the job is in a task that comes after its last round."""
        return self.task in TASKS_AFTER_ROUNDS

    @property
    def seconds_left(self) -> float | None:
        """How long the remaining rounds will take if they take as long as those before; None if unknown."""
        if self.round_seconds is None or self.round_started is None or self.ended or self.rounds_are_done:
            return None
        this_round = max(self.round_seconds - (self.now - self.round_started), 0.0)
        return (self.rounds - self.round) * self.round_seconds + this_round


def read_progress(folder: Path) -> JobProgress | None:
    """Read the progress file of a run folder; None while there is none yet.

    Raises:
        ConfigurationError: If it can't be read.
    """
    try:
        return read_record(JobProgress, folder / PROGRESS_FILE)
    except FileNotFoundError:
        return None


def describe_progress(progress: JobProgress) -> str:
    """Return, for example, `round 2 of 5, about 1:10 left | aster training 12/40, birch sent`."""
    sites = ", ".join(f"{name} {str(site) or 'starting'}" for name, site in sorted(progress.sites.items()))
    sites = sites or "waiting for the sites"
    if progress.round == 0:  # before the first, or in a job without rounds
        return sites
    seconds = progress.seconds_left
    left = "" if seconds is None else f", about {int(seconds) // 60}:{int(seconds) % 60:02d} left"
    after = "after " if progress.rounds_are_done else ""
    return f"{after}round {progress.round} of {progress.rounds}{left} | {sites}"
