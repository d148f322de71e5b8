"""Split of a site's patients for training, validation and test: fixed, and decided by the site alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar

from consilium.errors import ConfigurationError


class _Examination(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def patient(self) -> str: ...


CaseT = TypeVar("CaseT", bound=_Examination)

EvaluatedSet: TypeAlias = Literal["test", "validation"]
"""A set of patients that models are evaluated on: those to report on, or those to choose models on."""


@dataclass(frozen=True)
class Split(Generic[CaseT]):
    """Cases of different patients, each set sorted by case id."""

    train: tuple[CaseT, ...]
    validation: tuple[CaseT, ...]
    test: tuple[CaseT, ...]


@dataclass(frozen=True)
class SetShares:
    """Shares of the patients to keep from training, as the hospital decides.

    Args:
        validation: Share to choose models on.
        test: Share to report on.
        minimum: Fewest patients that a score may be of: a smaller set would be of no use.

    Raises:
        ConfigurationError: A share is below 0, or both leave no patient to train on.
    """

    validation: float
    test: float
    minimum: int = 1

    def __post_init__(self) -> None:
        if not (self.validation >= 0 and self.test >= 0 and self.validation + self.test < 1):
            raise ConfigurationError(
                f"validation_fraction is {self.validation} and test_fraction is {self.test}; allowed: 0 or "
                "more, together below 1, such as 0.15 and 0.2."
            )

    def sizes(self, patients: int, test: int | None = None, validation: int | None = None) -> tuple[int, int]:
        """Return how many of so many patients are wanted for test and for validation.

        A share that would be of fewer patients than the minimum gets the minimum, where at least half of all
        patients stay for training, and otherwise none. So a small hospital has a test set before it has a
        validation set, and may have neither. A single patient is tested on where the minimum is 1, and
        otherwise trained on.

        Args:
            patients: How many there are.
            test: The test set's own number; default: its share.
            validation: The validation set's own number; default: its share.

        Example:
            >>> shares = SetShares(validation=0.15, test=0.2, minimum=3)
            >>> [shares.sizes(patients) for patients in (5, 6, 12, 40)]
            [(0, 0), (3, 0), (3, 3), (8, 6)]
        """
        if patients <= 1 and self.minimum <= 1:
            return (patients, 0) if self.test else (0, patients if self.validation else 0)
        tested = round(self.test * patients) if test is None else test
        validated = round(self.validation * patients) if validation is None else validation
        tested = self._limit(tested, self.test, patients, 0)
        return tested, self._limit(validated, self.validation, patients, tested)

    def _limit(self, size: int, share: float, patients: int, held: int) -> int:
        """The size of a set beside others; 0 where it would be too small, or leave no patient to train on."""
        least = max(1, self.minimum)
        if share and size < least and held + least <= patients // 2:
            return least
        size = min(size, patients - 1 - held)
        return size if share and size >= least else 0


@dataclass(frozen=True)
class Sides:
    """The set of each patient that a site has ever split.

    Nobody changes sets: a model that was trained on a patient must not be scored on them later, one that was
    chosen by a patient must not be reported on them, and a border that moves between two jobs would let their
    scores be subtracted. With one exception: a person who was taken for two patients, in different sets. If
    models have learned from one of them, all examinations are trained on from then on, and none is scored
    again; if not, models were chosen by one of them, and all are validated on.

    Args:
        training: Pseudonyms of patients to train on, and of their cases, which stay the same when the
            hospital declares another patient for them.
        validation: The same of patients to choose models on.
        test: The same of patients to report on. Nobody who was ever in another set is among them.
    """

    training: frozenset[str] = frozenset()
    validation: frozenset[str] = frozenset()
    test: frozenset[str] = frozenset()

    def settle(
        self,
        present: Mapping[str, Collection[str]],
        shares: SetShares,
        *,
        known: Mapping[str, Collection[str]] | None = None,
        draws: Mapping[str, float] | None = None,
    ) -> Sides:
        """Assign a set to each patient who has none yet.

        With a memory, the first of the new patients, in the order of their pseudonyms, go to the test set, as
        many as its share of all present lacks, the next ones to validation likewise, and the others are
        trained on. Pseudonyms are made with the site's secret, so no one else knows the order. Without one,
        each patient's draw decides alone, so that another patient moves none; the shares are then kept on
        average. Only where that leaves a set too small, the nearest ones change it.

        Args:
            present: The patients of now, by pseudonym, each with the pseudonyms of their cases.
            shares: Of the patients to test and to validate on.
            known: The same of all cases that the site knows of. A patient may be new by name alone: one of
                their cases, which is left out today, was trained on before they were declared.
            draws: For a site without a memory, a number from 0 to 1 of each patient.
        """
        known = known or {}
        names = {patient: {patient, *cases, *known.get(patient, ())} for patient, cases in present.items()}
        training = {patient for patient in names if names[patient] & self.training}
        validation = {patient for patient in names if names[patient] & self.validation} - training
        test = {patient for patient in names if names[patient] & self.test} - training - validation
        new = sorted(names.keys() - training - validation - test)
        if draws is None:
            tested, validated = shares.sizes(len(names))
        else:
            new.sort(key=lambda patient: (draws[patient], patient))
            tested, validated = shares.sizes(
                len(names),
                len(test) + sum(draws[patient] < shares.test for patient in new),
                len(validation)
                + sum(shares.test <= draws[patient] < shares.test + shares.validation for patient in new),
            )
        lacking = max(0, tested - len(test))
        test.update(new[:lacking])
        validation.update(new[lacking : lacking + max(0, validated - len(validation))])
        training.update(set(new) - test - validation)
        trained = self.training | _join(names, training)
        chosen_by = (self.validation | _join(names, validation)) - trained
        return Sides(trained, chosen_by, (self.test | _join(names, test)) - trained - chosen_by)

    def divide(self, cases: Sequence[CaseT], pseudonym: Callable[[str], str]) -> Split[CaseT]:
        """Put each case into its patient's set; all examinations of one stay together.

        Args:
            cases: Cases of patients that have a set.
            pseudonym: The pseudonym of a patient.
        """
        ordered = sorted(cases, key=lambda case: case.id)
        names = {case.patient: pseudonym(case.patient) for case in ordered}
        return Split(
            train=tuple(case for case in ordered if names[case.patient] in self.training),
            validation=tuple(case for case in ordered if names[case.patient] in self.validation),
            test=tuple(case for case in ordered if names[case.patient] in self.test),
        )


def _join(names: Mapping[str, Collection[str]], patients: Iterable[str]) -> frozenset[str]:
    """All pseudonyms of patients: their own, and those of their cases."""
    return frozenset[str]().union(*(names[patient] for patient in patients))
