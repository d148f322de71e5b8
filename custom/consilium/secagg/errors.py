"""Errors of secure aggregation; their texts hold names of sites and counts only, so they may leave a site."""

from __future__ import annotations

from consilium.errors import ConsiliumError


class SecAggRefusal(ConsiliumError):
    """A message that its receiver, a site or the server, doesn't accept; its state is as before."""


class UnknownParties(SecAggRefusal):
    """A roster with sites that its receiver has not pinned, or pinned with other identities.

    Args:
        reason: As an error's text.
        sites: These sites, in order.
    """

    def __init__(self, reason: str, sites: list[str]) -> None:
        super().__init__(reason)
        self.sites = sites


class OpenedOtherwise(SecAggRefusal):
    """A sum of a round that was opened with other survivors or by other rules; it stays refused."""


class SecAggFailure(ConsiliumError):
    """An attempt that the server can't finish; the sum stays hidden, and another attempt may succeed."""
