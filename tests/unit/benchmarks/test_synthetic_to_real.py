import json

import nibabel as nib
import numpy as np
import pytest

from consilium.errors import ConfigurationError
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings
from real_parts.patients import find_real_patients, make_tumor_free
from real_parts.transfer import MODEL_FILE, Transfer, _score, write_results

SHAPE = (66, 80, 70)


def write_patient(folder, name="p1"):
    """A symmetric head 1 voxel off the middle of the grid, with a tumor in one hemisphere."""
    x, y, z = np.meshgrid(*[np.arange(size) for size in SHAPE], indexing="ij")
    distance = ((x - 34) / 32) ** 2 + ((y - 40) / 38) ** 2 + ((z - 35) / 34) ** 2
    head = np.where(distance < 1, np.where(distance < 0.4, 150, 100), 0).astype(np.int16)
    label = np.zeros(SHAPE, np.uint8)
    label[45:52, 35:45, 30:40] = 2
    label[46:50, 38:42, 32:36] = 4
    home = folder / "clinic" / name
    home.mkdir(parents=True)
    for kind, image in {
        **dict.fromkeys(("t1", "t1ce", "t2", "flair"), np.where(label, 300, head).astype(np.int16)),
        "seg": label,
    }.items():
        nib.save(nib.Nifti1Image(image, np.eye(4)), home / f"{name}_{kind}.nii.gz")
    return label


def test_the_stand_in_for_a_patient_without_tumor_is_the_healthy_hemisphere_twice(tmp_path):
    write_patient(tmp_path)
    plain, lesions = make_tumor_free(find_real_patients(tmp_path), tmp_path / "free")
    flair = np.asarray(nib.load(plain / f"{plain.name}_flair.nii.gz").dataobj)
    assert flair.max() < 300
    assert np.array_equal(flair[34:66], flair[3:35][::-1])
    spotted = np.asarray(nib.load(lesions / f"{lesions.name}_flair.nii.gz").dataobj)
    assert 10 < (spotted != flair).sum() < 0.2 * (flair > 0).sum()
    assert not spotted[flair == 0].any()


def test_a_slab_is_scored_where_it_is_complete_and_makes_no_stand_in(tmp_path):
    label = write_patient(tmp_path)
    (tmp_path / "clinic/slices.json").write_text(json.dumps({"p1": {"complete_slices": [32, 33]}}))
    (patient,) = find_real_patients(tmp_path)
    found = np.zeros_like(label)
    found[..., 32:34] = label[..., 32:34]
    score = _score(patient, nib.Nifti1Image(found, np.eye(4)))
    assert score["wt"] == {"dice": 1.0, "found_ml": 0.14, "true_ml": 0.14}
    assert score["et"]["dice"] == 1.0
    assert make_tumor_free([patient], tmp_path / "free") == []


def test_a_model_of_other_steps_or_settings_is_not_taken_for_this_one(tmp_path):
    def run(steps, **settings):
        transfer = Transfer(tmp_path / "now-0", {"a": tmp_path}, BrainTumorSettings(**settings), steps, 1)
        return transfer.run("now", [], [])

    home = tmp_path / "now-0"
    home.mkdir()
    (home / "synthetic.json").write_text('{"wt": 0.5}')
    (home / MODEL_FILE).write_bytes(b"trained before")
    assert run(160)["synthetic"] == run(160)["synthetic"] == {"wt": 0.5}
    for other in ({"steps": 320}, {"steps": 160, "batch_size": 4}):
        with pytest.raises(ConfigurationError, match="other settings, steps"):
            run(**other)


def test_a_folder_without_labels_is_no_test(tmp_path):
    with pytest.raises(ConfigurationError, match="no labeled case"):
        find_real_patients(tmp_path)


def test_the_table_has_means_over_seeds_and_leaves_out_what_nobody_has(tmp_path):
    def row(seed, wt):
        regions = {"wt": wt, "tc": 0.5, "et": None}
        return {
            "way": "now",
            "seed": seed,
            "steps": 16,
            "synthetic": {"wt": 0.9, "tc": 0.8, "et": 0.7},
            "patients": {"p1": {name: {"dice": dice} for name, dice in regions.items()}},
            "tumor_free_ml": {"p1-mirrored": wt},
        }

    table = write_results(tmp_path, [row(0, 0.6), row(1, 0.8)]).splitlines()
    assert table[-1].startswith("| **now, mean** | 16 | 0.700 0.500 - | 0.700 0.500 - | 0.7 | 0.900")
    assert len(json.loads((tmp_path / "result.json").read_text())) == 2
