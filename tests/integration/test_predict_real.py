"""Real patients through training, `consilium predict`, `consilium evaluate` and their files."""

import csv

import nibabel as nib
import numpy as np
import pytest

from consilium import evaluate, predict

from .real_patients import FOLDER, MARKS
from .studies import export, simulate

pytestmark = MARKS


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    changes = {"rounds": 1, "min_sites": 1, "learning.spacing_mm": 3.0, "learning.patch_voxels": [48, 64, 48]}
    sites = {"a": FOLDER / "tcga_lgg", "b": FOLDER / "msd_task01"}
    return simulate(export(folder / "jobs", changes), sites, folder / "out")


def test_a_trained_model_predicts_real_patients(study, tmp_path):
    assert study.code == 0, study.stderr
    done = predict(study.out, FOLDER / "tcga_lgg", tmp_path / "out", pictures=True, probabilities=True)
    assert done.predicted == ("TCGA-DU-7294", "TCGA-FG-6692")
    with done.table.open(newline="") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    for case in done.predicted:
        label = nib.load(tmp_path / "out" / f"{case}_seg.nii.gz")
        source = nib.load(FOLDER / "tcga_lgg" / case / f"{case}_t1.nii.gz")
        assert label.shape == (240, 240, 155)
        assert np.array_equal(label.affine, source.affine)
        assert set(np.unique(label.dataobj)) <= {0, 1, 2, 3}
        outside = np.asarray(source.dataobj) == 0
        assert float(rows[case]["wt_ml"]) == pytest.approx(np.count_nonzero(label.dataobj) / 1000, abs=1e-3)
        probability = nib.load(tmp_path / "out" / f"{case}_wt_probability.nii.gz").get_fdata()
        assert probability[outside].mean() < probability[~outside].mean()
        assert (tmp_path / "out" / f"{case}.png").stat().st_size > 10_000


def test_a_slab_is_predicted_from_its_files(study, tmp_path):
    folder = FOLDER / "msd_task01/BRATS_009"
    files = {name: folder / f"BRATS_009_{name}.nii.gz" for name in ("t1", "t1ce", "t2", "flair")}
    done = predict(study.out / "result", files, tmp_path / "out", labels="decathlon")
    assert done.predicted == ("BRATS_009",)
    label = np.asarray(nib.load(tmp_path / "out/BRATS_009_seg.nii.gz").dataobj)
    assert not label[:, :, :50].any()
    assert not label[:, :, 120:].any()


def test_a_trained_model_is_measured_on_real_patients(study, tmp_path):
    done = evaluate(study.out, FOLDER / "tcga_lgg", tmp_path / "out")
    assert done.evaluated == ("TCGA-DU-7294", "TCGA-FG-6692")
    assert (done.summary.patients, done.left_out) == (2, ())
    with done.table.open(newline="") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    for case, row in rows.items():
        drawn = np.asarray(nib.load(FOLDER / "tcga_lgg" / case / f"{case}_seg.nii.gz").dataobj)
        found = float(row["volume_wt"]) - float(row["volume_error_wt"])
        assert found == pytest.approx(np.count_nonzero(drawn) / 1000, abs=1e-3)
        assert float(row["reference_volume_et"]) == pytest.approx(
            np.count_nonzero(drawn == 4) / 1000, abs=1e-3
        )
        assert 0 < float(row["dice_wt"]) < 1
        marked, reference, sensitivity = (
            float(row[f"{name}_wt"]) for name in ("volume", "reference_volume", "sensitivity")
        )
        wrongly_marked = (marked - sensitivity * reference) / (drawn.size / 1000 - reference)
        assert float(row["specificity_wt"]) == pytest.approx(1 - wrongly_marked, abs=1e-3)
    assert "TCGA" not in (tmp_path / "out/evaluation.json").read_text()
