"""Hospitals of a training whose turn failed, or whose updates are not in its model."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from consilium.errors import RefusalCode
from consilium.records.federation import FederationRecord, RoundRecord, SiteRound
from consilium.records.texts import clean_text

_ABSENT = ("refused", "excluded", "no answer")


@dataclass(frozen=True)
class MissedTurns:
    """Turns that a hospital missed for the same reason.

    Attributes:
        site: The hospital.
        rounds: In which rounds, from 1.
        reason: Why.
        code: The kind of reason.
    """

    site: str
    rounds: tuple[int, ...]
    reason: str
    code: RefusalCode | None


def note_missed_turn(record: RoundRecord, reason: str) -> None:
    """Record that an attempt at a round failed whose only training site was `record.turn`, if there was one.

    Args:
        record: Of the round, with the sites' answers.
        reason: Why the attempt failed.
    """
    if record.turn is None:
        return
    answer = record.sites.get(record.turn)
    if answer is None:
        missed = SiteRound(
            outcome="no answer",
            reason="it was not connected when the others were asked",
            code=RefusalCode.NOT_CONNECTED,
        )
    elif answer.outcome in _ABSENT:
        missed = answer.model_copy(update={"report": None})
    elif answer.outcome == "evaluated":
        missed = SiteRound(outcome="refused", reason="it sent no update", code=RefusalCode.ANSWER)
    else:
        why = clean_text(f"its update was not used: {reason}")
        missed = SiteRound(outcome="refused", reason=why, code=RefusalCode.NO_UPDATE)
    record.missed_turns = {**record.missed_turns, record.turn: missed}


def list_missed_turns(record: FederationRecord) -> list[MissedTurns]:
    """Return the turns that hospitals missed, by hospital and reason.

    Without those of rounds from which the hospital is absent altogether, as that is a reason by itself, and
    of rounds in which it trained in a later attempt, as it missed nothing then.
    """
    found = defaultdict[tuple[str, str, RefusalCode | None], list[int]](list)
    for one in record.rounds:
        for site, missed in one.missed_turns.items():
            if site not in one.sites or one.sites[site].outcome not in (*_ABSENT, "trained"):
                found[site, missed.reason or missed.outcome, missed.code].append(one.number)
    return [
        MissedTurns(site, tuple(rounds), reason, code)
        for (site, reason, code), rounds in sorted(found.items(), key=lambda one: one[0][:2])
    ]


def sites_without_update(record: FederationRecord) -> list[str]:
    """Return the sites that train and took part, and have no update with a weight in a round that counts.

    A site that is absent from every round is none of them: its absence is a reason by itself. Neither is any
    where no round counts, as then no site has an update in the model, or where the job has not finished, as
    then there is no final model.
    """
    if record.status != "finished":
        return []
    kept = [one.sites for one in record.rounds if one.rolled_back is None]
    if not kept:
        return []
    rounds = [one.sites for one in record.rounds]
    able = {
        site
        for sites in (record.preparation, *rounds)
        for site, one in sites.items()
        if one.report is not None and one.report.role == "trains"
    }
    present = {
        site for sites in rounds for site, one in sites.items() if one.outcome in ("trained", "evaluated")
    }
    given = {
        site for sites in kept for site, one in sites.items() if one.outcome == "trained" and one.weight != 0
    }
    return sorted(able & present - given)
