"""Reports of the sites where only sums of them reach the server."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from pydantic import Field

from consilium.counts import counted
from consilium.records.bounds import MOST_BYTES, Loss, Record
from consilium.settings import MAX_SITES

ALL_SITES: Final = "all sites"
"""In place of a site's name: scores of all sites together, where only sums of them reach the server."""


class SummedReports(Record):
    """What the server knows of the sites' cases and losses where only sums leave them."""

    sites: int = Field(ge=1, le=MAX_SITES, description="In the sum.")
    cases: int = Field(ge=1, le=MOST_BYTES, description="Training cases that count, of all of them.")
    loss: Loss | None = Field(default=None, description="Mean over the sites, each with one vote.")
    clipped: int = Field(ge=0, le=MOST_BYTES, description="Values of updates that were clipped.")
    recovered: int = Field(
        default=0,
        ge=0,
        le=MAX_SITES,
        description="Sites that dropped out and whose masks were removed by shares of their keys, which the "
        "others had.",
    )


def name_scorers(sites: Collection[str]) -> str:
    """Return in words whose scores a mean is over.

    Example:
        >>> name_scorers(["north", "south"]), name_scorers([ALL_SITES])
        ('2 sites', 'all sites together')

    Args:
        sites: The names under which the scores are kept.
    """
    return f"{ALL_SITES} together" if ALL_SITES in sites else counted(len(sites), "site")
