"""Where a running job stands, read from the file that the server keeps."""

from __future__ import annotations

import json
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
