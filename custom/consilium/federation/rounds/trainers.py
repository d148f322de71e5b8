"""Sites of a job that train, by what they report."""

from __future__ import annotations

from collections.abc import Mapping

from consilium.records.federation import FederationRecord, SiteRound


def known_trainers(record: FederationRecord, answers: Mapping[str, SiteRound]) -> list[str]:
    """Return the sites whose last report says that they train, connected or not, by name.

    Args:
        record: Of the job; rounds of an interrupted job that it resumes came before its preparation.
        answers: To the last task.
    """
    before = record.resumed[-1].after_round if record.resumed else 0
    rounds = [one.sites for one in record.rounds]
    stages = [*rounds[:before], record.preparation, *rounds[before:], answers]
    roles = {site: one.report.role for stage in stages for site, one in stage.items() if one.report}
    return sorted(site for site, role in roles.items() if role == "trains")
