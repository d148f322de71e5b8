"""Cohorts of synthetic hospitals of very different size: four or twelve in a cohort."""

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

CohortName = Literal["strong", "mild", "sizes"]
COHORTS: Final[tuple[CohortName, ...]] = get_args(CohortName)

_GRID: Final = VoxelGrid(shape=(64, 80, 64), spacing_mm=3.0)
_LAYOUTS: Final = (CaseLayout.BRATS_2021, CaseLayout.BRATS_2020, CaseLayout.DECATHLON, CaseLayout.BRATS_2023)
_DEMO: Final = tuple(one.scanner for one in DEMO_COHORT.hospitals)
_ONE_VENDOR: Final = (
    # Scanners of 3 T, each with the timing and the gain of its own radiologists.
    _DEMO[0],
    Scanner(t1=Sequence(tr_ms=650, te_ms=11), snr=38, bias=0.09, gain=2100),
    Scanner(t2=Sequence(tr_ms=4600, te_ms=100), slice_mm=1.5, snr=42, bias=0.08, gain=3000),
    Scanner(flair=Sequence(tr_ms=8500, te_ms=115, ti_ms=2400), snr=36, bias=0.10, gain=2400),
)
_SCANNERS: Final[Mapping[CohortName, tuple[Scanner, ...]]] = {
    "strong": _DEMO,  # from 1 to 3 T, slices of 1 to 5.5 mm
    "mild": _ONE_VENDOR,
    "sizes": _DEMO,  # each at every fourth hospital
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


_FOUR: Final = Sizes({"aster": 40, "birch": 16, "cedar": 6, "dahlia": 2}, validation=4, test=12)
_TWELVE: Final = Sizes(
    # As in FeTS 2022, two hospitals have most of the patients, and most hospitals have a handful.
    {
        "aster": 64, "birch": 48, "cedar": 6, "dahlia": 5, "elder": 4, "fern": 4,
        "gorse": 4, "hazel": 3, "iris": 2, "juniper": 2, "linden": 1, "maple": 1,
    },
    validation=2,
    test=6,
)  # fmt: skip
WHOLE: Final[Mapping[CohortName, Sizes]] = {"strong": _FOUR, "mild": _FOUR, "sizes": _TWELVE}
QUICK: Final[Mapping[CohortName, Sizes]] = dict.fromkeys(
    COHORTS, Sizes({"aster": 4, "birch": 2}, validation=1, test=2)
)


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
                layout=_LAYOUTS[place % len(_LAYOUTS)],
                cases=sizes.cases(name),
                scanner=_SCANNERS[cohort][place % len(_LAYOUTS)],
                tumor_mix=_TUMORS.get(name, TumorMix()) if strong else TumorMix(),
                missing_et=_WITHOUT_ET.get(name, 0.1) if strong else 0.1,
                label_margin_mm=_MARGINS_MM.get(name, 0.0) if strong else 0.0,
            )
            for place, name in enumerate(sizes.train)
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
    device: str = "cpu",
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
        device: On which they compute.
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
                "device": device,
            }
        )
        for name, site in sites.items()
    }
