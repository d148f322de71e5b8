"""Which patients a site trains on and which it validates on: decided once for each, by the site alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from consilium.errors import ConfigurationError


class _Examination(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def patient(self) -> str: ...


CaseT = TypeVar("CaseT", bound=_Examination)


@dataclass(frozen=True)
class Split(Generic[CaseT]):
    """Cases of different patients, each side sorted by case id."""

    train: tuple[CaseT, ...]
    validation: tuple[CaseT, ...]


@dataclass(frozen=True)
class Sides:
    """The side of every patient that a site has ever split.

    Nobody changes sides: a model that was trained on a patient must not be scored on them later, and a border
    that moves between two jobs would let their scores be subtracted.

    Args:
        training: Patients to train on, by pseudonym.
        validation: Patients to validate on, by pseudonym.
    """

    training: frozenset[str] = frozenset()
    validation: frozenset[str] = frozenset()

    def settle(self, present: Collection[str], validation_fraction: float) -> Sides:
        """Give each patient who has none yet a side.

        The first of the new patients, in the order of their pseudonyms, go to validation, as many as its
        share of all present lacks. Pseudonyms are made with the site's secret, so nobody else knows the
        order.

        Args:
            present: The patients of now, by pseudonym.
            validation_fraction: Share of them to validate on, above 0 and below 1. Of two or more patients
                that are all new at least one goes to each side; a single one goes to validation.

        Raises:
            ConfigurationError: The fraction is out of range.
        """
        if not 0 < validation_fraction < 1:
            raise ConfigurationError(
                f"validation_fraction is {validation_fraction}; allowed: above 0 and below 1, such as 0.2."
            )
        everybody = set(present)
        new = sorted(everybody - self.training - self.validation)
        wanted = max(1, min(round(validation_fraction * len(everybody)), len(everybody) - 1))
        lacking = max(0, wanted - len(everybody & self.validation))
        return Sides(self.training.union(new[lacking:]), self.validation.union(new[:lacking]))

    def divide(self, cases: Sequence[CaseT], pseudonym: Callable[[str], str]) -> Split[CaseT]:
        """Put each case on its patient's side; all examinations of one stay together.

        Args:
            cases: Cases of patients that have a side.
            pseudonym: The pseudonym of a patient.
        """
        ordered = sorted(cases, key=lambda case: case.id)
        validated = {case.patient for case in ordered if pseudonym(case.patient) in self.validation}
        return Split(
            train=tuple(case for case in ordered if case.patient not in validated),
            validation=tuple(case for case in ordered if case.patient in validated),
        )
