from dataclasses import replace

import numpy as np
import pytest
from data.hospital import LPS, head, label, one_case, preprocess, read_native
from pydantic import ValidationError

from consilium.data.case import CaseError
from consilium.data.checks.single_case import check_case
from consilium.data.cohort import read_cohort
from consilium.data.file_content import UnusableFile
from consilium.data.problem_code import Severity
from consilium.tasks.brain_tumor.cases import CASES, brain_tumor_cases
from consilium.tasks.brain_tumor.label_conventions import LabelConvention, Tissue
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.nifti.reading import read_file
from consilium.tasks.segmentation.preparation import preprocessing
from consilium.tasks.segmentation.preparation.preprocessing import PreprocessingSettings

FORMAT = brain_tumor_cases(("t1", "flair"))
SETTINGS = FORMAT.preprocessing(1.0)


def _problem(case, convention=None):
    with pytest.raises(CaseError) as caught:
        preprocess(case, convention, SETTINGS)
    assert caught.value.problem.case_id == case.id
    return caught.value.problem


def test_each_modality_is_normalized_over_its_own_nonzero_voxels(tmp_path):
    flair = head(seed=2)
    flair[3:5] = 0
    prepared = preprocess(one_case(tmp_path, {"t1": head() * 10, "flair": flair}), None, SETTINGS)
    assert prepared.image.dtype == np.float16
    for channel in prepared.image.astype(np.float64):
        brain = channel[channel != 0]
        assert (brain.mean(), brain.std()) == pytest.approx((0, 1), abs=1e-3)
    assert (prepared.image[1] == 0).sum() > (prepared.image[0] == 0).sum()


def test_channels_follow_the_settings(tmp_path):
    case = one_case(tmp_path, {"t1": head(seed=1), "flair": head(seed=2)})
    there = preprocess(case, None, SETTINGS).image
    back = preprocess(case, None, brain_tumor_cases(("flair", "t1")).preprocessing(1.0)).image
    assert np.array_equal(there, back[::-1])


def test_the_crop_keeps_a_margin_and_every_reference_voxel(tmp_path):
    drawn = label((1,))
    drawn[0, 13, 9] = 2  # outside of the head
    prepared = preprocess(
        one_case(tmp_path, {"t1": head(), "flair": head(seed=1)}, drawn), LabelConvention.BRATS_2018, SETTINGS
    )
    assert (prepared.reference == Tissue.EDEMA).sum() == 1
    assert (prepared.reference == Tissue.NECROTIC_CORE).sum() == 8
    # The head starts at voxel 3 and the files are LPS, so the far corner of x is the near one here.
    assert prepared.geometry.crop_start == (1, 0, 1)
    assert prepared.geometry.crop_stop == (12, 13, 10)


def _stray(value=5, at=(11, 13, 9), **options):
    """A head mask and one voxel of another value."""
    mask = _mask(**options)
    mask[at] = value
    return mask


def _mask(value=100, dtype=np.int16, shape=(40, 40, 40)):
    mask = np.zeros(shape, dtype)
    mask[8:-8, 8:-8, 8:-8] = value
    return mask


def _speckled(share, value=90):
    mask = _mask()
    inside = np.flatnonzero(mask)
    mask.ravel()[np.random.default_rng(0).choice(inside, int(share * inside.size), replace=False)] = value
    return mask


def _rounded():
    mask = _mask(dtype=np.float32)
    noise = np.random.default_rng(0).uniform(-4e-7, 4e-7, mask.shape)
    return (mask * (1 + noise)).astype(np.float32)


def _elsewhere():
    """Nothing where the head is, and two values in a corner."""
    image = np.zeros((40, 40, 40), np.int16)
    image[0, 0, :2] = 5, 6
    return image


FLAT = {
    "a mask and a stray voxel": _stray(at=(0, 0, 0)),
    "of floats": _stray(at=(39, 39, 39), dtype=np.float32),
    "of bytes": _stray(at=(0, 39, 0), value=255, dtype=np.uint8),
    "of negative numbers": _stray(value=-1, at=(0, 0, 0)),
    "a mask and a voxel within it": _stray(at=(20, 20, 20)),
    "a mask and a hot voxel": _stray(value=30_000, at=(20, 20, 20)),
    "a mask of which 1 % differs": _speckled(0.01),
    "a mask of which 0.5 % differs": _speckled(0.005),
    "a mask that was resampled": _rounded(),
    "voxels in a corner alone": _elsewhere(),
    "a mask that isn't exact in binary": _stray(value=0.7, at=(0, 0, 0), dtype=np.float64) * 0.1,
}
LARGE = head((40, 40, 40), seed=1)
LARGE[:8] = LARGE[-8:] = LARGE[:, :8] = LARGE[:, -8:] = LARGE[:, :, :8] = LARGE[:, :, -8:] = 0


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("name", FLAT)
def test_an_image_without_contrast_around_the_head_is_rejected(tmp_path, name):
    case = one_case(tmp_path, {"t1": LARGE, "flair": FLAT[name]})
    problem = _problem(case)
    assert (problem.code, problem.image) == (VolumeCode.CONSTANT_IMAGE, "flair")
    assert "flair.nii.gz" in problem.detail
    check = check_case(case, None, brain_tumor_cases(SETTINGS.inputs))
    assert [one.code for one in check.read if one.code.severity is Severity.ERROR] == [problem.code]
    assert set(check.image_spacing_mm) == {"t1"}  # the other image is looked at all the same


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("name", FLAT)
def test_each_image_without_contrast_is_named(tmp_path, name):
    case = one_case(tmp_path, {"t1": _stray(value=7, at=(0, 0, 0)), "flair": FLAT[name]})
    examination = FORMAT.examine(case, None, read_file)
    assert {one.code for one in examination.problems} == {VolumeCode.CONSTANT_IMAGE}
    assert {one.image for one in examination.problems} == {"t1", "flair"} or name.startswith("voxels")
    assert examination.parts == () or name.startswith("voxels")
    check_case(case, None, brain_tumor_cases(SETTINGS.inputs))


