"""Split cases into training and validation by patient."""

import hashlib
from collections.abc import Sequence
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


def split_patients(cases: Sequence[CaseT], *, validation_fraction: float, seed: int) -> Split[CaseT]:
    """Divide the patients; all examinations of one stay together, or what was memorized would score well.

    Patients are ranked by a hash of their id and the seed: the split depends neither on the order of the
    cases nor on the machine, and a patient who joins or leaves moves at most one other to the other side.

    Args:
        cases: Cases with an `id` and a `patient`.
        validation_fraction: Share of the patients to validate on, above 0 and below 1. Of two or more
            patients at least one goes to each side; a single one goes to validation, so the site only
            evaluates.
        seed: Another seed gives another split.

    Returns:
        The two sides.

    Raises:
        ConfigurationError: The fraction is out of range.
    """
    if not 0 < validation_fraction < 1:
        raise ConfigurationError(
            f"validation_fraction is {validation_fraction}; allowed: above 0 and below 1, for example 0.2."
        )
    ranked = sorted({case.patient for case in cases}, key=lambda patient: _rank(patient, seed))
    wanted = round(validation_fraction * len(ranked))
    validated = set(ranked[: max(1, min(wanted, len(ranked) - 1))])
    ordered = sorted(cases, key=lambda case: case.id)
    return Split(
        train=tuple(case for case in ordered if case.patient not in validated),
        validation=tuple(case for case in ordered if case.patient in validated),
    )


def _rank(patient: str, seed: int) -> bytes:
    return hashlib.blake2b(patient.encode(), key=str(seed).encode(), digest_size=16).digest()
