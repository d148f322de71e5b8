"""What a site's privacy ledger says, for the hospital: counts and epsilons, and no patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from consilium.participant.register_files import read_register
from consilium.participant.site_settings import SiteSettings
from consilium.participant.withdrawals import Withdrawals
from consilium.privacy.accounting import epsilon_spent
from consilium.privacy.ledger import PrivacyLedger
from consilium.privacy.ledger_entry import LedgerAddition, LedgerContent, LedgerEntry
from consilium.privacy.promise import PrivacyLevel
from consilium.privacy.spending import (
    PatientGroup,
    find_persons,
    group_patients,
    hospital_mechanisms,
    largest_epsilon,
)

_EDGES: Final = (0.0, 1.0, 3.0, 10.0, 100.0)
"""Lower ends of the ranges of epsilon that patients are counted in; the last one has no upper end."""


@dataclass(frozen=True)
class JobSpending:
    """What one job has spent, with the jobs that resumed it.

    Attributes:
        job: Its id; that of the first, where it was resumed.
        resumed_as: Ids of the jobs that resumed it and paid.
        begun: When it paid first, in UTC.
        rounds: Different rounds that it paid for.
        attempts: How often it paid: a repeated round pays again.
        patients: Patients who paid in it.
        epsilon: The largest of them, by this job alone; None without noise, which bounds nothing.
        level: What that epsilon is called: `none` without noise.
    """

    job: str
    resumed_as: tuple[str, ...]
    begun: str
    rounds: int
    attempts: int
    patients: int
    epsilon: float | None
    level: PrivacyLevel


@dataclass(frozen=True)
class EpsilonRange:
    """How many patients have spent an epsilon above `above`, up to `to`; None is without end."""

    above: float
    to: float | None
    patients: int


@dataclass(frozen=True)
class WithdrawalNote:
    """Patients who withdrew together.

    Attributes:
        time: When the ledger learned of it, in UTC.
        patients: How many they are.
        spent: How many of them a job had trained on before.
        again: How many of them a job has trained on since: their ids were taken off the list, or became
            others.
    """

    time: str
    patients: int
    spent: int
    again: int


@dataclass(frozen=True)
class HospitalSpending:
    """What jobs have spent of the hospital as a whole; its patients' budgets are separate.

    Attributes:
        jobs: Jobs in which noise hid the hospital.
        attempts: How often they paid.
        epsilon: By all of them together.
        delta: At which delta.
        budget: The hospital's; None for none.
    """

    jobs: int
    attempts: int
    epsilon: float
    delta: float
    budget: float | None

    @property
    def left(self) -> float | None:
        """What is left by the numbers; None without a budget."""
        return None if self.budget is None else max(self.budget - self.epsilon, 0.0)


@dataclass(frozen=True)
class LedgerSummary:
    """Summary of a ledger.

    Attributes:
        delta: At which delta epsilon is counted.
        budget: The hospital's; None for none.
        epsilon: The largest of all patients, by all jobs with noise.
        patients: Patients on whom a job has trained.
        unbounded: Those on whom a job without noise has trained: nothing bounds what was revealed about them.
        ranges: The others, by what they have spent.
        jobs: By job, in the order of their first payments.
        withdrawn: Entries of the list of withdrawn patients.
        withdrawals: Patients who withdrew, as far as a job has found their cases since.
        head: What stands for the whole ledger; empty where nothing was paid.
        hospital: Of the hospital as a whole; None where no noise has hidden it.
    """

    delta: float
    budget: float | None
    epsilon: float
    patients: int
    unbounded: int
    ranges: tuple[EpsilonRange, ...]
    jobs: tuple[JobSpending, ...]
    withdrawn: int
    withdrawals: tuple[WithdrawalNote, ...]
    head: str
    hospital: HospitalSpending | None = None

    @property
    def left(self) -> float | None:
        """What the patient with the largest epsilon may still spend by the numbers; None without a budget.

        The budget is of jobs with noise. A job without noise passes every budget, and its patients are
        `unbounded`.
        Epsilons of several jobs together are less than their sum, so a job of a somewhat larger epsilon fits.
        """
        return None if self.budget is None else max(self.budget - self.epsilon, 0.0)

    def as_json(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        return {**asdict(self), "left": self.left}


def read_ledger(site: SiteSettings) -> LedgerContent:
    """Read and verify a site's ledger.

    Raises:
        SiteRefusal: It can't be used.
        DataError: The site's register of patients, which has its key, can't be used.
    """
    return PrivacyLedger(site.state_dir, read_register(site).ledger_key).read()


def summarize_ledger(site: SiteSettings) -> LedgerSummary:
    """Summarize a site's ledger.

    Args:
        site: What the hospital decides.

    Raises:
        SiteRefusal: The ledger can't be used.
        DataError: The site's register of patients, which has its key, can't be used.
        ConfigurationError: The list of withdrawn patients can't be read.
    """
    content = read_ledger(site)
    delta = site.privacy.delta
    groups = group_patients(content)
    return LedgerSummary(
        delta=delta,
        budget=site.privacy.epsilon,
        epsilon=largest_epsilon(groups, delta),
        patients=sum(len(group.patients) for group in groups),
        unbounded=sum(len(group.patients) for group in groups if not group.bounded),
        ranges=_ranges([group for group in groups if group.bounded], delta),
        jobs=tuple(
            _job(content, run, delta) for run in dict.fromkeys(one.run for one in content.of_unit("patient"))
        ),
        withdrawn=len(Withdrawals.read(site.withdrawn_patients).ids),
        withdrawals=tuple(_note(content, place) for place in range(len(content.withdrawals))),
        head=content.head,
        hospital=summarize_hospital(content, site),
    )


def summarize_hospital(content: LedgerContent, site: SiteSettings) -> HospitalSpending | None:
    """Summarize what jobs have spent of the hospital as a whole; None where no noise has hidden it.

    Args:
        content: The ledger's.
        site: What the hospital decides.
    """
    entries = content.of_unit("hospital")
    if not entries:
        return None
    own = site.hospital_noise
    delta = own.delta if own else entries[-1].delta or site.privacy.delta
    return HospitalSpending(
        jobs=len({one.run for one in entries}),
        attempts=len(entries),
        epsilon=epsilon_spent(hospital_mechanisms(content), delta),
        delta=delta,
        budget=own.epsilon if own else None,
    )


def _job(content: LedgerContent, run: str, delta: float) -> JobSpending:
    entries = [one for one in content.of_unit("patient") if one.run == run]
    groups = group_patients(content, entries=entries)
    noised = all(group.bounded for group in groups)
    epsilon = largest_epsilon(groups, delta) if noised else None
    return JobSpending(
        job=run,
        resumed_as=tuple(dict.fromkeys(one.job for one in entries if one.job != run)),
        begun=entries[0].time,
        rounds=len({one.round_index for one in entries}),
        attempts=len(entries),
        patients=sum(len(group.patients) for group in groups),
        epsilon=epsilon,
        level=PrivacyLevel.of(epsilon),
    )


def _note(content: LedgerContent, place: int) -> WithdrawalNote:
    withdrawal = content.withdrawals[place]
    members, at = content.sets[withdrawal.patients], content.events.index(withdrawal)
    person = find_persons(content.links)

    def trained_on(events: Sequence[LedgerAddition]) -> int:
        sets = [content.sets[one.patients] for one in events if isinstance(one, LedgerEntry)]
        trained = {person.get(patient, patient) for patient in frozenset().union(*sets)}
        return sum(person.get(patient, patient) in trained for patient in members)

    return WithdrawalNote(
        time=withdrawal.time,
        patients=len(members),
        spent=trained_on(content.events[:at]),
        again=trained_on(content.events[at:]),
    )


def _ranges(groups: Sequence[PatientGroup], delta: float) -> tuple[EpsilonRange, ...]:
    spent = [(group.epsilon(delta), len(group.patients)) for group in groups]
    ends = (*_EDGES[1:], None)
    return tuple(
        EpsilonRange(
            above,
            to,
            sum(count for epsilon, count in spent if above < epsilon and (to is None or epsilon <= to)),
        )
        for above, to in zip(_EDGES, ends, strict=True)
    )
