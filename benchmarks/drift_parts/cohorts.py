"""Two cohorts of four synthetic hospitals of very different size: one with mild drift, one with strong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from consilium.participant.site_settings import SiteSettings
from consilium.simulation.hospitals import site_settings
from consilium.tasks.brain_tumor.synthetic import (
    DEMO_COHORT,
    CaseLayout,
    CohortSpec,
    HospitalSpec,
    Scanner,
    Sequence,
    TumorMix,
    VoxelGrid,
    make_cohort,
)
from consilium.tasks.synthetic import CohortProgress

CohortName = Literal["strong", "mild"]
COHORTS: Final[tuple[CohortName, ...]] = get_args(CohortName)

_GRID: Final = VoxelGrid(shape=(64, 80, 64), spacing_mm=3.0)
_DEMO: Final = {one.name: one.scanner for one in DEMO_COHORT.hospitals}
_LAYOUTS: Final = {
    "aster": CaseLayout.BRATS_2021,
    "birch": CaseLayout.BRATS_2020,
    "cedar": CaseLayout.DECATHLON,
    "dahlia": CaseLayout.BRATS_2023,
}
_SCANNERS: Final[Mapping[CohortName, Mapping[str, Scanner]]] = {
    # One vendor's scanners of 3 T, each with the timing and the gain of its own radiologists.
    "mild": {
        "aster": _DEMO["aster"],
        "birch": Scanner(t1=Sequence(tr_ms=650, te_ms=11), snr=38, bias=0.09, gain=2100),
        "cedar": Scanner(t2=Sequence(tr_ms=4600, te_ms=100), slice_mm=1.5, snr=42, bias=0.08, gain=3000),
        "dahlia": Scanner(flair=Sequence(tr_ms=8500, te_ms=115, ti_ms=2400), snr=36, bias=0.10, gain=2400),
    },
    "strong": _DEMO,  # from 1 to 3 T, slices of 1 to 5.5 mm
}
_TUMORS: Final = {
    "birch": TumorMix(small=1, medium=1, large=2),
    "cedar": TumorMix(small=2, medium=1, large=1),
}
_WITHOUT_ET: Final = {"birch": 0.3, "dahlia": 0.0}
_MARGINS_MM: Final = {"birch": 2.0, "cedar": -2.0, "dahlia": 2.0}


@dataclass(frozen=True)
class Sizes:
    """Numbers of patients; a hospital's split may differ by one patient.

    Attributes:
        train: By hospital.
        validation: Of each hospital.
        test: Of each hospital.
    """

    train: Mapping[str, int]
    validation: int
    test: int

    def cases(self, hospital: str) -> int:
        """How many patients a hospital has in all."""
        return self.train[hospital] + self.validation + self.test


WHOLE: Final = Sizes({"aster": 40, "birch": 16, "cedar": 6, "dahlia": 2}, validation=4, test=12)
QUICK: Final = Sizes({"aster": 4, "birch": 2}, validation=1, test=2)


def describe_cohort(cohort: CohortName, sizes: Sizes, seed: int) -> CohortSpec:
    """Return what a cohort holds.

    Args:
        cohort: Its name.
        sizes: Numbers of patients; the hospitals are those that train.
        seed: Another seed makes other patients.
    """
    strong = cohort == "strong"
    return CohortSpec(
        hospitals=tuple(
            HospitalSpec(
                name=name,
                layout=_LAYOUTS[name],
                cases=sizes.cases(name),
                scanner=_SCANNERS[cohort][name],
                tumor_mix=_TUMORS.get(name, TumorMix()) if strong else TumorMix(),
                missing_et=_WITHOUT_ET.get(name, 0.1) if strong else 0.1,
                label_margin_mm=_MARGINS_MM.get(name, 0.0) if strong else 0.0,
            )
            for name in sizes.train
        ),
        grid=_GRID,
        seed=seed,
    )


def make_sites(
    cohort: CohortName,
    sizes: Sizes,
    seed: int,
    folder: Path,
    state: Path,
    *,
    left_out: str | None = None,
    progress: CohortProgress | None = None,
) -> dict[str, SiteSettings]:
    """Make the hospitals of a cohort where they are missing; returns what each decides.

    All runs on a cohort share its caches, and its split, which comes from the seed. What a hospital
    remembers is of one run: simulated jobs have one id, and no hospital trains in a job of which it has
    tested a model. Hospitals take part however few patients they have.

    Args:
        cohort: Its name.
        sizes: Numbers of patients.
        seed: Of its patients and of the split.
        folder: Where the cohort goes.
        state: Where the hospitals keep what they remember, one folder a run.
        left_out: A hospital that only evaluates, with all of its patients.
        progress: Called after each patient.
    """
    made = make_cohort(describe_cohort(cohort, sizes, seed), folder / "hospitals", progress=progress)
    sites = site_settings(
        made.hospitals, folder.resolve(), frozenset({left_out} if left_out else ()), min_patients=1
    )
    return {
        name: site.model_copy(
            update={
                "validation_fraction": sizes.validation / sizes.cases(name),
                "test_fraction": sizes.test / sizes.cases(name),
                "split_salt": str(seed),
                "state_dir": state.resolve() / name,
                "cpu_threads": 1,
                "device": "cpu",
            }
        )
        for name, site in sites.items()
    }
