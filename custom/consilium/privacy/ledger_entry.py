"""Entries of a privacy ledger, and the keyed hashes that chain them."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from consilium.privacy.mechanism import SampledGaussian
from consilium.settings import Settings

FORMAT: Final = 1

ProtectedUnit: TypeAlias = Literal["patient", "hospital"]
"""Whose presence noise hides: one patient's, or that of the hospital as a whole."""

_MOST_ROUNDS: Final = 1_000_000
_PERSON: Final = b"privacy-ledger"


class LedgerStart(Settings):
    """First entry of a ledger."""

    kind: Literal["start"] = "start"
    format: Literal[1] = FORMAT
    time: str = Field(max_length=32)


class Withdrawal(Settings):
    """Patients who withdrew: entered by the first training that left them out.

    Attributes:
        time: When, in UTC.
        patients: Hash of the set of these patients.
    """

    kind: Literal["withdrawal"] = "withdrawal"
    time: str = Field(max_length=32)
    patients: str = Field(pattern="^[0-9a-f]{64}$")


class CaseLinks(Settings):
    """Cases of patients that the ledger has not had yet: entered with the first payment of these patients.

    A patient to whom a hospital gives another id later is recognized by the cases.

    Attributes:
        time: When, in UTC.
        patients: Hash of a set of links; see `case_link`.
    """

    kind: Literal["cases"] = "cases"
    time: str = Field(max_length=32)
    patients: str = Field(pattern="^[0-9a-f]{64}$")


class LedgerEntry(Settings):
    """Payment for the mechanisms of one attempt at a round; it is there before their first step.

    One without mechanisms is of a job without noise: what it releases about the patients has no bound.

    Attributes:
        time: When, in UTC.
        job: The job's id.
        run: Id of the job that the training began with; another one than `job` where it was resumed.
        round_index: The round, from 0.
        attempt: From 1: how often the training has begun this round here.
        mechanisms: What the attempt may release; none without noise.
        delta: At which delta the job keeps its promise here; None without noise.
        patients: Hash of the set of patients whose data are used.
        unit: Whose presence the noise hides. What hides the hospital spends nothing of its patients'
            budgets, and the other way round.
    """

    kind: Literal["payment"] = "payment"
    time: str = Field(max_length=32)
    job: str = Field(min_length=1, max_length=128)
    run: str = Field(min_length=1, max_length=128)
    round_index: int = Field(ge=0, le=_MOST_ROUNDS)
    attempt: int = Field(ge=1, le=_MOST_ROUNDS)
    mechanisms: tuple[SampledGaussian, ...] = Field(max_length=64)
    delta: float | None = Field(default=None, gt=0, lt=1)
    patients: str = Field(pattern="^[0-9a-f]{64}$")
    unit: ProtectedUnit = "patient"


@dataclass(frozen=True)
class Payment:
    """What a site is about to release in a round.

    Attributes:
        job: See `LedgerEntry`.
        run: See `LedgerEntry`.
        round_index: See `LedgerEntry`.
        mechanisms: See `LedgerEntry`.
        delta: See `LedgerEntry`.
        patients: Pseudonyms of the patients whose data are used; at least one.
        unit: See `LedgerEntry`.
        links: Cases of these patients; see `case_link`.
    """

    job: str
    run: str
    round_index: int
    mechanisms: tuple[SampledGaussian, ...]
    delta: float | None
    patients: Collection[str]
    unit: ProtectedUnit = "patient"
    links: Collection[str] = ()


LedgerAddition: TypeAlias = Withdrawal | CaseLinks | LedgerEntry
"""What follows the start of a ledger."""

LedgerEvent: TypeAlias = Annotated[LedgerStart | LedgerAddition, Field(discriminator="kind")]
"""What an entry of a ledger can be."""

_EVENT: Final[TypeAdapter[LedgerEvent]] = TypeAdapter(LedgerEvent)


def read_event(content: str) -> LedgerEvent:
    """Read an entry of a ledger from its JSON.

    Raises:
        ValidationError: It is none.
    """
    return _EVENT.validate_json(content)


