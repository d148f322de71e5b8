"""What a site's own machine knows of its standing at the server: started twice, or disabled there."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from consilium.data.files import private_folder, write_atomically
from consilium.records.job_status import SecondStart

SECOND_START_FILE: Final = Path("consilium/second_start.json")
"""In the site's workspace: the last that the server said of a second start; written again each minute."""

LOG_FILE: Final = "log.txt"
"""FLARE's log in the site's workspace."""

_SECONDS_VALID: Final = 150.0
"""After so long without another notice, there is one start again."""

_LOG_BYTES: Final = 1 << 16
_REGISTERED: Final = "Successfully registered"


def save_second_start(workspace: Path, start: SecondStart) -> None:
    """Write into a site's workspace that it was started twice.

    Raises:
        OSError: If it can't be written.
    """
    path = workspace / SECOND_START_FILE
    private_folder(path.parent)
    write_atomically(path, start.model_dump_json().encode(), durable=False)


def read_second_start(workspace: Path) -> SecondStart | None:
    """Return the two starts of a site, if the server has recently reported them."""
    path = workspace / SECOND_START_FILE
    try:
        if time.time() - path.stat().st_mtime > _SECONDS_VALID:
            return None
        return SecondStart.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def is_shut_out(workspace: Path, site: str) -> bool:
    """Return whether a site's log ends with the server's refusal; nothing else at the site knows of one.

    Args:
        workspace: The site's.
        site: Its name.
    """
    try:
        with (workspace / LOG_FILE).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_BYTES))
            text = log.read().decode(errors="replace")
    except OSError:
        return False  # it has never run
    return text.rfind(f"'{site}' is disabled") > text.rfind(_REGISTERED)
