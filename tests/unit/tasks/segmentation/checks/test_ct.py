"""A chest CT is checked as a volume in Hounsfield units, and nothing is said about a brain."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from consilium.data.checks import check_cohort
from consilium.data.cohort import read_cohort
from consilium.tasks.brain_tumor.codes import BrainCode
from consilium.tasks.segmentation.cases import SegmentationCases
from consilium.tasks.segmentation.checks.case import volume_of
from consilium.tasks.segmentation.labels import FixedLabels
from consilium.tasks.segmentation.layouts.vocabulary import Vocabulary
from consilium.tasks.segmentation.preparation.normalization import IntensityWindow

CT = SegmentationCases(
    name="toy_ct",
    inputs=("ct",),
    vocabulary=Vocabulary({"ct": ("ct",)}),
    labels=FixedLabels({1: 1}),
    normalization=IntensityWindow(-1000, 400),
)
SHAPE, SPACING = (112, 84, 40), (3.0, 3.0, 7.0)
AFFINE = np.diag([*SPACING, 1.0])
BRAIN_WORDS = ("brain", "skull", "head", "tumor", "flair")


def chest(seed):
    """HU of a thorax of 20 liters on a table, with lungs, ribs and a lesion in one lung; and the lesion."""
    random = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, size) for size in SHAPE), indexing="ij"))

    def ellipsoid(center, radii):
        return (
            sum(((axis - at) / radius) ** 2 for axis, at, radius in zip(grid, center, radii, strict=True)) < 1
        )

    body = (grid[0] / 0.95) ** 2 + (grid[1] / 0.85) ** 2 < 1
    image = np.where(body, 40.0, -1000.0)
    rim = body & ~((grid[0] / 0.88) ** 2 + (grid[1] / 0.78) ** 2 < 1)
    image[rim] = -100
    image[rim & (np.sin(grid[2] * 25) > 0.7)] = 700
    for side in (-0.42, 0.42):
        image[ellipsoid((side, 0, 0), (0.32, 0.5, 0.9))] = -820
    lesion = ellipsoid((0.42, 0.1, 0.1 * seed - 0.2), (0.1, 0.1, 0.12))
    image[lesion] = 60
    image[:, :3] = 150
    image += ndimage.gaussian_filter(random.normal(0, 40, SHAPE), 0.7)
    image[np.hypot(grid[0], grid[1]) > 1.25] = -3024
    return np.round(image).astype(np.int16), lesion.astype(np.uint8)


@pytest.fixture
def hospital(tmp_path):
    folder = tmp_path / "hospital"
    folder.mkdir()
    for number, case_id in enumerate(("anna", "bert", "carl")):
        for kind, array in zip(("ct", "mask"), chest(number), strict=True):
            nib.save(nib.Nifti1Image(array, AFFINE), folder / f"{case_id}_{kind}.nii.gz")
    return folder


def check(hospital):
    return check_cohort(
        read_cohort(hospital, case_format=CT), case_format=CT, folder=hospital.parent / "state"
    )


def rewrite(path, change):
    image = nib.load(path)
    nib.save(nib.Nifti1Image(change(np.asarray(image.dataobj)), image.affine), path)


def test_nothing_is_found_in_a_chest(hospital):
    checked = check(hospital)
    assert [(one.case_id, one.code.value, one.detail) for one in checked.findings] == []
    assert [case.id for case in checked.cohort.cases] == ["anna", "bert", "carl"]
    assert {volume_of(checked, case.id).spacing_mm for case in checked.cohort.cases} == {SPACING}


def test_what_can_be_wrong_with_any_volume_is_found_without_a_word_of_a_brain(hospital):
    rewrite(hospital / "anna_mask.nii.gz", lambda label: label * 0)
    rewrite(hospital / "bert_ct.nii.gz", lambda image: np.clip(image, -160, 50))
    rewrite(hospital / "carl_ct.nii.gz", lambda image: nib.load(hospital / "anna_ct.nii.gz").get_fdata())
    checked = check(hospital)
    found = {(one.case_id, one.code.value) for one in checked.findings}
    expected = {"anna": "empty_label", "bert": "clipped_intensity", "carl": "duplicate_examination"}
    assert set(expected.items()) <= found
    for one in checked.findings:
        assert not isinstance(one.code, BrainCode)
        text = f"{one.detail} {one.code.summary} {one.code.remedy}".lower()
        assert not any(word in text for word in BRAIN_WORDS), text
