"""A network whose answer anybody can compute: a region is where one image is bright."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn

from consilium.learning.model_file import save_model
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings
from consilium.tasks.segmentation import networks

MODALITIES = ("t1", "t1ce", "t2", "flair")
LEARNING = BrainTumorSettings(spacing_mm=1.0, patch_voxels=(16, 16, 16))


def bright_weights():
    """WT where FLAIR is bright, TC where T1ce is bright; ET nowhere."""
    weight = torch.zeros(3, 4, 1, 1, 1)
    weight[0, 1], weight[1, 3] = 10.0, 10.0
    return {"weight": weight.numpy(), "bias": np.array([-20.0, -20.0, -20.0], np.float32)}


def write_model(path: Path, *, learning=LEARNING, weights=None, **metadata):
    values = {"learning": json.dumps(learning.model_dump(mode="json")), "round": "3", **metadata}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(path, weights or bright_weights(), values)
    return path


@pytest.fixture(autouse=True)
def one_layer(monkeypatch):
    monkeypatch.setitem(
        networks.NETWORKS, "unet_small", lambda channels, regions: nn.Conv3d(channels, regions, 1)
    )


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "result/model.safetensors")


def brain(shape=(22, 26, 18), *, seed=0, margin=3):
    """Noise in a box, and the voxels that are bright: a block at no symmetric place."""
    random = np.random.default_rng(seed)
    image = np.zeros(shape, np.int16)
    inside = tuple(
        slice(edge, size - edge) for edge, size in zip(np.broadcast_to(margin, 3), shape, strict=True)
    )
    image[inside] = random.integers(400, 600, image[inside].shape)
    bright = np.zeros(shape, bool)
    bright[5:9, 8:11, 10:12] = True
    return image, bright


def write_case(
    folder: Path, case_id, *, affine=None, codes=(1, 2), without=(), margin=3, shape=(22, 26, 18), seed=0
):
    """Four images of one patient; returns which voxels are bright in FLAIR."""
    folder = folder / case_id
    folder.mkdir(parents=True)
    bright = None
    for index, name in enumerate(MODALITIES):
        image, bright = brain(shape, seed=seed * 10 + index, margin=margin)
        if name == "flair":
            image[bright] = 6000
        if name in without:
            continue
        volume = nib.Nifti1Image(image, np.diag([-1.0, -1.0, 1.0, 1.0]) if affine is None else affine)
        volume.set_qform(volume.affine, code=codes[0])
        volume.set_sform(volume.affine, code=codes[1])
        volume.to_filename(folder / f"{case_id}_{name}.nii.gz")
    return bright


def write_labeled_case(folder: Path, case_id, *, marked=slice(10, 12), **options):
    """The same with a label: the whole tumor where FLAIR is bright, or in some of its slices only."""
    bright = write_case(folder, case_id, **options)
    label = np.zeros(bright.shape, np.uint8)
    label[..., marked][bright[..., marked]] = 2
    affine = nib.load(folder / case_id / f"{case_id}_flair.nii.gz").affine
    nib.Nifti1Image(label, affine).to_filename(folder / case_id / f"{case_id}_seg.nii.gz")
