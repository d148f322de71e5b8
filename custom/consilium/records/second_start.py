"""Record of a site that was started in two places."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, Field

from consilium.errors import RefusalCode
from consilium.records.bounds import Label, Moment
from consilium.records.remedies import remedy_for

ADDRESS: Final = " at "
"""Separates a process from its address."""


class SecondStart(BaseModel):
    """The two starts of one site's kit; the first works, the second waits."""

    first: Label = Field(description="Where the first runs: process and, for its own site, the address seen.")
    second: Label = Field(description="Where the second runs.")
    since: Moment = Field(description="Since when the second tries to join; Unix time in seconds.")

    def without_addresses(self) -> SecondStart:
        """Return what others than the site and the server's own people may see of it."""
        first, second = (text.partition(ADDRESS)[0] for text in (self.first, self.second))
        return SecondStart(first=first, second=second, since=self.since)


def describe_second_start(site: str, one: SecondStart) -> str:
    """Return a sentence about the two starts of a site, with the remedy."""
    return (
        f"site {site} was started twice: {one.first} works, and {one.second} waits for it to end. "
        f"What to do: {remedy_for(RefusalCode.SECOND_START)}"
    )
