"""A site that was started in two places: what people are told, at the server and at the site."""

from __future__ import annotations

from pydantic import BaseModel, Field

from consilium.records.bounds import Label, Moment


class SecondStart(BaseModel):
    """The two starts of one site's kit; the first works, the second waits."""

    first: Label = Field(description="Where the first runs: process and address, as the server sees it.")
    second: Label = Field(description="Where the second runs.")
    since: Moment = Field(description="Since when the second tries to join; Unix time in seconds.")


def describe_second_start(site: str, one: SecondStart) -> str:
    """Say that a site was started in two places, and what to do about it."""
    return (
        f"site {site} was started twice: {one.first} works, and {one.second} waits for its end. A kit runs "
        "once: stop one of the two there (consilium site stop KIT). If that is the first, the second joins "
        "by itself within a minute; if one of them isn't yours, the kit is stolen"
    )
