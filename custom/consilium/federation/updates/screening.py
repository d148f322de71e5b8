"""Screening of updates: counts, norm and repetition."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping
from statistics import median

import numpy as np
from pydantic import Field

from consilium.aggregation.outliers import find_outliers
from consilium.counts import counted
from consilium.errors import RefusalCode
from consilium.federation.component_state import DurableState
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.learning.schedule import Schedule
from consilium.learning.weights import Weights
from consilium.records.federation import SiteReport
from consilium.settings import Settings
from consilium.tasks.learning_settings import LearningSettings

_DIGEST_BYTES = 16


class ScreeningSettings(Settings):
    """A job's limits for updates."""

    max_norm_ratio: float | None = Field(
        default=6.0,
        ge=2,
        le=1e6,
        description="Times the others' norm that an update's norm may always be; null: no limit.",
    )
    max_case_change: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share by which a site's training cases may differ from those that it prepared with.",
    )
    max_refusals: int | None = Field(
        default=3,
        ge=1,
        le=10_000,
        description="Rejected answers in a row after which a site is not asked to train; null: no limit.",
    )


class Screening:
    """Checks of each update against the job's settings, the round's others and earlier rounds.

    Norms are compared as *paces*: an update's Euclidean norm over the root of the sum of the squared learning
    rates of its steps. That is the expected length of a random walk with these steps, so a pace hardly
    depends on the round or on a site's number of steps.

    Args:
        settings: The job's limits.
        learning: The job's learning settings.
        rounds: How many rounds the job trains.
    """

    def __init__(self, settings: ScreeningSettings, learning: LearningSettings, rounds: int) -> None:
        self.settings = settings
        self._learning = learning
        self._rounds = rounds
        self._prepared: dict[str, int] = {}
        self._seen: dict[str, tuple[int, str]] = {}
        self._last_pace: float | None = None

    @property
    def prepared(self) -> Mapping[str, int]:
        """Training cases of each site, as it reported them in its preparation."""
        return dict(self._prepared)

    def note_prepared(self, site: str, cases: int) -> None:
        """Record the number of training cases that a site reports in its preparation."""
        self._prepared[site] = cases

    def share_of_cases(self, sites: Collection[str]) -> float:
        """Return the share of all prepared training cases that these sites have; 1 if none are known.

        Args:
            sites: Their names.
        """
        total = sum(self._prepared.values())
        return sum(self._prepared.get(site, 0) for site in sites) / total if total else 1.0

    def check_counts(self, site: str, report: SiteReport) -> None:
        """Compare a site's report of its training with the job's settings and with its preparation.

        Raises:
            RejectedUpdate: If the counts are impossible.
        """
        if report.role != "trains" or not report.train_cases:
            raise RejectedUpdate(
                f"it comes from {counted(report.train_cases, 'training case')} of a site that {report.role}"
            )
        before = self._prepared.setdefault(site, report.train_cases)
        allowed = max(1.0, self.settings.max_case_change * before)
        if abs(report.train_cases - before) > allowed:
            raise RejectedUpdate(
                f"it comes from {counted(report.train_cases, 'training case')}, and the site had prepared "
                f"{before}; "
                f"they may differ by {allowed:.0f} (screening.max_case_change)"
            )
        # A case may be left out while a round runs, whose steps were counted before.
        fewest, most = sorted(self._learning.steps_per_round(cases) for cases in (before, report.train_cases))
        if self._learning.round_minutes is not None:
            fewest = 1  # a slow site does what it can in the time
        if not fewest <= report.steps <= most:
            expected = str(most) if fewest == most else f"{fewest} to {most}"
            raise RejectedUpdate(
                f"it reports {counted(report.steps, 'step')} of training, and the job asks for {expected}"
            )

    def check_repetition(self, site: str, update: Weights, round_index: int) -> None:
        """Compare an update with all earlier ones, and remember it.

        A site may repeat an update in the same round: a repeated round draws the same patches.

        Raises:
            RejectedUpdate: If it is the same as another, bit by bit.
        """
        seen = self._seen.setdefault(_digest(update), (round_index, site))
        if seen == (round_index, site):
            return
        if seen[0] == round_index:
            raise RejectedUpdate(
                "it is the same as another site's of this round, as if from the same data",
                code=RefusalCode.REPEATED_UPDATE,
            )
        whose = "its own" if seen[1] == site else "another site's"
        raise RejectedUpdate(
            f"it is the same as {whose} of round {seen[0] + 1}", code=RefusalCode.REPEATED_UPDATE
        )

    def pace(self, norm: float, steps: int, round_index: int) -> float:
        """Return an update's norm in terms of its learning rates; see the class."""
        return norm / math.sqrt(sum(rate**2 for rate in self.rates(steps, round_index)))

    def rates(self, steps: int, round_index: int) -> list[float]:
        """Return the learning rates of a round's steps; of one that time ended, as if they were all of it."""
        schedule = Schedule(round_index, self._rounds)
        return [schedule.rate(self._learning, step, steps) for step in range(steps)]

    def outliers(self, paces: Mapping[str, float]) -> dict[str, str]:
        """Return the sites whose updates are far longer than the others', each with the reason.

        Args:
            paces: Of this round, by site.
        """
        ratio = self.settings.max_norm_ratio
        return {} if ratio is None else find_outliers(paces, ratio, before=self._last_pace)

    def accept(self, paces: Mapping[str, float]) -> None:
        """Record the paces of the updates that made a round."""
        if paces:
            self._last_pace = median(paces.values())

    def state(self) -> DurableState:
        """Return the state for a checkpoint."""
        return DurableState(
            {
                "prepared": dict(self._prepared),
                "seen": {digest: list(who) for digest, who in self._seen.items()},
                "pace": self._last_pace,
            }
        )

    def restore(self, state: DurableState) -> None:
        """Resume from a `state`."""
        values = state.values
        self._prepared = {str(site): int(cases) for site, cases in values["prepared"].items()}
        self._seen = {
            str(digest): (int(index), str(site)) for digest, (index, site) in values["seen"].items()
        }
        self._last_pace = None if values["pace"] is None else float(values["pace"])


def _digest(update: Weights) -> str:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for name in sorted(update):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(update[name]).data)
    return digest.hexdigest()
