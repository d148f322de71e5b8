"""The three real patients through a bundle and through `consilium predict`: the same files."""

import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bundle.conftest import write_model
from bundle.test_same_voxels import compare
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

REPOSITORY = Path(__file__).parents[3]
FOLDER = Path(os.environ.get("CONSILIUM_REAL_DATA") or REPOSITORY / "../shared/data/real")
PATIENTS = ("msd_task01/BRATS_009", "tcga_lgg/TCGA-DU-7294", "tcga_lgg/TCGA-FG-6692")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.long,
    pytest.mark.real_data,
    pytest.mark.skipif(
        not FOLDER.is_dir(), reason=f"no real patients in {FOLDER}: set CONSILIUM_REAL_DATA to their folder"
    ),
]


def test_a_bundle_finds_in_real_patients_what_predict_finds(tmp_path):
    for patient in PATIENTS:
        shutil.copytree(FOLDER / patient, tmp_path / "in" / Path(patient).name)
    compare(tmp_path, write_model(tmp_path / "result/model.safetensors", learning=BrainTumorSettings()))
    for patient in PATIENTS:
        name = f"{Path(patient).name}_seg.nii.gz"
        assert len(np.unique(nib.load(tmp_path / "ours" / name).dataobj)) > 2
        assert (tmp_path / "monai" / name).read_bytes() == (tmp_path / "ours" / name).read_bytes()
