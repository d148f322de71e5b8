"""Counts how often files are opened, by whatever in this process: Python says so to an audit hook."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_counting: list[tuple[str, "Counter[str]"]] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _counting and isinstance(arguments[0], str | bytes):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        for folder, counts in _counting:
            if path.startswith(folder):
                counts[os.path.relpath(path, folder)] += 1


sys.addaudithook(_hook)


@contextmanager
def count_openings(folder: Path) -> Iterator["Counter[str]"]:
    """Count the openings of each file under a folder, by its relative path."""
    counts: Counter[str] = Counter()
    entry = (f"{os.path.realpath(folder)}{os.sep}", counts)
    _counting.append(entry)
    try:
        yield counts
    finally:
        _counting.remove(entry)
