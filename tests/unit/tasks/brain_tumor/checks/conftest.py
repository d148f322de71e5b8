import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from consilium.data.checks import CheckedCohort, check_cohort
from consilium.data.cohort import read_cohort
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.synthetic import (
    DEMO_COHORT,
    CaseLayout,
    CohortSpec,
    TumorMix,
    VoxelGrid,
    make_cohort,
)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two healthy patients of one of the demo's scanners and one of each other, at 3 mm."""
    return _healthy_patients(tmp_path_factory.getbasetemp())


@cache
def _healthy_patients(folder: Path) -> dict[str, Path]:
    """Make them once for all folders that import the fixture: each of them would have its own."""
    hospitals = tuple(
        one.model_copy(
            update={
                "cases": 2 if one.name == "aster" else 1,
                "layout": CaseLayout.BRATS_2021,
                "missing_et": 0.0,
                "tumor_mix": TumorMix(),
            }
        )
        for one in DEMO_COHORT.hospitals
    )
    spec = CohortSpec(hospitals=hospitals, grid=VoxelGrid(shape=(62, 72, 55), spacing_mm=3.5), seed=5)
    return make_cohort(spec, folder / "healthy patients").hospitals


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was found in healthy cases, which every test copies, is kept here."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def two_patients(archive: dict[str, Path], tmp_path: Path) -> Path:
    """A hospital of its own with two patients: BraTS2021_00000 and BraTS2021_00001."""
    return Path(shutil.copytree(archive["aster"], tmp_path / "hospital"))


@pytest.fixture
def check(kept: Path) -> Callable[[Path], CheckedCohort]:
    def run(hospital: Path) -> CheckedCohort:
        return check_cohort(
            read_cohort(hospital, case_format=CASES),
            case_format=CASES,
            folder=kept,
        )

    return run
