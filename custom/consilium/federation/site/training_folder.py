"""Directory of one training at a site: per-round state that survives restarts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

from nvflare.apis.job_def import is_valid_job_id

from consilium.data.files import private_folder

LOCAL_ONLY_FOLDER: Final = "local_only"
"""In a training's memory: the local-only model after its last rounds, and what it scores."""

_FOLDER: Final = "runs"
_KEPT: Final = 3
"""Trainings whose memory is kept: an interrupted one may be resumed after another has run."""


def training_folder(cache_dir: Path, run: Any) -> Path | None:
    """Return the folder for a training's memory, and remove those of the oldest trainings.

    Args:
        cache_dir: The site's.
        run: The id of the job that the training began with, as the server reports it. It comes over the wire
            and becomes the name of a folder, so anything but a job id means no memory; the simulator's jobs
            have no such id.
    """
    if not isinstance(run, str) or not is_valid_job_id(run):
        return None
    folder = private_folder(private_folder(cache_dir / _FOLDER) / run)
    folder.touch()  # it is the youngest now
    for old in sorted(folder.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return folder
