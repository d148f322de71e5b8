"""`consilium evaluate -m BUNDLE`: the same as with the model's own file."""

import nibabel as nib
import numpy as np
import pytest

from bundle.conftest import write_model
from bundle.test_same_voxels import write_brain
from consilium.bundle.writer import write_bundle
from consilium.prediction.evaluate import evaluate


@pytest.mark.long
def test_a_bundle_is_measured_as_its_model_is(tmp_path):
    model = write_model(tmp_path / "result/model.safetensors")
    bundle = write_bundle(model, tmp_path / "bundle")
    write_brain(tmp_path / "in/P1")
    image = nib.load(tmp_path / "in/P1/P1_t1.nii.gz")
    label = np.zeros(image.shape, np.uint8)
    label[9:20, 8:24, 5:16], label[10:14, 10:14, 6:9] = 2, 1
    nib.Nifti1Image(label, image.affine).to_filename(tmp_path / "in/P1/P1_seg.nii.gz")
    ours, theirs = (
        evaluate(place, tmp_path / "in", tmp_path / f"out-{place.name}", workers=1, convention="brats-2023")
        for place in (model, bundle)
    )
    assert theirs.evaluated == ("P1",)
    assert theirs.summary == ours.summary
    assert theirs.table.read_bytes() == ours.table.read_bytes()
    assert theirs.summary.measures["dice_wt"].mean > 0
