from consilium.data.split import SetShares, Sides
from consilium.participant.pseudonyms import Pseudonyms
from consilium.participant.site_settings import SiteSettings
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.synthetic import DEMO_COHORT, HospitalSpec
from consilium.tasks.brain_tumor.synthetic.writers import case_name

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
