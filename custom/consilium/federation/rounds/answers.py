"""What the sites have answered to the task that runs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from nvflare.app_common.abstract.fl_model import FLModel
from pydantic import ValidationError

from consilium.errors import ConsiliumError
from consilium.federation.tasks import PREPARE, REPORT_META
from consilium.report.model_comparison import KEY_METRIC
from consilium.report.records import SiteReport, SiteRound

_NOT_A_SCORE = "validation_cases"


class RefusedAnswer(ConsiliumError):
    """A site's answer can't be used; the reason is for the operator and the site."""


class Answers:
    """Keeps the sites' answers to one task, and how many cases each site ever said it has.

    Attributes:
        task: The task that runs.
        round_index: The round that it belongs to, from 0.
        sites: What became of each site's answer.
        scores: Of the weights that the sites received, by site.
        cases: Training cases of every site that ever said how many.
    """

    def __init__(self) -> None:
        self.task = PREPARE
        self.round_index = 0
        self.sites: dict[str, SiteRound] = {}
        self.scores: dict[str, dict[str, float]] = {}
        self.cases: dict[str, int] = {}

    def expect(
        self, task: str, round_index: int, sites: list[str], excluded: Mapping[str, str] | None = None
    ) -> None:
        """Forget the answers to the task before.

        Args:
            task: The task that begins.
            round_index: Its round, from 0.
            sites: Who is asked.
            excluded: Who is not, each with the reason.
        """
        self.task, self.round_index = task, round_index
        self.scores = {}
        self.sites = {site: SiteRound(outcome="no answer") for site in sites}
        self.sites |= {
            site: SiteRound(outcome="excluded", reason=reason) for site, reason in (excluded or {}).items()
        }

    def read(self, site: str, answer: FLModel) -> SiteReport:
        """Read a site's report, and keep its scores of the weights that it received.

        Raises:
            RefusedAnswer: If the report can't be read, or a score is not finite.
        """
        try:
            report = SiteReport.model_validate(answer.meta.get(REPORT_META))
        except ValidationError as error:
            raise RefusedAnswer(f"its report can't be read: {error.error_count()} wrong field(s)") from None
        metrics = answer.metrics or {}
        if KEY_METRIC in metrics:
            scores = {str(name): float(value) for name, value in metrics.items() if name != _NOT_A_SCORE}
            if not all(np.isfinite(value) for value in scores.values()):
                raise RefusedAnswer("its scores are not finite")
            self.scores[site] = scores
        return report

    def note(self, site: str, state: SiteRound) -> None:
        """Take note of an answer that counts."""
        self.sites[site] = state
        if state.report is not None:
            self.cases[site] = state.report.train_cases

    def refuse(self, site: str, reason: str) -> None:
        """Take note of an answer that doesn't."""
        known = self.sites.get(site, SiteRound(outcome="refused"))
        self.sites[site] = known.model_copy(update={"outcome": "refused", "reason": reason})

    def close(self) -> None:
        """Say of whoever has not answered that they were too late."""
        for one in self.sites.values():
            if one.outcome == "no answer" and one.reason is None:
                one.reason = "it had not answered when the round was closed"

    @property
    def trained(self) -> list[str]:
        """The sites whose updates were taken."""
        return [site for site, one in self.sites.items() if one.outcome == "trained"]

    @property
    def able(self) -> list[str]:
        """The sites that say that they can train."""
        return [site for site, one in self.sites.items() if one.report and one.report.role == "trains"]

    @property
    def skipped(self) -> list[str]:
        """The sites whose part is missing."""
        return sorted(site for site, one in self.sites.items() if one.outcome in ("refused", "no answer"))

    def explain_others(self, useful: list[str]) -> str:
        """Say in words why the other sites than these are no use."""
        others = [
            f"{site}: {one.reason or _in_words(one)}"
            for site, one in sorted(self.sites.items())
            if site not in useful
        ]
        return "; ".join(others) or "no other site is connected"


def _in_words(answer: SiteRound) -> str:
    return "it only evaluates" if answer.outcome in ("ready", "evaluated") else answer.outcome
