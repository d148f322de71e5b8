"""What algorithms that follow a protocol of the hospitals do alike at the server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from consilium.errors import RefusalCode
from consilium.federation.exchange.answer_form import Absence
from consilium.federation.updates.attempt_pauses import AttemptPauses
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.secagg.blame import Blame
from consilium.secagg.errors import SecAggFailure
from consilium.secagg.survivor_policy import FEWEST_SURVIVORS

ResultT = TypeVar("ResultT")

PATIENCE_SECONDS: Final = 15.0
"""For the last of the sites, once enough have answered; a site that works asks for tasks more often."""

SILENCE_SECONDS: Final = 60.0
"""Of a site, after which the others' keys or shares are enough if they make the quorum: six heartbeats."""


def carry_out(step: Callable[[], ResultT]) -> ResultT:
    """Take a step of the protocol; where it fails, so does the attempt at the round.

    Raises:
        RejectedUpdate: If it fails.
    """
    try:
        return step()
    except SecAggFailure as error:
        raise RejectedUpdate(str(error)) from error


def name_absences(reasons: Mapping[str, str]) -> dict[str, Absence]:
    """Return sites that an attempt does without, as the record names them.

    Args:
        reasons: Site to the reason.
    """
    return {site: Absence(reason, RefusalCode.SECURE_AGGREGATION) for site, reason in reasons.items()}


def pause_spared(pauses: AttemptPauses, blame: Blame, sites: int) -> None:
    """Have the next attempts do without the sites that one could not be completed with, if enough remain.

    Args:
        pauses: Of the job.
        blame: Of the attempt.
        sites: How many took part in it.
    """
    if sites - len(blame.spared) >= FEWEST_SURVIVORS:
        pauses.add(blame.spared)
