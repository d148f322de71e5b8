"""Where a site keeps what has to outlive its processes while a training runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

from nvflare.apis.job_def import is_valid_job_id

from consilium.data.files import private_folder

LOCAL_ONLY_FOLDER: Final = "local_only"
"""In a training's memory: the local-only model after its last rounds, and what it scores."""

_FOLDER: Final = "runs"
_JOB: Final = "job_{}"
"""Empty file in a training's memory: this job took part in it."""

_KEPT: Final = 3
"""Trainings whose memory is kept: an interrupted one may be resumed after another has run."""


def memory_of_run(cache_dir: Path, run: Any, job: str) -> Path | None:
    """Return the folder for a training's memory, and remove those of the oldest trainings.

    Args:
        cache_dir: The site's.
        run: The id of the job that the training began with, as the server tells it. It comes over the wire
            and becomes the name of a folder, so anything but a job id means no memory; the simulator's jobs
            have no such id.
        job: The job that goes on with it: the same, or one that resumes it.
    """
    if not _is_id(run) or not _is_id(job):
        return None
    folder = private_folder(private_folder(cache_dir / _FOLDER) / str(run))
    (folder / _JOB.format(job)).touch(mode=0o600)
    folder.touch()  # it is the youngest now
    for old in sorted(folder.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def find_memory(cache_dir: Path, job: str) -> Path | None:
    """Return the memory of the training that a job has taken part in here; None if there is none.

    Args:
        cache_dir: The site's.
        job: The job that runs.
    """
    if not _is_id(job):
        return None
    return next((path.parent for path in (cache_dir / _FOLDER).glob(f"*/{_JOB.format(job)}")), None)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and bool(is_valid_job_id(value))
