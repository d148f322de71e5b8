import nibabel as nib
import numpy as np
import pytest
import torch
from data.hospital import head, label, one_case, preprocess
from hypothesis import given
from hypothesis import strategies as st

from consilium.tasks.brain_tumor.cases import brain_tumor_cases
from consilium.tasks.brain_tumor.label_conventions import LabelConvention
from consilium.tasks.segmentation.geometry import Geometry
from consilium.tasks.segmentation.labels import to_classes

SHAPE = (12, 14, 10)
OBLIQUE = np.array([[0.1, -0.97, 0.1, 5], [0.98, 0.1, 0.1, -3], [0.1, -0.1, -1.9, 8], [0, 0, 0, 1]])


def _oriented(axes, spacing):
    """An affine whose array axes point along the given codes."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, (code, size) in enumerate(zip(axes, spacing, strict=True)):
        row = next(index for index, pair in enumerate(("LR", "PA", "IS")) if code in pair)
        affine[row, column] = size if code in "RAS" else -size
    return affine


AFFINES = {
    "RAS": _oriented("RAS", (1, 1, 1)),
    "LPS": _oriented("LPS", (1, 1, 1)),
    "SLA, anisotropic": _oriented("SLA", (3.0, 1.0, 0.5)),
    "PIR": _oriented("PIR", (1, 2, 1)),
    "oblique": OBLIQUE,
}


def _prepared(folder, affine, spacing_mm, shape=SHAPE):
    case = one_case(folder, {"t1": head(shape)}, label((1, 2, 4), shape), affine)
    settings = brain_tumor_cases(("t1",)).preprocessing(spacing_mm)
    return preprocess(case, LabelConvention.BRATS_2018, settings), case


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
@pytest.mark.parametrize("spacing_mm", [1.0, 2.0, 0.7])
def test_the_reference_returns_to_its_file_voxel_by_voxel(tmp_path, affine, spacing_mm):
    prepared, case = _prepared(tmp_path, affine, spacing_mm)
    original = np.asanyarray(nib.load(case.target.path).dataobj)
    stored = to_classes(original, LabelConvention.BRATS_2018.values, LabelConvention.BRATS_2018.value)
    assert np.array_equal(prepared.geometry.to_file_grid(prepared.reference), stored)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_every_orientation_gives_the_same_case(tmp_path, affine):
    """Voxels at the same place in the patient end at the same place in the array."""
    codes = "".join(nib.aff2axcodes(affine))
    ras = head(SHAPE)
    to_file = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)
    )
    turned = nib.orientations.apply_orientation(ras, to_file)
    case = one_case(tmp_path, {"t1": turned}, affine=affine)
    x, y, z = nib.affines.voxel_sizes(affine)[np.argsort(nib.io_orientation(affine)[:, 0])]
    prepared = preprocess(case, None, brain_tumor_cases(("t1",)).preprocessing((x, y, z)))
    inner = ras[3:-3, 3:-3, 3:-3]
    wanted = (inner - inner.mean()) / inner.std()
    assert prepared.geometry.native_spacing_mm == pytest.approx((x, y, z))
    assert np.allclose(prepared.image[0, 2:-2, 2:-2, 2:-2], wanted, atol=2e-3)


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
@pytest.mark.parametrize("spacing_mm", [2.0, 0.7, (1.0, 0.5, 3.0)])
def test_a_prediction_on_the_task_grid_lands_on_the_tumor(tmp_path, affine, spacing_mm):
    shape = (30, 32, 28)
    case = one_case(tmp_path, {"t1": head(shape)}, _ball(shape), affine)
    settings = brain_tumor_cases(("t1",)).preprocessing(spacing_mm)
    prepared = preprocess(case, LabelConvention.BRATS_2018, settings)
    probability = torch.from_numpy((prepared.label == 2).astype(np.float32))[None]
    predicted = prepared.geometry.to_native_crop(probability)[0].numpy() > 0.5
    found = prepared.geometry.to_file_grid(predicted)
    wanted = _ball(shape) == 2
    assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.8
    assert np.argwhere(found).mean(axis=0) == pytest.approx(np.argwhere(wanted).mean(axis=0), abs=0.35)


def test_geometry_survives_json(tmp_path):
    geometry = _prepared(tmp_path, OBLIQUE, 1.5)[0].geometry
    assert Geometry.model_validate_json(geometry.model_dump_json()) == geometry


def test_arrays_of_another_grid_are_rejected(tmp_path):
    geometry = _prepared(tmp_path, np.eye(4), 2.0)[0].geometry
    with pytest.raises(ValueError, match="not \\(C, "):
        geometry.to_native_crop(torch.zeros(1, 3, 3, 3))
    with pytest.raises(ValueError, match="labelmap has the shape"):
        geometry.to_file_grid(np.zeros((3, 3, 3), np.uint8))


@given(st.permutations(range(3)), st.tuples(*[st.booleans()] * 3), st.integers(0, 2**31))
def test_any_turn_and_flip_is_undone(order, flips, seed):
    codes = "".join(("RL", "AP", "SI")[axis][flip] for axis, flip in zip(order, flips, strict=True))
    random = np.random.default_rng(seed)
    file_shape = tuple(random.integers(4, 9, 3).tolist())
    ras_shape = [0, 0, 0]
    for size, axis in zip(file_shape, order, strict=True):
        ras_shape[axis] = size
    full = np.zeros(ras_shape, np.uint8)
    start = tuple(random.integers(0, 3, 3).tolist())
    crop = random.integers(1, 5, [size - first for size, first in zip(ras_shape, start, strict=True)])
    full[tuple(slice(first, None) for first in start)] = crop
    geometry = Geometry(
        file_shape=file_shape,
        file_affine=_oriented(codes, (1, 1, 1)).tolist(),
        orientation=codes,
        native_spacing_mm=(1, 1, 1),
        crop_start=start,
        crop_stop=tuple(ras_shape),
        task_shape=crop.shape,
    )
    image = nib.Nifti1Image(geometry.to_file_grid(crop.astype(np.uint8)), np.array(geometry.file_affine))
    assert np.array_equal(np.asanyarray(nib.as_closest_canonical(image).dataobj), full)


def _ball(shape):
    """Edema, radius 6 voxels, off the center."""
    grid = np.indices(shape).T - np.array([13, 17, 14])
    return ((np.linalg.norm(grid, axis=-1).T < 6) * 2).astype(np.uint8)
