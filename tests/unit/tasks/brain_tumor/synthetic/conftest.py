from collections.abc import Sequence

import pytest

pytest.importorskip("nilearn", reason="synthetic cohorts need nilearn: make install")

from consilium.tasks.brain_tumor.synthetic import (
    DEMO_COHORT,
    CaseLayout,
    CohortSpec,
    HospitalSpec,
    TumorMix,
    VoxelGrid,
)
from consilium.tasks.brain_tumor.synthetic.atlas import Atlas, load_atlas
from consilium.tasks.brain_tumor.synthetic.head import Head, grow_head
from consilium.tasks.brain_tumor.synthetic.tumor import Tumor, grow_tumor, plan_tumor

COARSE = VoxelGrid(shape=(56, 72, 56), spacing_mm=3.0)
"""Large enough for a head, small enough for a test."""


@pytest.fixture(scope="session")
def atlas() -> Atlas:
    return load_atlas(COARSE.spacing_mm)


@pytest.fixture(scope="session")
def grown(atlas: Atlas) -> Sequence[tuple[Head, Tumor]]:
    """Six patients with enhancing tumors."""
    import numpy as np

    patients = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        plan = plan_tumor(atlas, TumorMix(), enhancing=True, rng=rng)
        head = grow_head(atlas, COARSE, plan.mass, rng)
        patients.append((head, grow_tumor(head, plan, rng)))
    return patients


@pytest.fixture
def one_of_each() -> CohortSpec:
    """Four hospitals of one patient in the four layouts."""
    return CohortSpec(
        hospitals=tuple(
            HospitalSpec(name=demo.name, layout=demo.layout, cases=1, scanner=demo.scanner, missing_et=0)
            for demo in DEMO_COHORT.hospitals
        ),
        grid=COARSE,
        seed=7,
    )


@pytest.fixture
def two_cases() -> CohortSpec:
    """One hospital of two patients."""
    return CohortSpec(
        hospitals=(HospitalSpec(name="aster", layout=CaseLayout.BRATS_2021, cases=2),), grid=COARSE, seed=7
    )
