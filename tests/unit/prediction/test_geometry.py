"""Where a prediction lies: voxel by voxel where its source is, however that is turned, cut or spaced."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import voxel_sizes
from nibabel.eulerangles import euler2mat

from consilium.prediction.run import predict
from prediction.conftest import LEARNING, write_case, write_model


def placed(matrix, offset=(-31.5, 40.25, 7.0)):
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, offset
    return affine


AFFINES = {
    "straight": placed(np.eye(3)),
    "flipped": placed(np.diag([-1.0, -1.0, 1.0])),
    "upside down": placed(np.diag([1.0, -1.0, -1.0])),
    "axes in another order": placed(np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])),
    "oblique": placed(euler2mat(0.2, -0.1, 0.3)),
    "oblique and flipped": placed(euler2mat(0.35, 0.1, -0.2) @ np.diag([-1.0, 1.0, -1.0])),
}


def outcome(model, folder, out, **options):
    done = predict(model, folder, out, workers=1, **options)
    assert len(done.predicted) == 1, done.findings
    return done


@pytest.mark.quick_cases(5)
@pytest.mark.parametrize("name", AFFINES)
@pytest.mark.parametrize("codes", [(1, 2), (0, 4), (1, 0)], ids=str)
def test_a_label_map_is_on_the_voxels_of_its_source(tmp_path, model, name, codes):
    bright = write_case(tmp_path / "in", "P1", affine=AFFINES[name], codes=codes)
    outcome(model, tmp_path / "in", tmp_path / "out")
    found = nib.load(tmp_path / "out/P1_seg.nii.gz")
    source = nib.load(tmp_path / "in/P1/P1_t1.nii.gz")
    assert np.array_equal(np.asarray(found.dataobj) == 2, bright)
    assert found.get_data_dtype() == np.uint8
    assert np.array_equal(found.affine, source.affine)
    for field in ("qform_code", "sform_code", "quatern_b", "qoffset_x", "srow_x", "pixdim", "xyzt_units"):
        assert np.array_equal(found.header[field], source.header[field]), field


@pytest.mark.parametrize("margin", [(3, 3, 0), (0, 3, 3), (2, 0, 0)], ids=str)
def test_a_field_of_view_that_ends_within_the_anatomy_is_filled(tmp_path, model, margin):
    bright = write_case(tmp_path / "in", "P1", margin=margin)
    outcome(model, tmp_path / "in", tmp_path / "out")
    assert np.array_equal(nib.load(tmp_path / "out/P1_seg.nii.gz").get_fdata() == 2, bright)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("zooms", [(1.0, 1.0, 2.0), (0.8, 1.5, 1.0), (2.0, 2.0, 2.0)], ids=str)
def test_probabilities_are_brought_back_to_the_voxels_of_the_source(tmp_path, model, zooms):
    affine = placed(euler2mat(0.1, 0.2, -0.1) @ np.diag([-zooms[0], zooms[1], zooms[2]]))
    bright = write_case(tmp_path / "in", "P1", affine=affine, shape=(30, 26, 24))
    outcome(model, tmp_path / "in", tmp_path / "out")
    found = nib.load(tmp_path / "out/P1_seg.nii.gz")
    marked = np.asarray(found.dataobj) == 2
    assert found.shape == bright.shape
    assert np.allclose(voxel_sizes(found.affine), zooms, atol=1e-6)
    centers = [np.argwhere(one).mean(axis=0) for one in (marked, bright)]
    assert np.abs(centers[0] - centers[1]).max() < 0.5
    assert 2 * (marked & bright).sum() / (marked.sum() + bright.sum()) > 0.75


def test_volumes_are_those_of_the_file(tmp_path, model):
    affine = placed(np.diag([1.0, 2.0, 1.5]))
    write_case(tmp_path / "in", "P1", affine=affine)
    done = outcome(model, tmp_path / "in", tmp_path / "out", labels="brats-2018")
    voxels = int((nib.load(tmp_path / "out/P1_seg.nii.gz").get_fdata() > 0).sum())
    header, row = (line.split(",") for line in done.table.read_text().splitlines())
    assert float(dict(zip(header, row, strict=True))["wt_ml"]) == pytest.approx(voxels * 3 / 1000, abs=1e-3)


def test_channels_of_one_file_are_a_case(tmp_path, model):
    bright = write_case(tmp_path / "files", "P1")
    sources = [nib.load(tmp_path / f"files/P1/P1_{name}.nii.gz") for name in ("flair", "t1", "t1ce", "t2")]
    stacked = nib.Nifti1Image(np.stack([np.asarray(one.dataobj) for one in sources], -1), sources[0].affine)
    (tmp_path / "in/imagesTs").mkdir(parents=True)
    stacked.to_filename(tmp_path / "in/imagesTs/BRATS_901.nii.gz")
    (tmp_path / "in/dataset.json").write_text(
        '{"modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}, "labels": {}}'
    )
    for number, folder in enumerate((tmp_path / "in", tmp_path / "in/imagesTs")):
        outcome(model, folder, tmp_path / f"out{number}")
        found = nib.load(tmp_path / f"out{number}/BRATS_901_seg.nii.gz")
        assert np.array_equal(found.get_fdata() == 2, bright)
        assert found.header["dim"][0] == 3


def test_probabilities_decide_as_the_label_map_does(tmp_path):
    model = write_model(tmp_path / "model.safetensors", learning=LEARNING)
    write_case(tmp_path / "in", "P1", affine=placed(np.diag([1.0, 1.0, 2.0])), shape=(22, 26, 20))
    outcome(model, tmp_path / "in", tmp_path / "out", probabilities=True)
    probability = nib.load(tmp_path / "out/P1_wt_probability.nii.gz")
    label = nib.load(tmp_path / "out/P1_seg.nii.gz")
    assert np.array_equal(probability.get_fdata() > 0.5, label.get_fdata() > 0)
    assert np.count_nonzero((probability.get_fdata() > 0.01) & (probability.get_fdata() < 0.99)) > 0
    assert np.array_equal(probability.affine, label.affine)
