"""Split of a site's patients into training and validation, fixed and decided by the site alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
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
    """Sides of all patients that a site has ever split.

    Nobody changes sides: a model that was trained on a patient must not be scored on them later, and a border
    that moves between two jobs would let their scores be subtracted. With one exception: a person who was
    taken for two patients, on different sides. Models have learned from one of them, so all examinations are
    trained on from then on, and none is scored again.

    Args:
        training: Pseudonyms of patients to train on, and of their cases, which stay the same when the
            hospital declares another patient for them.
        validation: The same of patients to validate on.
    """

    training: frozenset[str] = frozenset()
    validation: frozenset[str] = frozenset()

    def settle(
        self,
        present: Mapping[str, Collection[str]],
        validation_fraction: float,
        *,
        known: Mapping[str, Collection[str]] | None = None,
        draws: Mapping[str, float] | None = None,
    ) -> Sides:
        """Assign a side to each patient who has none yet.

        With a memory, the first of the new patients, in the order of their pseudonyms, go to validation, as
        many as its share of all present lacks. Pseudonyms are made with the site's secret, so nobody else
        knows the order. Without one, each patient's draw decides alone, so that another patient moves nobody;
        the share is then kept on average. Only where that leaves a side empty, the nearest one changes it.

        Args:
            present: The patients of now, by pseudonym, each with the pseudonyms of their cases.
            known: The same of all cases that the site knows of. A patient may be new by name alone: one of
                their cases, which is left out today, was trained on before they were declared.
            validation_fraction: Share of them to validate on, above 0 and below 1. Of two or more patients
                that are all new at least one goes to each side; a single one goes to validation.
            draws: For a site without a memory, a number from 0 to 1 of each patient.

        Raises:
            ConfigurationError: The fraction is out of range.
        """
        if not 0 < validation_fraction < 1:
            raise ConfigurationError(
                f"validation_fraction is {validation_fraction}; allowed: above 0 and below 1, such as 0.2."
            )
        known = known or {}
        names = {patient: {patient, *cases, *known.get(patient, ())} for patient, cases in present.items()}
        training = {patient for patient in names if names[patient] & self.training}
        validation = {patient for patient in names if names[patient] & self.validation} - training
        new = sorted(names.keys() - training - validation)
        if draws is None:
            wanted = max(1, min(round(validation_fraction * len(names)), len(names) - 1))
            validated = new[: max(0, wanted - len(validation))]
        else:
            new.sort(key=lambda patient: (draws[patient], patient))
            validated = [patient for patient in new if draws[patient] < validation_fraction]
            if not validated and not validation:
                validated = new[:1]
            elif len(validated) == len(new) > 1 and not training:
                validated = new[:-1]
        validation.update(validated)
        training.update(set(new).difference(validated))
        trained = self.training.union(*(names[patient] for patient in training))
        return Sides(trained, self.validation.union(*(names[patient] for patient in validation)) - trained)

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
