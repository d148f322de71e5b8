"""Waiting in tests: for a condition, with a deadline that only a fault reaches."""

import time
from collections.abc import Callable
from typing import Any

DEADLINE_SECONDS = 420
"""Enough for a federation on a machine that other tests load."""


def wait_until(
    condition: Callable[[], Any], what: str, seconds: float = DEADLINE_SECONDS, pause: float = 0.05
) -> Any:
    """Look until a condition holds, and return what it gave.

    Args:
        condition: Gives something true once it holds.
        what: What is waited for; it begins the message of a failure.
        seconds: The deadline.
        pause: Seconds between two looks.

    Raises:
        AssertionError: If it does not hold within the deadline.
    """
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(pause)
    return result