@dataclass(frozen=True)
class LedgerContent:
    """All that a ledger holds.

    Attributes:
        events: Payments, withdrawals and links of cases, in their order.
        sets: Sets of patients' pseudonyms, or of links, by hash.
        hashes: Keyed hashes of all entries, the start's first.
    """

    events: Sequence[LedgerAddition]
    sets: dict[str, frozenset[str]]
    hashes: Sequence[str] = ()

    @cached_property
    def entries(self) -> tuple[LedgerEntry, ...]:
        """The payments, in their order."""
        return tuple(one for one in self.events if isinstance(one, LedgerEntry))

    @cached_property
    def withdrawals(self) -> tuple[Withdrawal, ...]:
        """The withdrawals, in their order."""
        return tuple(one for one in self.events if isinstance(one, Withdrawal))

    @property
    def withdrawn(self) -> frozenset[str]:
        """Pseudonyms of all patients who withdrew."""
        return frozenset().union(*(self.sets[one.patients] for one in self.withdrawals))

    @cached_property
    def links(self) -> frozenset[str]:
        """Links of all cases of patients who paid; see `case_link`."""
        return frozenset().union(
            *(self.sets[one.patients] for one in self.events if isinstance(one, CaseLinks))
        )

    @property
    def head(self) -> str:
        """Number and keyed hash of the last entry, which stand for the whole ledger; empty without any."""
        return f"{len(self.hashes) - 1} {self.hashes[-1]}" if self.hashes else ""

    def holds(self, head: str) -> bool:
        """Return whether a `head` of earlier is in this ledger."""
        return head.split() in ([str(number), one] for number, one in enumerate(self.hashes))

    def of_training(self, *ids: str) -> tuple[LedgerEntry, ...]:
        """Return the payments of a training: of the job that it began with, and of all that resumed it.

        The server says which job a job resumes. So jobs that were said to belong together once do so for
        ever: a server that says later that a job is a new one does not make it forget what it has spent.

        Args:
            ids: Ids of jobs of the training, as far as they are known.
        """
        known = self._jobs_of_training(ids)
        return tuple(one for one in self.entries if one.job in known)

    def attempts(self, payment: Payment) -> int:
        """Return how often the training of a payment has begun its round."""
        known = self._jobs_of_training((payment.job, payment.run))
        return sum(
            one.round_index == payment.round_index and one.job in known and one.unit == payment.unit
            for one in self.entries
        )

    def _jobs_of_training(self, ids: Collection[str]) -> set[str]:
        known, pairs = set(ids), {(one.job, one.run) for one in self.entries}
        while more := {name for pair in pairs if not known.isdisjoint(pair) for name in pair} - known:
            known |= more
        return known

    def of_unit(self, unit: ProtectedUnit) -> tuple[LedgerEntry, ...]:
        """Return the payments of mechanisms that hide a unit."""
        return tuple(one for one in self.entries if one.unit == unit)


def chain_hash(key: bytes, former: str, sequence: int, content: str) -> str:
    """Return the keyed hash of an entry, which covers all entries before it.

    Args:
        key: The site's secret.
        former: The hash of the entry before; empty for the first.
        sequence: The entry's number, from 0.
        content: Its JSON.
    """
    text = f"{former}\0{sequence}\0{content}".encode()
    return hmac.digest(key, _PERSON + text, "sha256").hex()


def case_link(patient: str, case: str) -> str:
    """Return the link between a patient and a case, as a ledger has it.

    Args:
        patient: The patient's pseudonym.
        case: The case's.

    Example:
        >>> case_link("5f0c", "a7b1")
        '5f0c a7b1'
    """
    return f"{patient} {case}"


def write_patients(patients: Collection[str]) -> tuple[str, str]:
    """Return a set of patients as JSON, and its hash.

    Args:
        patients: Their pseudonyms.
    """
    text = json.dumps(sorted(set(patients)), separators=(",", ":"))
    return text, hashlib.sha256(text.encode()).hexdigest()
