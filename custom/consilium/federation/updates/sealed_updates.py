"""Intake of sealed updates: which sites accept each other, encrypted updates, and what one makes of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from consilium.aggregation.form import UpdateForm
from consilium.aggregation.rules import AggregationRule, AggregationSettings, euclidean_norm
from consilium.errors import RefusalCode
from consilium.federation.updates.intake import Aggregate, Contribution
from consilium.federation.updates.rejection_history import DeclinedQuestion, RejectedUpdate
from consilium.federation.updates.screening import Screening
from consilium.federation.updates.spool import UpdateSpool
from consilium.learning.algorithms.sealed_plan import (
    COMBINED,
    SEALED,
    UPDATE_NAME,
    AcceptanceAnswer,
    CombinedAnswer,
)
from consilium.learning.weights import MODEL, Weights
from consilium.sealed.merging import UpdateFault
from consilium.sealed.server_session import SealedServer
from consilium.secagg.errors import SecAggRefusal

_HEADER_BYTES = 64 * 1024
"""Of an encrypted update beside its numbers, and as much again for each of its arrays' names."""

_FAULTS: Final[Mapping[UpdateFault, str]] = {
    "unreadable": "can't be read",
    "cases": "has another number of training cases than its report",
    "form": "has another form than the model, or is not finite",
    "length": "is far longer than the others', or changes nothing",
}


class Acceptances:
    """Takes which sites accept the others.

    Args:
        session: The attempt.

    Attributes:
        unknown: Sites that don't know others of the attempt, each with these.
    """

    def __init__(self, session: SealedServer) -> None:
        self._session = session
        self.unknown: dict[str, list[str]] = {}

    def add(self, site: str, contribution: Contribution) -> None:
        """Take a site's answer.

        Raises:
            DeclinedQuestion: If it does not know others of the attempt.
            RejectedUpdate: If it is not awaited.
        """
        content = contribution.content
        assert isinstance(content, AcceptanceAnswer)
        if content.unknown:
            self.unknown[site] = content.unknown
            raise DeclinedQuestion(
                f"it did not pin the identities of {', '.join(content.unknown)}, or pinned others",
                code=RefusalCode.SECURE_AGGREGATION,
            )
        try:
            self._session.add_acceptance(site)
        except SecAggRefusal as error:
            raise RejectedUpdate(str(error)) from None

    def screen(self) -> dict[str, str]:
        """Reject no site."""
        return {}


class SealedUpdates:
    """Keeps the sites' encrypted updates on disk until the hospital with the turn gets them.

    Args:
        session: The attempt.
        shared: The weights that are averaged.
        screening: Compares a report with the job and with the site's preparation.
        folder: Where they are kept until `close`.

    Attributes:
        cases: Training cases that each site reports.
    """

    def __init__(self, session: SealedServer, shared: Weights, screening: Screening, folder: Path) -> None:
        self._session = session
        numbers = sum(np.asarray(value).nbytes for value in shared.values())
        self._most_bytes = numbers + (1 + len(shared)) * _HEADER_BYTES
        self._screening = screening
        self._spool = UpdateSpool(folder)
        self.cases: dict[str, int] = {}

    def add(self, site: str, contribution: Contribution) -> None:
        """Keep one site's encrypted update.

        Raises:
            RejectedUpdate: If it has another form, its report can't be right, or it is not awaited.
            OSError: If the server can't keep it.
        """
        report, sets = contribution.report, contribution.sets
        if report is None:
            raise RejectedUpdate("it has no report")
        self._screening.check_counts(site, report)
        if sets.get(MODEL) or sets.get(COMBINED) or sets.get(SEALED, {}).keys() != {UPDATE_NAME}:
            raise RejectedUpdate("it has something else than the encrypted update")
        sealed = sets[SEALED][UPDATE_NAME]
        if sealed.dtype != np.uint8 or sealed.ndim != 1 or not 0 < sealed.size <= self._most_bytes:
            raise RejectedUpdate(f"it is no encrypted update, or longer than {self._most_bytes / 1e6:.1f} MB")
        try:
            self._session.add_sealed(site)
        except SecAggRefusal as error:
            raise RejectedUpdate(str(error)) from None
        self._spool.keep(site, {UPDATE_NAME: sealed})
        self.cases[site] = report.train_cases or 0

    def screen(self) -> dict[str, str]:
        """Reject no site: the hospital with the turn compares updates."""
        return {}

    def read(self, sites: list[str]) -> dict[str, NDArray[Any]]:
        """Return the encrypted updates of some sites.

        Raises:
            OSError: If they can't be read.
        """
        return {site: self._spool.read(site, UPDATE_NAME) for site in sites}

    def close(self) -> None:
        """Remove them from the disk."""
        self._spool.close()


class CombinedUpdate:
    """Takes what the hospital with the turn makes of the updates.

    Args:
        turn: That hospital.
        cases: Training cases of the sites whose updates it was given.
        fewest: Of how many of them a mean has to be.
        shared: The weights that are averaged.
        rule: How they combine; the shares follow from it.

    Attributes:
        aggregate: What it is; None until it came.
        norm: Its Euclidean norm.
    """

    def __init__(
        self, turn: str, cases: Mapping[str, int], fewest: int, shared: Weights, rule: AggregationSettings
    ) -> None:
        self._turn = turn
        self._cases = dict(cases)
        self._fewest = fewest
        self._form = UpdateForm(shared)
        self._rule = rule
        self.aggregate: Aggregate | None = None
        self.norm = 0.0

    def add(self, site: str, contribution: Contribution) -> None:
        """Take the combined update.

        Raises:
            RejectedUpdate: If it has another form than the model, is not finite or changes nothing, or is
                not of enough of the updates.
        """
        content, sets = contribution.content, contribution.sets
        assert isinstance(content, CombinedAnswer)
        if site != self._turn or self.aggregate is not None:
            raise RejectedUpdate("it is not this site's turn to combine the updates, or it has")
        if sets.get(MODEL) or sets.get(SEALED):
            raise RejectedUpdate("it has something else than the combined update")
        combined = sets.get(COMBINED, {})
        fault = self._form.fault(combined)
        if fault is not None:
            raise RejectedUpdate(f"the combined update: {fault}")
        with np.errstate(over="ignore"):
            norm = euclidean_norm(list(combined.values()))
        if not norm or not math.isfinite(norm):
            raise RejectedUpdate("the combined update changes nothing, or its values are too large")
        left_out = content.left_out
        kept = {name: float(cases) for name, cases in self._cases.items() if name not in left_out}
        if not {*left_out} <= {*self._cases} or len(kept) < self._fewest:
            raise RejectedUpdate("the combined update is not of enough of the updates that were sent to it")
        shares = AggregationRule(self._rule, kept, dict.fromkeys(kept, norm)).shares
        reasons = {name: f"{site} says that its update {_FAULTS[one]}" for name, one in left_out.items()}
        self.aggregate, self.norm = Aggregate({MODEL: combined}, dict(shares), reasons), norm

    def screen(self) -> dict[str, str]:
        """Reject no site: what is wrong was rejected on arrival."""
        return {}
