"""A bundle without Consilium and `consilium predict`: the same voxels, before the network and after it."""

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from data.hospital import read_native
from prediction.test_geometry import AFFINES
from tasks.packages import brought

from bundle.conftest import LEARNING, write_model
from consilium.bundle.writer import write_bundle
from consilium.prediction.inputs import find_inputs
from consilium.prediction.run import predict
from consilium.tasks import get_task
from consilium.tasks.segmentation.preparation.preprocessing import preprocess

RUN = Path(__file__).with_name("run_bundle.py")
pytestmark = pytest.mark.integration  # the bundle in a process of its own

IMAGES = ("t1", "t1ce", "t2", "flair")
PLACES = [name.replace(" ", "-") for name in AFFINES]
CASES = [*PLACES, "long-voxels", "scaled", "floats", "stray"]


def write_brains(folder):
    for name, affine in zip(PLACES, AFFINES.values(), strict=True):
        write_brain(folder / name, affine=affine)
    write_brain(folder / "long-voxels", affine=np.diag([0.7, 0.7, 4.0, 1.0]), shape=(44, 40, 12))
    write_brain(folder / "scaled", slope=0.37)
    write_brain(folder / "floats", dtype=np.float32)
    write_brain(folder / "stray", stray=True)


def write_brain(folder, *, affine=None, shape=(30, 34, 26), dtype=np.int16, slope=None, stray=False):
    folder.mkdir(parents=True)
    for number, name in enumerate(IMAGES):
        random = np.random.default_rng(number)
        image = np.zeros(shape)
        image[4:-5, 3:-4, 2:-3] = random.normal(500, 120, image[4:-5, 3:-4, 2:-3].shape).clip(5, 3000)
        image[9:15, 10:15, 5:9] += 300 * number
        if stray:
            image[0, 0, 0] = 30_000
        volume = nib.Nifti1Image(image.astype(dtype), np.eye(4) if affine is None else affine)
        if slope is not None:
            volume.header.set_slope_inter(slope, 0)
        volume.to_filename(folder / f"{folder.name}_{name}.nii.gz")


@pytest.fixture(scope="module")
def brains(tmp_path_factory):
    folder = tmp_path_factory.mktemp("brains")
    write_brains(folder / "in")
    return compare(folder, write_model(folder / "result/model.safetensors"))


def compare(folder, model):
    """Run both; the bundle in a process that has no Consilium."""
    bundle = write_bundle(model, folder / "bundle")
    (folder / "monai").mkdir()
    words = [sys.executable, RUN, bundle, folder / "in", folder / "monai"]
    ended = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    predict(bundle, folder / "in", folder / "ours", workers=1)
    return folder


def label_maps(folder, case):
    return nib.load(folder / f"monai/{case}_seg.nii.gz"), nib.load(folder / f"ours/{case}_seg.nii.gz")


def prepared(folder, case, task, learning):
    (found,) = (one for one in find_inputs(folder / "in", task.cases).cases if one.id == case)
    settings = task.cases.preparation(learning)
    return preprocess(read_native(task.cases, found), settings, task.cases.normalization).image


@pytest.mark.parametrize("case", CASES)
def test_the_network_sees_the_same_voxels(brains, case):
    ours = prepared(brains, case, get_task("brain_tumor"), LEARNING)
    theirs = np.load(brains / f"monai/{case}.npy")
    assert np.array_equal(theirs, ours.astype(np.float32))
    assert ours.std() > 0.1


@pytest.mark.parametrize("case", CASES)
def test_the_same_voxels_are_found(brains, case):
    theirs, ours = label_maps(brains, case)
    assert np.array_equal(np.asarray(theirs.dataobj), np.asarray(ours.dataobj))
    assert (brains / f"monai/{case}_seg.nii.gz").read_bytes() == (
        brains / f"ours/{case}_seg.nii.gz"
    ).read_bytes()


def test_something_is_found(brains):
    values = {one for case in CASES for one in np.unique(label_maps(brains, case)[1].dataobj).tolist()}
    assert len(values) > 2, "random weights that find one thing show nothing"


@pytest.mark.long
def test_another_task_with_another_normalization(tmp_path):
    with brought("chest_ct"):
        task = get_task("chest_ct")
        hospital = task.synthetic.make(tmp_path / "made", only=["elm"]).hospitals["elm"]
        for case in ("patient00", "patient01"):
            place = tmp_path / "in" / case
            place.mkdir(parents=True)
            (hospital / f"{case}_ct.nii.gz").rename(place / f"{case}_ct.nii.gz")
        learning = task.settings_type()
        compare(tmp_path, write_model(tmp_path / "result/model.safetensors", task=task, learning=learning))
        for case in ("patient00", "patient01"):
            ours = prepared(tmp_path, case, task, learning)
            assert np.array_equal(np.load(tmp_path / f"monai/{case}.npy"), ours.astype(np.float32))
            theirs, mine = label_maps(tmp_path, case)
            assert np.array_equal(np.asarray(theirs.dataobj), np.asarray(mine.dataobj))
