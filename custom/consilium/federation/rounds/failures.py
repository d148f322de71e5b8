"""Reasons why a round does not count, and why a job ends early."""

from __future__ import annotations

from consilium.errors import ConsiliumError, RefusalCode


class FailedRound(ConsiliumError):
    """A failed round.

    Args:
        reason: For the operator.
        lasts: Whether another attempt would end like this one.
    """

    def __init__(self, reason: str, *, lasts: bool = False) -> None:
        super().__init__(f"{reason}; another attempt would give the same" if lasts else reason)
        self.lasts = lasts


class FailedJob(ConsiliumError):
    """A job that can't start or continue.

    Args:
        reason: For the operator.
        code: The kind of reason.
    """

    def __init__(self, reason: str, code: RefusalCode = RefusalCode.NO_QUORUM) -> None:
        super().__init__(reason)
        self.code = code


class AbortedJob(ConsiliumError):
    """An aborted job, with the time."""
