"""A site that was started in two places: what people are told, at the server and at the site."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, Field

from consilium.records.bounds import Label, Moment

ADDRESS: Final = " at "
"""Between a process and where it is."""


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
    """Say that a site was started in two places, and what to do about it."""
    return (
        f"site {site} was started twice: {one.first} works, and {one.second} waits for its end. A kit runs "
        "once: stop one of the two there (consilium site stop KIT). If that is the first, the second joins "
        "by itself within a minute; if one of them isn't yours, the kit is stolen"
    )
