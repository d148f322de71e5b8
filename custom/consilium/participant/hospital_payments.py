"""Payments for noise that hides the hospital as a whole, and what each round's update is hidden by."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from consilium.counts import counted
from consilium.errors import RefusalCode, SiteRefusal, TrainingError
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.noisy_update import hide_hospital
from consilium.learning.weights import Weights
from consilium.participant.register_files import read_register
from consilium.participant.site_data import SiteData
from consilium.participant.site_settings import SiteSettings
from consilium.privacy.accounting import epsilon_spent, is_within
from consilium.privacy.hospital_noise import USUAL_HOSPITAL_DELTA, RoundNoise
from consilium.privacy.ledger import PrivacyLedger
from consilium.privacy.ledger_entry import LedgerContent, Payment
from consilium.privacy.mechanism import SampledGaussian
from consilium.privacy.spending import hospital_mechanisms


def describe_uncovered(site: SiteSettings, algorithm: AlgorithmSettings) -> str | None:
    """Return what a job sends that a hospital's own noise would not cover; None if nothing.

    Args:
        site: What the hospital decides.
        algorithm: What the job decides about its algorithm.
    """
    declared = algorithm.declaration
    uncovered = sorted({*declared.sent, *declared.numbers, *declared.questions})
    if site.hospital_noise is None or not uncovered or algorithm.promise().secure_aggregation:
        return None
    return (
        f"it adds noise to its whole update (hospital_noise), and algorithm {algorithm.name!r} also sends "
        f"{', '.join(uncovered)}, which that noise doesn't cover"
    )


def require_coverable(site: SiteSettings, algorithm: AlgorithmSettings) -> None:
    """Decline a job that sends what a hospital's own noise would not cover; only settings are read.

    Args:
        site: What the hospital decides.
        algorithm: What the job decides about its algorithm.

    Raises:
        SiteRefusal: It does.
    """
    uncovered = describe_uncovered(site, algorithm)
    if uncovered is not None:
        raise SiteRefusal(uncovered, code=RefusalCode.PRIVACY_DEMAND)


class HospitalPayments:
    """Pays for each attempt at a round in which noise hides the hospital, as a unit of its own.

    The noise is the hospital's own, added at the site; or, by secure aggregation, that of the sum, if it is
    at least as much by what the hospital itself assumes of the others. Nothing of it counts as a protection
    of a patient.

    Args:
        site: What the hospital decides.
        data: The site's cases.
        of_sum: Returns the noise multiplier of the sum that the update is part of, by the hospital's own
            policy; None where there is no sum, or no noise in it.
        job: The job's id.
        run: Id of the job that the training began with; another one than `job` where it was resumed.
    """

    def __init__(
        self,
        site: SiteSettings,
        data: SiteData,
        of_sum: Callable[[], float | None] = lambda: None,
        *,
        job: str,
        run: str,
    ) -> None:
        self._site = site
        self._own = site.hospital_noise
        self._data = data
        self._job, self._run = job, run
        self._of_sum = of_sum
        self._paid: RoundNoise | None = None

    @property
    def noise_multiplier(self) -> float | None:
        """How strong the noise of this job is, in norms that the update is clipped to; None for none."""
        chosen = self._choose()
        return None if chosen is None else chosen.mechanism.noise_multiplier

    def admit(self, rounds: int) -> None:
        """Decline a job whose rounds would pass the hospital's own budget.

        Args:
            rounds: Those that are still to be trained.

        Raises:
            SiteRefusal: They would, or the ledger can't be used.
        """
        chosen = self._choose()
        if chosen is not None and rounds:
            more = chosen.mechanism.repeat(rounds)
            self._require_budget(self._ledger.read(), more, counted(rounds, "round"))

    def pay(self, round_index: int) -> None:
        """Pay for an attempt at a round, of which nothing has left before.

        Args:
            round_index: The round, from 0.

        Raises:
            SiteRefusal: The budget doesn't allow it, or the ledger can't be used.
        """
        self._paid, chosen = None, self._choose()
        if chosen is None:
            return
        register = read_register(self._site)
        patients = frozenset(register.pseudonym(case.patient) for case in self._data.train)
        delta = self._own.delta if self._own else USUAL_HOSPITAL_DELTA
        self._ledger.pay(
            Payment(
                job=self._job,
                run=self._run,
                round_index=round_index,
                mechanisms=(chosen.mechanism,),
                delta=delta,
                patients=patients,
                unit="hospital",
            ),
            lambda content: self._require_budget(content, chosen.mechanism, "this round"),
        )
        self._paid = chosen

    def protect(self, update: Weights) -> Weights:
        """Return an update of the round that was paid last as it leaves; each payment is for one update.

        Args:
            update: The change of every shared weight.

        Raises:
            TrainingError: If it isn't paid for, or can't be clipped.
        """
        if self._choose() is None:
            return update
        paid, self._paid = self._paid, None
        if paid is None:
            raise TrainingError("no update leaves whose noise the site's ledger has not paid")
        return update if paid.added is None else hide_hospital(update, paid.added)

    def close(self) -> None:
        """Close the ledger's file; a later payment opens it again."""
        if "_ledger" in vars(self):
            self._ledger.close()

    def _choose(self) -> RoundNoise | None:
        """The stronger of the hospital's own noise and the sum's; None without any, or without training."""
        if not self._data.train:
            return None
        return RoundNoise.stronger(self._own, self._of_sum())

    @cached_property
    def _ledger(self) -> PrivacyLedger:
        return PrivacyLedger(self._site.state_dir, read_register(self._site).ledger_key)

    def _require_budget(self, content: LedgerContent, more: SampledGaussian, what: str) -> None:
        own = self._own
        before = hospital_mechanisms(content)
        if own is None or own.epsilon is None or is_within((*before, more), own.delta, own.epsilon):
            return
        spent, then = (epsilon_spent(each, own.delta) for each in (before, (*before, more)))
        raise SiteRefusal(
            f"this would pass the privacy budget of the hospital as a whole, with {what}: allowed "
            f"{own.epsilon:g}, spent {spent:.4g}, then {then:.4g} (delta {own.delta:g})",
            code=RefusalCode.PRIVACY_BUDGET,
        )
