import numpy as np
import pytest

from consilium.data.split import SetShares, Sides
from consilium.participant.pseudonyms import Pseudonyms
from consilium.participant.site_settings import SiteSettings
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.synthetic import DEMO_COHORT, HospitalSpec, make_patient
from consilium.tasks.brain_tumor.synthetic.atlas import Atlas
from consilium.tasks.brain_tumor.synthetic.writers import case_name

from .conftest import COARSE

SALT = "0"  # of a simulation of the job's seed
FEW_PATIENTS = 10  # of the report, below which it concludes little


def set_sizes(hospital: HospitalSpec, test_fraction: float) -> tuple[int, int, int]:
    """How many patients a hospital of the demo has for training, validation and test."""
    site = SiteSettings.model_validate({"dataset": "x", "test_fraction": test_fraction})
    names = Pseudonyms(SALT.encode())
    cases = [case_name(hospital.layout, index) for index in range(hospital.cases)]
    sides = Sides().settle(
        {names.patient(case): {names.case(case)} for case in cases},
        SetShares(site.validation_fraction, site.test_fraction, site.min_training_patients),
        draws={names.patient(case): names.draw(case) for case in cases},
    )
    sizes = [
        sum(names.patient(case) in patients for case in cases)
        for patients in (sides.training, sides.validation, sides.test)
    ]
    return sizes[0], sizes[1], sizes[2]


def test_every_hospital_tests_on_enough_patients_and_they_train_on_unequal_numbers() -> None:
    synthetic = get_task("brain_tumor").synthetic
    assert synthetic is not None
    sizes = {
        hospital.name: set_sizes(hospital, synthetic.test_fractions[hospital.name])
        for hospital in DEMO_COHORT.hospitals
        if hospital.name not in synthetic.evaluators
    }
    trained = {name: training for name, (training, _, _) in sizes.items()}
    assert trained == {"aster": 16, "birch": 4, "cedar": 8}
    assert min(test for _, _, test in sizes.values()) >= FEW_PATIENTS
    assert min(validation for _, validation, _ in sizes.values()) >= 3
    evaluated = {one.name: one.cases for one in DEMO_COHORT.hospitals if one.name in synthetic.evaluators}
    assert min(evaluated.values()) >= FEW_PATIENTS


@pytest.mark.long
def test_patients_of_the_demo_are_those_that_figures_were_measured_on(atlas: Atlas) -> None:
    """A new property of patients must not change the random numbers of the others; rounding may."""
    expected = {
        "aster": ([180, 1678, 572], [565, 770, 789, 376]),
        "birch": ([296, 1487, 832], [206, 195, 296, 162]),
        "cedar": ([294, 826, 323], [968, 979, 1498, 458]),
        "dahlia": ([260, 1082, 483], [112, 120, 117, 64]),
    }
    for hospital in DEMO_COHORT.hospitals:
        patient = make_patient(atlas, COARSE, hospital, 0, DEMO_COHORT.seed)
        voxels = np.bincount(patient.label.ravel(), minlength=4)[1:]
        means = [float(image[image > 0].mean()) for image in patient.images.values()]
        assert voxels.tolist() == pytest.approx(expected[hospital.name][0], abs=5), hospital.name
        assert means == pytest.approx(expected[hospital.name][1], rel=0.01), hospital.name
