"""Checks of a roster that the server presents to a site."""

from __future__ import annotations

from collections.abc import Mapping

from consilium.secagg.errors import SecAggRefusal
from consilium.secagg.identity import fingerprint_of, is_signed
from consilium.secagg.messages import Advertisement, Roster


def check_roster(roster: Roster, fingerprints: Mapping[str, bytes], *, own: Advertisement) -> None:
    """Check that a roster is of hospitals that a site pinned, and has its own keys.

    Args:
        roster: As the server sent it.
        fingerprints: Names of the pinned hospitals and of the site itself, with the fingerprints of their
            identities.
        own: What the site advertised.

    Raises:
        SecAggRefusal: A site is not pinned or its identity is another, a signature is false or of another
            sum, two sites have one key, or the site's own entry is missing or changed.
    """
    if own not in roster.advertisements:
        raise SecAggRefusal("the roster lacks this site, or has other keys in its name")
    keys: list[bytes] = []
    for one in roster.advertisements:
        if one.context != roster.context:
            raise SecAggRefusal(f"the keys of {one.site} are of another job, round, attempt or parameters")
        pinned = fingerprints.get(one.site)
        if pinned is None:
            raise SecAggRefusal(
                f"{one.site} is not among the hospitals that {own.site} pinned; first, at {own.site}: "
                "consilium identity pin"
            )
        if fingerprint_of(one.identity) != pinned:
            raise SecAggRefusal(f"the identity of {one.site} is not the one that {own.site} pinned")
        if not is_signed(one.identity, one.statement, one.signature):
            raise SecAggRefusal(f"the keys of {one.site} are not signed by its identity")
        keys += [one.channel_key, one.mask_key, one.identity]
    if len({*keys}) < len(keys):
        raise SecAggRefusal("two sites of the roster have the same key")
