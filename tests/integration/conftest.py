import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from consilium.tasks.brain_tumor.synthetic import make_cohort
from consilium.tasks.brain_tumor.synthetic.grid import VoxelGrid
from consilium.tasks.brain_tumor.synthetic.spec import CohortSpec, HospitalSpec
from consilium.tasks.brain_tumor.synthetic.writers import CaseLayout

from . import chest_ct
from .poc_on_laptop import SITES, RunningPoc
from .studies import Study, export, simulate

COHORT = CohortSpec(
    hospitals=(
        HospitalSpec(name="north", layout=CaseLayout.BRATS_2020, cases=5),
        HospitalSpec(name="south", layout=CaseLayout.DECATHLON, cases=4),
        HospitalSpec(name="clinic", layout=CaseLayout.BRATS_2023, cases=2),
        HospitalSpec(name="careless", layout=CaseLayout.BRATS_2021, cases=13),
        HospitalSpec(name="hapless", layout=CaseLayout.BRATS_2020, cases=1),
        HospitalSpec(name="solo", layout=CaseLayout.BRATS_2023, cases=1),
    ),
    grid=VoxelGrid(shape=(38, 48, 38), spacing_mm=4.0),
)


@pytest.fixture(scope="session")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Synthetic hospitals on the coarsest grid: a study on them is over as soon as FLARE has started."""
    return make_cohort(COHORT, tmp_path_factory.mktemp("archives")).hospitals


@pytest.fixture(scope="session")
def healthy(hospitals: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study in which nothing goes wrong: two hospitals with three sets of patients, a clinic with one."""
    folder = tmp_path_factory.mktemp("healthy")
    sites = {name: hospitals[name] for name in ("north", "south", "clinic")}
    return simulate(export(folder / "jobs"), sites, folder / "my study", "--evaluates", "clinic")


@pytest.fixture(scope="session")
def laptop(hospitals: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> RunningPoc:
    """All that a POC needs; nothing runs yet."""
    folder = tmp_path_factory.mktemp("poc")
    archive = folder / "hospitals"
    for site, name in SITES.items():
        shutil.copytree(hospitals[name], archive / site)
    (folder / "home").mkdir()
    return RunningPoc(folder / "out", archive, export(folder / "jobs"), folder / "home")


@pytest.fixture(scope="session")
def chests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Synthetic hospitals of the chest CT task; see `chest_ct`."""
    with chest_ct.package_on_path():
        return chest_ct.make_hospitals(tmp_path_factory.mktemp("chests"))


@pytest.fixture(scope="session")
def chest_training(chests: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> chest_ct.Study:
    """A training of the chest CT task that has ended; nobody changes it."""
    with chest_ct.package_on_path():
        return chest_ct.train(chests, tmp_path_factory.mktemp("chest training"))


@pytest.fixture
def chest_package() -> Iterator[None]:
    """Let every command of a test find the chest CT task."""
    with chest_ct.package_on_path():
        yield
