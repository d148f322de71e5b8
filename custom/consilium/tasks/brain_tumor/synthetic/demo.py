"""The demo cohort: four hospitals of unequal size, with four layouts and four clearly different scanners."""

from collections.abc import Mapping
from typing import Final

from consilium.tasks.brain_tumor.synthetic.grid import VoxelGrid
from consilium.tasks.brain_tumor.synthetic.scanner import Scanner
from consilium.tasks.brain_tumor.synthetic.signal import Sequence
from consilium.tasks.brain_tumor.synthetic.spec import CohortSpec, HospitalSpec
from consilium.tasks.brain_tumor.synthetic.tumor import TumorMix
from consilium.tasks.brain_tumor.synthetic.writers import CaseLayout

DEMO_COHORT = CohortSpec(
    hospitals=(
        HospitalSpec(
            name="aster",
            layout=CaseLayout.BRATS_2021,
            cases=31,
            missing_et=0,
            scanner=Scanner(tesla=3.0, in_plane_mm=1.0, slice_mm=1.0, snr=45, bias=0.08, gain=2600),
        ),
        HospitalSpec(
            name="birch",
            layout=CaseLayout.BRATS_2020,
            cases=21,
            tumor_mix=TumorMix(small=1, medium=1, large=2),
            scanner=Scanner(
                tesla=1.5,
                t1=Sequence(tr_ms=480, te_ms=15),
                t2=Sequence(tr_ms=4000, te_ms=85),
                flair=Sequence(tr_ms=8000, te_ms=95, ti_ms=2300),
                in_plane_mm=1.2,
                slice_mm=5.0,
                snr=18,
                bias=0.10,
                gain=900,
            ),
        ),
        HospitalSpec(
            name="cedar",
            layout=CaseLayout.DECATHLON,
            cases=23,
            missing_et=0,
            tumor_mix=TumorMix(small=2, medium=1, large=1),
            scanner=Scanner(
                tesla=3.0,
                t1=Sequence(tr_ms=2000, te_ms=3, ti_ms=900),
                t2=Sequence(tr_ms=3200, te_ms=120),
                flair=Sequence(tr_ms=5000, te_ms=140, ti_ms=1750),
                in_plane_mm=1.0,
                slice_mm=1.2,
                snr=30,
                bias=0.16,
                gain=5200,
            ),
        ),
        HospitalSpec(
            name="dahlia",
            layout=CaseLayout.BRATS_2023,
            cases=10,
            missing_et=0,
            scanner=Scanner(
                tesla=1.0,
                t1=Sequence(tr_ms=450, te_ms=14),
                t2=Sequence(tr_ms=3000, te_ms=110),
                flair=Sequence(tr_ms=6500, te_ms=120, ti_ms=2000),
                in_plane_mm=1.8,
                slice_mm=5.5,
                snr=15,
                bias=0.12,
                gain=420,
            ),
        ),
    ),
    grid=VoxelGrid(shape=(96, 112, 88), spacing_mm=2.0),
)
"""Four hospitals on a grid that a laptop trains on; `dahlia` is the small clinic that only evaluates."""

DEMO_TEST_FRACTIONS: Final[Mapping[str, float]] = {"aster": 0.35, "birch": 0.65, "cedar": 0.5}
"""Share of the patients that each training hospital tests on. All test on 10 or more, as an interval over
fewer means little; they train on very different numbers, 16, 4 and 8, so that it shows whom others help."""
