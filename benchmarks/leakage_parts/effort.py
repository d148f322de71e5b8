"""How much of everything a run of the attacks takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from leakage_parts.inversion import Inversion
from leakage_parts.updates import Protection


@dataclass(frozen=True)
class Effort:
    """Numbers of a run.

    Attributes:
        patients: Patients of an attacked update: each is in every step.
        steps: Local steps of an attacked update.
        sites: Sites with so many patients, by `patients`; each is one attacked update.
        decoys: Patients among whom a target has to be found.
        own: Patients of the attacker.
        epsilons: Of the attacked round, under DP-SGD.
        sums: Sites whose mean is attacked.
        private_cells: Patients and steps of the updates that are also made with DP-SGD.
        inverted: Patients and steps of the plain updates that are inverted.
        inverted_protected: Those that are also inverted with each protection.
        inversion: Effort of an inversion.
        repeats: Inversions of updates of one patient.
        models: Models of membership inference.
        pool: Patients of whom every model has seen a random half.
        other_sites: Patients of each of the other sites of a sum.
        member_steps: Local steps of these models.
    """

    patients: tuple[int, ...] = (1, 2, 8)
    steps: tuple[int, ...] = (1, 8, 40)
    sites: tuple[int, ...] = (10, 10, 5)
    decoys: int = 24
    own: int = 8
    epsilons: tuple[float, ...] = (1, 8, 1000)
    sums: tuple[int, ...] = (3, 5, 10)
    private_cells: tuple[tuple[int, int], ...] = ((1, 1), (1, 8), (8, 8))
    inverted: tuple[tuple[int, int], ...] = ((1, 1), (1, 8), (1, 40), (2, 1), (8, 1), (8, 8))
    inverted_protected: tuple[tuple[int, int], ...] = ((1, 1),)
    inversion: Inversion = field(default_factory=Inversion)
    repeats: int = 2
    models: int = 16
    pool: int = 24
    other_sites: int = 4
    member_steps: int = 24

    @property
    def targets(self) -> int:
        """How many patients are attacked in all."""
        updates = max(one * sites for one, sites in zip(self.patients, self.sites, strict=True))
        return max(updates, self.pool)

    def sites_of(self, patients: int) -> int:
        """How many sites have so many patients."""
        return self.sites[self.patients.index(patients)]

    @property
    def private(self) -> tuple[Protection, ...]:
        """DP-SGD at each epsilon."""
        return tuple(Protection(f"DP-SGD, epsilon {one:g}", epsilon=one) for one in self.epsilons)

    @property
    def summed(self) -> tuple[Protection, ...]:
        """Sums of several sites."""
        return tuple(Protection(f"sum of {one} sites", sites=one) for one in self.sums)


WHOLE: Final = Effort()

SHORT: Final = Effort(
    patients=(1, 2),
    steps=(1, 8),
    sites=(3, 3),
    decoys=9,
    own=3,
    epsilons=(8,),
    sums=(3,),
    private_cells=((1, 1),),
    inverted=((1, 1),),
    inversion=Inversion(iterations=80),
    repeats=1,
    models=6,
    pool=8,
    other_sites=2,
    member_steps=12,
)
