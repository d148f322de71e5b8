"""Cautions about rounds that don't count, and about hospitals without an update in the model."""

from __future__ import annotations

from collections.abc import Iterator

from consilium.counts import counted
from consilium.errors import RefusalCode
from consilium.records.federation import FederationRecord
from consilium.records.remedies import remedy_for
from consilium.records.turns import list_missed_turns, sites_without_update


def about_rounds(federation: FederationRecord) -> Iterator[str]:
    """Yield one sentence for each round that was dropped, turn that failed, and hospital without an update.

    Args:
        federation: What the server wrote down.
    """
    dropped = (one for one in federation.rounds if one.rolled_back is not None)
    yield from (f"Round {one.number} was dropped: {one.rolled_back}." for one in dropped)
    for missed in list_missed_turns(federation):
        where = f"round{'s'[: len(missed.rounds) - 1]} {', '.join(map(str, missed.rounds))}"
        yield (
            f"{missed.site} missed {counted(len(missed.rounds), 'turn')}, in {where}: "
            f"{missed.reason.rstrip('.')}. What to do: {remedy_for(missed.code, 'train')}."
        )
    for site in sites_without_update(federation):
        yield (
            f"No update of {site} is in the final model, although it trains: the model learned nothing from "
            f"its patients. What to do: {remedy_for(RefusalCode.NO_UPDATE)}."
        )
