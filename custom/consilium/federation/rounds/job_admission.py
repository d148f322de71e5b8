"""Admission of a training job, by the connected sites' recent readiness check."""

from __future__ import annotations

import time
from pathlib import Path

from nvflare.apis.workspace import Workspace
from pydantic import Field

from consilium.counts import counted
from consilium.errors import ConfigurationError
from consilium.records.readiness import ReadinessRecord, explain
from consilium.settings import MAX_SITES, Settings

_FOLDER = "consilium"


class AdmissionSettings(Settings):
    """Requirements of the readiness check before a training job starts."""

    min_ready: int = Field(
        default=2, ge=1, le=MAX_SITES, description="Connected sites that must be able to train."
    )
    max_age_hours: float = Field(default=24.0, gt=0, le=365 * 24, description="Age of the check at most.")


def readiness_path(workspace: Workspace, task: str) -> Path:
    """Return where the server keeps its last readiness check of a task, for every job to read."""
    return Path(workspace.get_root_dir()) / _FOLDER / f"readiness_{task}.json"


def rejection(path: Path, admission: AdmissionSettings, connected: list[str], task: str) -> str | None:
    """Return why a training job may not start; None if it may.

    A check that can't be read rejects the job, too.

    Args:
        path: The server's last readiness check.
        admission: The job's requirements.
        connected: The connected sites.
        task: What is to be learned.
    """
    how = f"submit the job {task}_check first"
    try:
        record = ReadinessRecord.load(path)
    except FileNotFoundError:
        return f"admission: there is no readiness check on this server; {how}"
    except (ConfigurationError, OSError) as error:
        return f"admission: the readiness check can't be read ({type(error).__name__}); {how}"
    hours = (time.time() - record.created) / 3600
    if not 0 <= hours <= admission.max_age_hours:
        return (
            f"admission: the readiness check is {hours:.1f} hours old, and {admission.max_age_hours:g} are "
            f"allowed; {how}"
        )
    ready = [name for name in record.able_to_train if name in connected]
    if len(ready) >= admission.min_ready:
        return None
    others = "; ".join(f"{name}: {explain(name, record)}" for name in sorted(connected) if name not in ready)
    away = ", ".join(name for name in record.able_to_train if name not in connected)
    return (
        f"admission: {len(ready)} of {counted(admission.min_ready, 'required site')} are ready; "
        f"{others or 'no other site is connected'}{away and f'; ready, but not connected: {away}'}"
    )
