"""Where a running job stands, read from the file that the server keeps."""

from __future__ import annotations

import json
import time
from pathlib import Path

from pydantic import BaseModel, Field

PROGRESS_FILE = "progress.json"
"""Name of the file in the server's run folder."""


class SiteState(BaseModel):
    """What one site said last."""

    state: str
    done: int = 0
    total: int = 0
    loss: float | None = None
    since: float = Field(description="Unix time in seconds.")

    def __str__(self) -> str:
        """Return, for example, `training 12/40`."""
        return f"{self.state} {self.done}/{self.total}" if self.total else self.state


class JobProgress(BaseModel):
    """Where a job stands."""

    round: int = Field(description="The round that runs, from 1; 0 before the first.")
    rounds: int
    started: float = Field(description="Unix time in seconds; once rounds run, of the first one.")
    sites: dict[str, SiteState]


def read_progress(folder: Path) -> JobProgress | None:
    """Read the progress file of a run folder; None while there is none yet."""
    try:
        return JobProgress.model_validate(json.loads((folder / PROGRESS_FILE).read_text()))
    except FileNotFoundError:
        return None


def describe_progress(progress: JobProgress) -> str:
    """Return, for example, `round 2 of 5, about 1:10 left | aster training 12/40, birch sent`."""
    sites = ", ".join(f"{name} {state}" for name, state in sorted(progress.sites.items()))
    sites = sites or "waiting for the sites"
    if progress.round == 0:  # before the first, or in a job without rounds
        return sites
    elapsed = time.time() - progress.started
    left = ""
    if progress.round > 1:
        seconds = elapsed / (progress.round - 0.5) * (progress.rounds - progress.round + 0.5)
        left = f", about {int(seconds) // 60}:{int(seconds) % 60:02d} left"
    return f"round {progress.round} of {progress.rounds}{left} | {sites}"
