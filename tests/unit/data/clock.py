"""The clock of files, which goes in steps of some milliseconds."""

import tempfile
import time
from pathlib import Path

DEADLINE_SECONDS = 10


def wait_for_later_times(folder: Path) -> None:
    """Return once what is written now has a later time than all that is in a folder."""
    latest = max(path.stat().st_ctime_ns for path in [folder, *folder.rglob("*")])
    end = time.monotonic() + DEADLINE_SECONDS
    with tempfile.NamedTemporaryFile(dir=folder.parent) as probe:
        path = Path(probe.name)
        while path.stat().st_ctime_ns <= latest:
            assert time.monotonic() < end, "the clock of files stands still"
            path.touch()
