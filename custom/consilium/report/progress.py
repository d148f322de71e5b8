"""Where a job stands: what the server keeps in a file, tells its users, and leaves behind at the end."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from consilium.report.records import OutcomeKind, Resumption

PROGRESS_FILE = "progress.json"
"""Name of the file in the server's run folder."""


class Problem(BaseModel):
    """Why a site's answer to a task did not count."""

    reason: str
    task: str
    round: int = Field(description="From 1; 0 before the first.")
    time: float = Field(description="Unix time in seconds.")


class SiteState(BaseModel):
    """What one site said last, and what the server makes of its answers."""

    state: str = Field(default="", description="In the site's own words, a few of them.")
    done: int = 0
    total: int = 0
    loss: float | None = None
    since: float = Field(description="Since when it is in this state; Unix time in seconds.")
    heard: float = Field(default=0.0, description="When it last said something; Unix time in seconds.")
    answer: Literal["awaited", "taken", "refused", "none"] | None = Field(
        default=None, description="Its answer to the task that runs; null if it was not asked."
    )
    used: int | None = Field(default=None, description="Cases that it trains or validates on.")
    left_out: int | None = Field(default=None, description="Cases that it can't use.")
    rounds_used: int = Field(default=0, description="Rounds that its update is part of.")
    problem: Problem | None = Field(default=None, description="The last one.")

    def __str__(self) -> str:
        """Return, for example, `training 12/40`; empty until the site has said something."""
        return f"{self.state} {self.done}/{self.total}" if self.total else self.state


class LastCheckpoint(BaseModel):
    """The last round that outlives the server's processes."""

    round: int
    time: float = Field(description="Unix time in seconds.")
    seconds: float | None = Field(default=None, description="What it took to write.")


class Ended(BaseModel):
    """How a job ended."""

    kind: OutcomeKind
    reasons: list[str] = Field(default_factory=list)
    time: float = Field(description="Unix time in seconds.")


class JobProgress(BaseModel):
    """Where a job stands."""

    round: int = Field(default=0, description="The round that runs, from 1; 0 before the first.")
    rounds: int = 0
    attempt: int = Field(default=1, description="How often the round was begun.")
    started: float = Field(description="Unix time in seconds.")
    round_started: float | None = Field(default=None, description="Unix time in seconds.")
    round_seconds: float | None = Field(default=None, description="Mean of the rounds done by this process.")
    task: str = Field(default="", description="What the sites were asked for last.")
    until: float | None = Field(
        default=None, description="When the task is closed at the latest, Unix time in seconds; null: never."
    )
    sites: dict[str, SiteState] = Field(default_factory=dict)
    checkpoint: LastCheckpoint | None = None
    resumed: list[Resumption] = Field(
        default_factory=list, description="Jobs that this one goes on from, the first of them first."
    )
    ended: Ended | None = None
    now: float = Field(default_factory=time.time, description="The server's clock when this was written.")

    @property
    def awaited(self) -> list[str]:
        """The sites whose answer to the task is missing."""
        return sorted(name for name, site in self.sites.items() if site.answer == "awaited")

    @property
    def seconds_left(self) -> float | None:
        """How long the remaining rounds will take if they take as long as those before; None if unknown."""
        if self.round_seconds is None or self.round_started is None or self.ended:
            return None
        this_round = max(self.round_seconds - (self.now - self.round_started), 0.0)
        return (self.rounds - self.round) * self.round_seconds + this_round


def read_progress(folder: Path) -> JobProgress | None:
    """Read the progress file of a run folder; None while there is none yet."""
    try:
        return JobProgress.model_validate(json.loads((folder / PROGRESS_FILE).read_text()))
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
    return f"round {progress.round} of {progress.rounds}{left} | {sites}"
