"""What each patient of a site has spent, and the hospital as a whole, from the payments in its ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from consilium.privacy.accounting import epsilon_spent
from consilium.privacy.ledger_entry import LedgerContent, LedgerEntry
from consilium.privacy.mechanism import SampledGaussian, compose


@dataclass(frozen=True)
class PatientGroup:
    """Patients with the same history.

    Attributes:
        patients: Their pseudonyms.
        mechanisms: What was released about them with noise, merged.
        bounded: Whether that is all: no job without noise was trained on them.
    """

    patients: frozenset[str]
    mechanisms: tuple[SampledGaussian, ...]
    bounded: bool = True

    def epsilon(self, delta: float, *, more: Iterable[SampledGaussian] = ()) -> float:
        """Return what each of them has spent by releases with noise, which are all if it is `bounded`.

        Args:
            delta: At which delta.
            more: What would be released as well.
        """
        return epsilon_spent((*self.mechanisms, *more), delta)


def group_patients(
    content: LedgerContent,
    *,
    among: Collection[str] | None = None,
    entries: Iterable[LedgerEntry] | None = None,
) -> tuple[PatientGroup, ...]:
    """Group patients by what was released about them, of mechanisms that hide a patient.

    Args:
        content: A ledger's.
        among: Patients to group, with those that have not spent anything; None for all that the ledger has.
        entries: Count these payments of the ledger only; None for all.
    """
    by_set: dict[str, list[LedgerEntry]] = defaultdict(list)
    for entry in content.entries if entries is None else entries:
        if entry.unit == "patient":
            by_set[entry.patients].append(entry)
    memberships: dict[str, list[str]] = {patient: [] for patient in among or ()}
    for name in by_set:
        members = content.sets[name]
        for patient in members if among is None else members.intersection(memberships):
            memberships.setdefault(patient, []).append(name)
    groups: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for patient, names in memberships.items():
        groups[tuple(names)].add(patient)
    return tuple(
        _group(patients, [entry for name in names for entry in by_set[name]])
        for names, patients in groups.items()
    )


def hospital_mechanisms(content: LedgerContent) -> tuple[SampledGaussian, ...]:
    """Return what was released about the hospital as a whole, merged.

    Args:
        content: A ledger's.
    """
    return _mechanisms(content.of_unit("hospital"))


def largest_epsilon(
    groups: Sequence[PatientGroup], delta: float, *, more: Iterable[SampledGaussian] = ()
) -> float:
    """Return the largest epsilon of any patient by releases with noise; 0 without one.

    Args:
        groups: All patients that count.
        delta: At which delta.
        more: What would be released about all of them as well.
    """
    more = tuple(more)
    return max((group.epsilon(delta, more=more) for group in groups), default=0.0)


def _group(patients: Collection[str], entries: Sequence[LedgerEntry]) -> PatientGroup:
    bounded = all(entry.mechanisms for entry in entries)
    return PatientGroup(frozenset(patients), _mechanisms(entries), bounded)


def _mechanisms(entries: Iterable[LedgerEntry]) -> tuple[SampledGaussian, ...]:
    return compose(mechanism for entry in entries for mechanism in entry.mechanisms)
