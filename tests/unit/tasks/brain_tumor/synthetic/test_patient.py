import numpy as np
import pytest

from consilium.tasks.brain_tumor.synthetic import (
    DEMO_COHORT,
    CaseLayout,
    HospitalSpec,
    Label,
    Patient,
    make_patient,
)
from consilium.tasks.brain_tumor.synthetic.atlas import Atlas

from .conftest import COARSE

ASTER = DEMO_COHORT.hospitals[0]


@pytest.fixture(scope="module")
def first_patients(atlas: Atlas) -> dict[str, Patient]:
    return {hospital.name: make_patient(atlas, COARSE, hospital, 0, 3) for hospital in DEMO_COHORT.hospitals}


def test_same_seed_makes_the_same_bytes(atlas: Atlas, first_patients: dict[str, Patient]) -> None:
    again, known = make_patient(atlas, COARSE, ASTER, 0, 3), first_patients["aster"]
    assert again.label.tobytes() == known.label.tobytes()
    for modality, image in again.images.items():
        assert image.tobytes() == known.images[modality].tobytes()


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(("index", "seed"), [(1, 3), (0, 4)], ids=["another patient", "another seed"])
def test_others_differ(atlas: Atlas, first_patients: dict[str, Patient], index: int, seed: int) -> None:
    other = make_patient(atlas, COARSE, ASTER, index, seed)
    assert not np.array_equal(other.label, first_patients["aster"].label)


def test_skull_stripped_images_share_a_background_of_zero(first_patients: dict[str, Patient]) -> None:
    for patient in first_patients.values():
        brain = patient.images["t1"] > 0
        assert 0.2 < brain.mean() < 0.6
        for image in patient.images.values():
            assert image.dtype == np.int16
            assert image.shape == COARSE.shape
            np.testing.assert_array_equal(image > 0, brain)


def test_what_the_radiologist_looks_for_is_there(first_patients: dict[str, Patient]) -> None:
    for name, patient in first_patients.items():
        images, label = patient.images, patient.label
        healthy = (images["t1"] > 0) & (label == 0)
        edema, rim = label == Label.EDEMA, label == Label.ENHANCING
        assert np.median(images["flair"][edema]) > 1.15 * np.median(images["flair"][healthy]), name
        assert np.median(images["t2"][edema]) > 1.05 * np.median(images["t2"][healthy]), name
        lit = images["t1ce"] / np.maximum(images["t1"], 1)
        assert np.median(lit[rim]) > 1.15 * np.median(lit[healthy]), name


def test_hospitals_differ_in_contrast_not_only_in_scale(first_patients: dict[str, Patient]) -> None:
    spread = {}
    for name, patient in first_patients.items():
        brain = patient.images["t1"][patient.images["t1"] > 0]
        spread[name] = float(brain.std() / brain.mean())
    assert spread["cedar"] > 1.5 * spread["dahlia"], spread


def test_thick_slices_blur_along_z_only(first_patients: dict[str, Patient]) -> None:
    def roughness(patient: Patient, axis: int) -> float:
        """Mean step between neighbors in the brain, along one axis over along the first."""
        image = patient.images["t2"].astype(float)
        inside = image > 0
        steps = np.abs(np.diff(image, axis=axis))
        both = np.take(inside, range(1, image.shape[axis]), axis) & np.take(
            inside, range(image.shape[axis] - 1), axis
        )
        return float(steps[both].mean())

    ratio = {name: roughness(patient, 2) / roughness(patient, 0) for name, patient in first_patients.items()}
    assert ratio["dahlia"] < 0.9 * ratio["aster"], ratio


@pytest.mark.long
@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.5, [1]), *(pytest.param(*one, marks=pytest.mark.long) for one in ((0.0, []), (0.7, [1, 2])))],
)
def test_missing_et_is_dealt_out_exactly(atlas: Atlas, share: float, expected: list[int]) -> None:
    hospital = HospitalSpec(name="elder", layout=CaseLayout.BRATS_2021, cases=3, missing_et=share)
    without = [
        index
        for index in range(hospital.cases)
        if not (make_patient(atlas, COARSE, hospital, index, 0).label == Label.ENHANCING).any()
    ]
    assert without == expected
