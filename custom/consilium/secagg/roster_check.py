"""Checks of a roster that the server presents to a site."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from consilium.secagg.attempt_keys import is_low_order
from consilium.secagg.errors import SecAggRefusal, UnknownParties
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
        UnknownParties: Sites are not pinned, or their identities are others.
        SecAggRefusal: A signature is false or of another sum, two sites have one key, or the site's own entry
            is missing or changed.
    """
    if own not in roster.advertisements:
        raise SecAggRefusal("the roster lacks this site, or has other keys in its name")
    strangers: dict[str, str] = {}
    keys: list[bytes] = []
    for one in roster.advertisements:
        if one.context != roster.context:
            raise SecAggRefusal(f"the keys of {one.site} are of another job, round, attempt or parameters")
        pinned = fingerprints.get(one.site)
        if pinned is None:
            strangers[one.site] = (
                f"{one.site} is not among the hospitals that {own.site} pinned; first, at {own.site}: "
                "consilium identity pin"
            )
        elif fingerprint_of(one.identity) != pinned:
            strangers[one.site] = f"the identity of {one.site} is not the one that {own.site} pinned"
        if not is_signed(one.identity, one.statement, one.signature):
            raise SecAggRefusal(f"the keys of {one.site} are not signed by its identity")
        keys += [one.channel_key, one.mask_key]
    if strangers:
        raise UnknownParties("; ".join(strangers.values()), [*strangers])
    identities = {one.identity for one in roster.advertisements}
    if len({*keys}) < len(keys) or len(identities) < len(roster.advertisements):
        raise SecAggRefusal("two sites of the roster have the same key")


def check_newcomer(one: Advertisement, others: Iterable[Advertisement]) -> None:
    """Check at the server that a site's keys don't have every other site refuse the roster.

    Args:
        one: What the site advertised; its signature is right.
        others: What those before it advertised.

    Raises:
        SecAggRefusal: A key has a low order, or is there already.
    """
    keys = [one.channel_key, one.mask_key]
    known = [key for other in others for key in (other.channel_key, other.mask_key)]
    if any(is_low_order(key) for key in keys):
        raise SecAggRefusal(f"{one.site}: a key of low order, which has the same secret with every other")
    if len({*keys, *known}) < len(keys) + len(known):
        raise SecAggRefusal(f"{one.site}: a key that it, or another site, has advertised already")
