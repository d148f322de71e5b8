"""Payments of a site's patients for the rounds of one job, within what the hospital allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from consilium.counts import counted
from consilium.errors import ConfigurationError, RefusalCode, SiteRefusal
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.schedule import Schedule
from consilium.participant.register_files import read_register
from consilium.participant.site_data import SiteData
from consilium.participant.site_settings import SiteSettings
from consilium.privacy.accounting import epsilon_spent, is_within
from consilium.privacy.ledger import PrivacyLedger
from consilium.privacy.ledger_entry import LedgerContent, Payment
from consilium.privacy.mechanism import SampledGaussian
from consilium.privacy.promise import PrivacyPlan
from consilium.privacy.spending import PatientGroup, group_patients, largest_epsilon
from consilium.tasks.learning_settings import LearningSettings


def require_offer(site: SiteSettings, algorithm: AlgorithmSettings, *, sites: int) -> None:
    """Decline a job that offers less than the hospital demands; nothing but settings is read for it.

    Args:
        site: What the hospital decides.
        algorithm: What the job decides about its algorithm.
        sites: Fewest sites whose updates a round combines.

    Raises:
        SiteRefusal: It offers less.
    """
    shortfall = site.privacy.shortfall(algorithm.promise(), sites=sites)
    if shortfall is not None:
        raise SiteRefusal(shortfall, code=RefusalCode.PRIVACY_DEMAND)


class PrivacyPayments:
    """Pays for the rounds of one training, each attempt before its first step.

    A job that promises no epsilon spends what no budget can count: its rounds are entered without a
    mechanism, so that the hospital sees that it trained on them. What a job may spend is counted over the
    training: one that is resumed as a new job has spent what it had spent before.

    Args:
        site: What the hospital decides.
        data: The site's cases; the patients of its training cases pay.
        learning: What the job decides about training.
        algorithm: What it decides about its algorithm.
        job: The job's id.
        run: Id of the job that the training began with; another one than `job` where it was resumed.
    """

    def __init__(
        self,
        site: SiteSettings,
        data: SiteData,
        learning: LearningSettings,
        algorithm: AlgorithmSettings,
        *,
        job: str,
        run: str,
    ) -> None:
        self._demand = site.privacy
        self._learning = learning
        self._algorithm = algorithm
        self._job, self._run = job, run
        self._promise = algorithm.promise()
        register = read_register(site)
        self._patients = frozenset(register.pseudonym(case.patient) for case in data.train)
        self._links = frozenset(register.link(case.patient, case.id) for case in data.train)
        self._withdrawn = frozenset(map(register.pseudonym, data.withdrawn))
        self._ledger = PrivacyLedger(site.state_dir, register.ledger_key)

    def admit(self, rounds: int, *, left: int) -> None:
        """Enter who withdrew, and decline a job whose plan would pass the hospital's budget.

        Args:
            rounds: Rounds of the job.
            left: How many of them are still to be trained.

        Raises:
            SiteRefusal: It would, or the ledger can't be used.
            ConfigurationError: The job can't keep its promise here.
        """
        self._ledger.withdraw(self._withdrawn)
        plan = self._plan(rounds)
        if plan is not None:
            content = self._ledger.read()
            self._require_budget(content, plan, plan.over(left), counted(left, "round"))

    def pay(self, schedule: Schedule, *, hidden: bool = False) -> Schedule:
        """Enter an attempt at a round; returns its schedule, which states what was paid for.

        Args:
            schedule: The round.
            hidden: Whether noise hides the hospital as a whole, and so each patient: a job without noise of
                its own then reveals no patient without a bound, and the hospital's payment is enough.

        Raises:
            SiteRefusal: The budget doesn't allow it, or the ledger can't be used.
            ConfigurationError: The job can't keep its promise here.
        """
        plan = self._plan(schedule.rounds)
        if not self._patients or (plan is None and hidden):
            return schedule
        payment = Payment(
            job=self._job,
            run=self._run,
            round_index=schedule.round_index,
            mechanisms=() if plan is None else plan.each_round,
            delta=None if plan is None else plan.delta,
            patients=self._patients,
            links=self._links,
        )

        def allow(content: LedgerContent) -> None:
            if plan is not None:
                self._require_budget(content, plan, plan.each_round, "this round")

        self._ledger.pay(payment, allow)
        return replace(schedule, paid=payment.mechanisms)

    def close(self) -> None:
        """Close the ledger's file; a later payment opens it again."""
        self._ledger.close()

    def _plan(self, rounds: int) -> PrivacyPlan | None:
        """The mechanisms by which the promise is kept; None where there is nothing to keep.

        Raises:
            ConfigurationError: They don't keep it.
        """
        if self._promise.epsilon is None or not self._patients:
            return None
        plan = self._algorithm.privacy_plan(self._learning, rounds, len(self._patients))
        if plan is None or not plan.each_round:
            raise ConfigurationError("the job promises an epsilon, and has no plan that keeps it")
        if not is_within(plan.over(rounds), plan.delta, self._promise.epsilon):
            raise ConfigurationError(
                f"the job promises an epsilon of {self._promise.epsilon:g}, and its plan for "
                f"{counted(rounds, 'round')} has {epsilon_spent(plan.over(rounds), plan.delta):.4g}"
            )
        return plan

    def _require_budget(
        self, content: LedgerContent, plan: PrivacyPlan, more: Sequence[SampledGaussian], what: str
    ) -> None:
        demand, level = self._demand, self._promise.level
        training = content.of_training(self._job, self._run)
        groups = group_patients(content, among=self._patients, entries=training, links=self._links)
        # A plan is for the rounds that the server names. It may name others later, or repeat rounds at will.
        _require(
            groups,
            more,
            plan.delta,
            level.most,
            f"what a job with {level.value} protection may spend, with {what}",
        )
        if demand.job_epsilon is not None:
            allowed = f"the epsilon that it allows a job, with {what}"
            _require(groups, more, demand.delta, demand.job_epsilon, allowed)
        if demand.epsilon is not None:
            groups = group_patients(content, among=self._patients, links=self._links)
            budget = f"a patient's privacy budget here, with {what}"
            _require(groups, more, demand.delta, demand.epsilon, budget)


def _require(
    groups: Sequence[PatientGroup],
    more: Sequence[SampledGaussian],
    delta: float,
    allowed: float,
    what: str,
) -> None:
    """Decline what would pass a limit.

    Raises:
        SiteRefusal: It would, for one patient at least.
    """
    if all(is_within((*group.mechanisms, *more), delta, allowed) for group in groups):
        return
    spent = largest_epsilon(groups, delta)
    then = largest_epsilon(groups, delta, more=more)
    raise SiteRefusal(
        f"this would pass {what}: allowed {allowed:g}, spent {spent:.4g}, then {then:.4g} (delta {delta:g})",
        code=RefusalCode.PRIVACY_BUDGET,
    )