def test_one_image_without_contrast_is_rejected_where_no_other_is_used(tmp_path):
    settings = brain_tumor_cases(("flair",)).preprocessing(1.0)
    case = one_case(tmp_path, {"flair": FLAT["a mask and a stray voxel"]})
    with pytest.raises(CaseError) as caught:
        preprocess(case, None, settings)
    assert caught.value.problem.code == VolumeCode.CONSTANT_IMAGE


@pytest.mark.parametrize(
    ("voxels", "code"),
    [
        (np.full((6, 6, 6), 100), VolumeCode.CONSTANT_IMAGE),
        (np.zeros((6, 6, 6), np.float32), VolumeCode.CONSTANT_IMAGE),
        (np.full((6, 6, 6), 0.1), VolumeCode.CONSTANT_IMAGE),
        (np.arange(216).reshape(6, 6, 6) * 1e-180, VolumeCode.CONSTANT_IMAGE),
        (np.where(np.arange(216).reshape(6, 6, 6) == 100, np.nan, 1.0), VolumeCode.NON_FINITE),
        (np.where(np.arange(216).reshape(6, 6, 6) % 2, np.inf, 1.0), VolumeCode.NON_FINITE),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nothing_but_finite_voxels_leaves_preprocessing(tmp_path, voxels, code):
    """Whatever an earlier check lets pass."""
    case = one_case(tmp_path, {"t1": head(seed=1), "flair": head(seed=2)})
    native = read_native(brain_tumor_cases(SETTINGS.inputs), case, None)
    native = replace(native, images={**native.images, "flair": voxels})
    with pytest.raises(UnusableFile, match="flair") as caught:
        preprocessing.preprocess(native, SETTINGS, FORMAT.normalization)
    assert caught.value.code == code


def test_the_native_grid_is_left_alone_where_spacings_agree(tmp_path):
    affine = LPS @ np.diag([1.0004, 1, 1, 1])
    drawn = label((1, 2, 4))
    case = one_case(tmp_path, {"t1": head(), "flair": head(seed=1)}, drawn, affine)
    prepared = preprocess(case, LabelConvention.BRATS_2018, SETTINGS)
    assert prepared.geometry.task_shape == prepared.geometry.crop_shape
    assert np.array_equal(prepared.label, prepared.reference)


@pytest.mark.long
def test_intensities_beyond_float16_are_clipped(tmp_path):
    image = np.ones((140, 140, 140), np.float32)
    image[:10] = 2
    image[0, 0, 0] = 1e30
    case = one_case(tmp_path, {"t1": head((140, 140, 140)), "flair": image})
    assert np.isfinite(preprocess(case, None, SETTINGS).image).all()


def test_decathlon_reaches_the_canonical_channels_and_tissues(hospital):
    hospital.decathlon("BRATS_001")
    cohort = read_cohort(hospital.folder, case_format=CASES)
    settings = CASES.preprocessing(1.0)
    prepared = preprocess(cohort.cases[0], cohort.convention, settings)
    assert prepared.image.shape[0] == 4
    # The fixture draws values 1, 2, 3 along y; Decathlon's 1 is edema.
    order = sorted((np.argwhere(prepared.reference == t)[:, 1].mean(), t) for t in (1, 2, 3))
    assert [Tissue(t) for _, t in reversed(order)] == [Tissue.EDEMA, Tissue.NECROTIC_CORE, Tissue.ENHANCING]


def test_settings_have_one_fingerprint_each():
    same = brain_tumor_cases(("t1", "flair")).preprocessing((1, 1.0, 1))
    assert same.fingerprint() == SETTINGS.fingerprint()
    others = [
        brain_tumor_cases(("flair", "t1")).preprocessing(1.0),
        brain_tumor_cases(("t1", "flair")).preprocessing((1, 1, 2)),
    ]
    assert len({settings.fingerprint() for settings in [SETTINGS, *others]}) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"spacing_mm": 0},
        {"spacing_mm": (1, 1)},
        {"spacing_mm": float("nan")},
        {"inputs": ()},
        {"spacing": 1},
    ],
)
def test_wrong_settings_are_rejected(wrong):
    with pytest.raises(ValidationError):
        PreprocessingSettings(**({"inputs": ("t1",), "spacing_mm": 1.0, "normalization": "none"} | wrong))
