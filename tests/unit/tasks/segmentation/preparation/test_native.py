"""What makes the files of a case unusable, or doesn't."""

import gzip
import os
import re

import numpy as np
import pytest
from data.hospital import LPS, head, label, one_case, preprocess

from consilium.data.case import Case, CaseError, ImageFile
from consilium.data.codes import DataCode
from consilium.tasks.brain_tumor.cases import brain_tumor_cases
from consilium.tasks.brain_tumor.label_conventions import LabelConvention
from consilium.tasks.segmentation.codes import VolumeCode

FORMAT = brain_tumor_cases(("t1", "flair"))
SETTINGS = FORMAT.preprocessing(1.0)


def _problem(case, convention=None):
    with pytest.raises(CaseError) as caught:
        preprocess(case, convention, SETTINGS)
    assert caught.value.problem.case_id == case.id
    return caught.value.problem


def _with(**changes):
    return {"t1": head(seed=1), "flair": head(seed=2)} | changes


@pytest.mark.parametrize(
    ("images", "code", "seen"),
    [
        (_with(flair=head((12, 14, 11))), VolumeCode.SHAPE_MISMATCH, r"\(12, 14, 11\)"),
        (_with(flair=np.zeros((12, 14, 10), np.int16)), VolumeCode.CONSTANT_IMAGE, "every voxel is 0"),
        (_with(flair=(head() > 0).astype(np.uint8)), VolumeCode.CONSTANT_IMAGE, "every nonzero voxel is 1"),
        (_with(flair=np.stack([head()] * 2, axis=3)), VolumeCode.NOT_3D, r"\(12, 14, 10, 2\)"),
        (_with(flair=head()[:, :, 5]), VolumeCode.NOT_3D, r"\(12, 14\)"),
        (_with(flair=head()[:, :, 5:6]), VolumeCode.NOT_3D, r"\(12, 14, 1\)"),
        ({"t1": head()}, DataCode.MISSING_IMAGE, "flair"),
        (_with(flair=head().astype(np.complex64)), DataCode.UNREADABLE, "complex64"),
    ],
)
def test_images_that_cannot_be_used_say_why(tmp_path, images, code, seen):
    problem = _problem(one_case(tmp_path, images))
    assert problem.code == code
    assert re.search(seen, problem.detail)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_voxels_are_counted(tmp_path, value):
    image = head().astype(np.float32)
    image[5, 5, 4:6] = value
    problem = _problem(one_case(tmp_path, _with(flair=image)))
    assert problem.code == VolumeCode.NON_FINITE
    assert "2 voxels" in problem.detail


def test_a_trailing_axis_of_one_is_no_fourth_dimension(tmp_path):
    case = one_case(tmp_path, _with(flair=head()[..., None]))
    assert preprocess(case, None, SETTINGS).image.shape[0] == 2


@pytest.mark.parametrize(("shift_mm", "refused"), [(0.1, False), (1.0, True)])
def test_images_at_different_places_are_rejected(hospital, shift_mm, refused):
    moved = LPS.copy()
    moved[1, 3] += shift_mm
    images = {
        "t1": ImageFile(hospital.image("t1.nii.gz", head(seed=1))),
        "flair": ImageFile(hospital.image("flair.nii.gz", head(seed=2), moved)),
    }
    case = Case(id="A", patient="A", images=images, target=None)
    if refused:
        problem = _problem(case)
        assert problem.code == VolumeCode.AFFINE_MISMATCH
        assert "1.00 mm" in problem.detail
    else:
        assert preprocess(case, None, SETTINGS).label is None


def test_an_affine_without_volume_is_rejected(tmp_path):
    flat = np.diag([1.0, 1.0, 0.0, 1.0])
    case = one_case(tmp_path, _with())
    for volume in case.images.values():
        _overwrite_affine(volume.path, flat)
    assert _problem(case).code == VolumeCode.INVALID_AFFINE


def test_a_head_of_more_than_a_meter_is_rejected_before_any_memory_is_taken_for_it(tmp_path):
    giant = one_case(tmp_path, _with(), affine=LPS @ np.diag([100.0, 100, 100, 1]))
    problem = _problem(giant)
    assert problem.code == VolumeCode.INVALID_AFFINE
    assert "mm, so its voxel size can't be right" in problem.detail


def test_intensities_that_a_damaged_scale_makes_are_rejected(tmp_path):
    absurd = head().astype(np.float32) * np.float32(1e30)
    assert _problem(one_case(tmp_path, _with(t1=absurd))).code == VolumeCode.NON_FINITE


def test_a_task_grid_beyond_any_memory_is_rejected(tmp_path):
    wide = one_case(tmp_path, _with(), affine=LPS @ np.diag([60.0, 60, 60, 1]))
    fine = SETTINGS.model_copy(update={"spacing_mm": (0.5, 0.5, 0.5)})
    with pytest.raises(CaseError) as caught:
        preprocess(wide, None, fine)
    assert caught.value.problem.code == DataCode.TOO_LARGE


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_label_7_is_named(tmp_path, dtype):
    drawn = label((1, 2, 7)).astype(dtype)
    problem = _problem(one_case(tmp_path, _with(), drawn), LabelConvention.BRATS_2018)
    assert problem.code == VolumeCode.BAD_LABEL_VALUE
    assert "holds 7" in problem.detail


def test_a_label_of_another_shape_is_rejected(tmp_path):
    drawn = label((1, 2), (12, 14, 11))
    problem = _problem(one_case(tmp_path, _with(), drawn), LabelConvention.BRATS_2018)
    assert problem.code == VolumeCode.SHAPE_MISMATCH


def test_an_image_cut_off_in_a_copy_is_rejected(tmp_path):
    case = one_case(tmp_path, _with())
    path = case.images["flair"].path
    path.write_bytes(path.read_bytes()[:-200])
    assert _problem(case).code == DataCode.TRUNCATED


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything: run as another user")
def test_a_forbidden_image_is_rejected(tmp_path):
    case = one_case(tmp_path, _with())
    case.images["flair"].path.chmod(0)
    assert _problem(case).code == DataCode.PERMISSION_DENIED


def test_a_label_without_a_convention_is_a_mistake_of_the_caller(tmp_path):
    with pytest.raises(ValueError, match="convention"):
        preprocess(one_case(tmp_path, _with(), label((1,))), None, SETTINGS)


def _overwrite_affine(path, affine):
    """Write an affine that nibabel would refuse to save: a header as a broken converter leaves it."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[252:256] = (0).to_bytes(2, "little") + (1).to_bytes(2, "little")  # qform_code, sform_code
    content[280:328] = affine[:3].astype("<f4").tobytes()
    path.write_bytes(gzip.compress(bytes(content)))
