"""Damage to real patients, at the full size of their images, is found as it is on synthetic ones."""

import os
import shutil
from pathlib import Path

import pytest

from consilium.data.checks import Severity, check_cohort
from consilium.data.cohort import read_cohort
from consilium.tasks.brain_tumor.cases import CASES

from .damage import damages
from .test_corpus import codes_of

REPOSITORY = Path(__file__).parents[5]
FOLDER = Path(os.environ.get("CONSILIUM_REAL_DATA") or REPOSITORY / "../shared/data/real")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.long,
    pytest.mark.real_data,
    pytest.mark.skipif(
        not FOLDER.is_dir(), reason=f"no real patients in {FOLDER}: set CONSILIUM_REAL_DATA to their folder"
    ),
]

CASE, OTHER = "TCGA-FG-6692", "TCGA-DU-7294"

BY_STATISTICS = (
    "eight bits",
    "half a brain",
    "t2 and flair swapped",
    "t1 and t1ce swapped",
    "an image moved",
    "another patient's image",
    "another patient's label",
    "a label moved",
    "a label mirrored",
    "edema and core exchanged",
    "the examination under another id",
)
"""What only real anatomy and real scanners can show; the rest of the corpus is about files and headers."""


@pytest.fixture
def two_real_patients(tmp_path: Path) -> Path:
    for name in (CASE, OTHER):
        (tmp_path / "hospital" / name).mkdir(parents=True)
        for path in (FOLDER / "tcga_lgg" / name).iterdir():
            shutil.copyfile(path, tmp_path / "hospital" / name / path.name)
    return tmp_path / "hospital"


@pytest.mark.parametrize(
    "damage",
    [damage for damage in damages() if damage.name in BY_STATISTICS],
    ids=lambda damage: damage.name.replace(" ", "-"),
)
def test_damage_to_a_real_patient_is_found_and_the_other_stays_healthy(damage, two_real_patients, check):
    damage.apply(two_real_patients, CASE, OTHER)
    checked = check(two_real_patients)
    found, neighbor = codes_of(checked, CASE), codes_of(checked, OTHER)
    if damage.also:
        found |= neighbor & damage.codes
        neighbor -= damage.codes
    assert found & damage.codes
    assert neighbor == set()


def test_real_patients_raise_no_alarm_but_for_the_slab_that_one_is(tmp_path):
    cohort = read_cohort(FOLDER, case_format=CASES)
    checked = check_cohort(cohort, case_format=CASES, folder=tmp_path)
    assert len(checked.cohort.cases) == 3
    alarms = {(one.case_id, one.code.value) for one in checked.findings if one.severity is not Severity.INFO}
    # Masks of lungs lie beside the brains.
    assert alarms - {(None, "unknown_files")} == {("BRATS_009", "partial_coverage")}
