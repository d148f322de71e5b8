"""What other readers of MONAI bundles find, by the steps of their sources.

Neither is installed here: the steps are those of `MonaiBundleInferenceOperator` in MONAI Deploy App SDK 4.0.0
and of `BundleInferTask` in MONAI Label 0.8.5.
"""

import json
import sys

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import LoadImaged, MapTransform, SaveImaged

from bundle.conftest import write_model
from bundle.test_same_voxels import IMAGES, write_brain
from consilium.bundle.writer import write_bundle
from consilium.prediction.run import predict

AFFINE = np.array([[0, -1.2, 0, 90], [-1.1, 0, 0, 80], [0, 0, 1.5, -70], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A bundle, a case as one file of four channels, and what `consilium predict` finds in the same case."""
    folder = tmp_path_factory.mktemp("readers")
    bundle = write_bundle(write_model(folder / "model.safetensors"), folder / "bundle")
    write_brain(folder / "in/P1", affine=AFFINE)
    volumes = [nib.load(folder / f"in/P1/P1_{name}.nii.gz") for name in IMAGES]
    channels = np.stack([np.asarray(one.dataobj) for one in volumes], axis=-1)
    nib.Nifti1Image(channels, volumes[0].affine, volumes[0].header).to_filename(folder / "P1.nii.gz")
    predict(bundle, folder / "in", folder / "ours", workers=1)
    return folder


@pytest.fixture
def expected(folder):
    found = np.asarray(nib.load(folder / "ours/P1_seg.nii.gz").dataobj)
    assert len(np.unique(found)) > 2
    return found


@pytest.fixture
def bundle(folder, monkeypatch):
    """The bundle, with its scripts to import."""
    monkeypatch.syspath_prepend(folder / "bundle")
    before = {name for name in sys.modules if name.partition(".")[0] == "scripts"}
    yield folder / "bundle"
    for name in [one for one in sys.modules if one.partition(".")[0] == "scripts"]:
        if name not in before:
            del sys.modules[name]


@pytest.mark.long
def test_monai_deploy_finds_what_predict_finds(bundle, folder, expected):
    parser = ConfigParser()
    parser.read_meta(json.loads((bundle / "configs/metadata.json").read_text()))
    parser.read_config([bundle / "configs/inference.json"])
    parser.parse()
    device, inferer = parser.get_parsed_content("device"), parser.get_parsed_content("inferer")
    (name, image), (output, pred) = (
        next(iter(parser["_meta_"]["network_data_format"][kind].items())) for kind in ("inputs", "outputs")
    )
    assert (image["type"], pred["type"]) == ("image", "image")
    before, after = (
        without(parser.get_parsed_content(key), "LoadImage", "SaveImage")
        for key in ("preprocessing", "postprocessing")
    )
    assert isinstance(before.transforms[0], MapTransform)
    assert isinstance(after.transforms[0], MapTransform)
    network = torch.jit.load(bundle / "models/model.ts", map_location=device).eval()
    volume = nib.load(folder / "P1.nii.gz")
    values = np.asarray(volume.dataobj)
    assert values.shape[-1] == image["num_channels"]
    meta = {"original_channel_dim": -1, "affine": volume.affine, "original_affine": volume.affine}
    with torch.no_grad():
        data = before({name: MetaTensor.ensure_torch_and_prune_meta(torch.from_numpy(values), meta)})
        logits = inferer(inputs=data[name][None].to(device), network=network)
        found = after({output: next(iter(logits)), **data})[output]
    assert np.array_equal(np.squeeze(found.cpu().numpy(), 0).astype(np.uint8), expected)


def without(compose, *words):
    compose.transforms = tuple(
        one for one in compose.transforms if not any(word in type(one).__name__ for word in words)
    )
    return compose


def test_monai_label_and_slicer_find_what_predict_finds(bundle, folder, expected):
    parser = ConfigParser()
    parser.read_config(bundle / "configs/inference.json")
    parser.config.update({"bundle_root": str(bundle), "use_click": False})
    network = parser.get_parsed_content("network_def", instantiate=True).eval()
    network.load_state_dict(torch.load(bundle / "models/model.pt", weights_only=True))
    metadata = json.loads((bundle / "configs/metadata.json").read_text())["network_data_format"]
    (name, image), (output, pred) = (next(iter(metadata[kind].items())) for kind in ("inputs", "outputs"))
    assert len(image["spatial_shape"]) == 3
    assert sorted(map(int, pred["channel_def"])) == list(range(pred["num_channels"]))
    data = {name: str(folder / "P1.nii.gz"), "device": "cpu"}
    for step in parser.get_parsed_content("preprocessing", instantiate=True).transforms:
        if isinstance(step, LoadImaged):
            step._loader.image_only = False
        data = step(data)
    with torch.no_grad():
        inferer = parser.get_parsed_content("inferer", instantiate=True)
        data[output] = inferer(data[name][None], network)[0]
    for step in parser.get_parsed_content("postprocessing", instantiate=True).transforms:
        if not isinstance(step, SaveImaged):
            data = step(data)
    found = data[output]
    assert tuple(data[name].meta["spatial_shape"]) == tuple(found.shape[1:])  # it resizes to this shape
    assert np.array_equal(found.cpu().numpy()[0], expected)
