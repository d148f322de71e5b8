"""What each patient of a site has spent, and the hospital as a whole, from the payments in its ledger."""

from __future__ import annotations

from collections import Counter, defaultdict
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
    links: Collection[str] = (),
) -> tuple[PatientGroup, ...]:
    """Group patients by what was released about them, of mechanisms that hide a patient.

    Pseudonyms that share a case, now or at any payment, count as one person: a hospital may give a patient
    another id, or find that two patients are one. Where several of them paid for a round, the person was in
    it several times; see `SampledGaussian.of_several`.

    Args:
        content: A ledger's.
        among: Patients to group, with those that have not spent anything; None for all that the ledger has,
            each person by one of the pseudonyms.
        entries: Count these payments of the ledger only; None for all.
        links: Cases that patients have now; see `case_link`.
    """
    by_set: dict[str, list[LedgerEntry]] = defaultdict(list)
    for entry in content.entries if entries is None else entries:
        if entry.unit == "patient":
            by_set[entry.patients].append(entry)
    person = find_persons(content.links.union(links))
    shares: dict[str, Counter[str]] = defaultdict(Counter)
    """By person: how many of its pseudonyms each set of patients has."""
    for name in by_set:
        for patient in content.sets[name]:
            shares[person.get(patient, patient)][name] += 1
    groups: dict[frozenset[tuple[str, int]], set[str]] = defaultdict(set)
    for patient in shares.keys() if among is None else set(among):
        groups[frozenset(shares.get(person.get(patient, patient), Counter()).items())].add(patient)
    return tuple(
        _group(patients, [(entry, number) for name, number in sorted(counts) for entry in by_set[name]])
        for counts, patients in groups.items()
    )


def find_persons(links: Collection[str]) -> dict[str, str]:
    """Return one pseudonym for all patients that share cases, directly or through others.

    Args:
        links: See `case_link`.

    Returns:
        By pseudonym; those that share no case with another are left out.

    Example:
        >>> find_persons(["a scan-1", "b scan-1", "b scan-2", "c scan-2", "d scan-3"])
        {'a': 'a', 'b': 'a', 'c': 'a'}
    """
    by_case: dict[str, list[str]] = defaultdict(list)
    for link in sorted(links):
        patient, case = link.split()
        by_case[case].append(patient)
    person: dict[str, str] = {}

    def find(patient: str) -> str:
        while (other := person.get(patient, patient)) != patient:
            patient = other
        return patient

    for patients in by_case.values():
        for patient in patients[1:]:
            first, second = sorted((find(patients[0]), find(patient)))
            person[second] = first
    return {patient: find(patient) for patient in sorted({*person, *person.values()})}


def hospital_mechanisms(content: LedgerContent) -> tuple[SampledGaussian, ...]:
    """Return what was released about the hospital as a whole, merged.

    Args:
        content: A ledger's.
    """
    return compose(each for entry in content.of_unit("hospital") for each in entry.mechanisms)


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


def _group(patients: Collection[str], entries: Sequence[tuple[LedgerEntry, int]]) -> PatientGroup:
    return PatientGroup(
        frozenset(patients),
        compose(
            each if number == 1 else each.of_several(number)
            for entry, number in entries
            for each in entry.mechanisms
        ),
        bounded=all(entry.mechanisms for entry, _ in entries),
    )
