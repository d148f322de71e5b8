"""What a bundle holds, and what MONAI's own commands say about it."""

import json
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from monai.transforms import SaveImaged
from tasks.packages import brought

from bundle.conftest import LEARNING, write_model
from bundle.test_same_voxels import write_brain
from consilium.bundle.options import BundleOptions
from consilium.bundle.writer import write_bundle
from consilium.errors import ConfigurationError, DataError
from consilium.prediction.trained_model import TrainedModel
from consilium.tasks.segmentation import networks
from consilium.tasks.segmentation.bundle.scripts import read_scripts
from consilium.tasks.segmentation.bundle.transforms import SaveImageAsSourced

SCHEMA = {
    "type": "object",
    "required": [
        *("version", "monai_version", "pytorch_version", "numpy_version", "required_packages_version"),
        *("task", "description", "authors", "copyright", "network_data_format"),
    ],
}
"""What MONAI's specification calls mandatory; its own schema is on the internet."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    options = BundleOptions("1.2.0", "North | South", "CC-BY-4.0")
    return write_bundle(write_model(folder / "result/model.safetensors"), folder / "glioma", options)


def test_the_model_s_file_is_the_same_and_the_others_hold_the_same_weights(bundle):
    ours = TrainedModel.load(bundle.parent / "result").weights
    source = (bundle.parent / "result/model.safetensors").read_bytes()
    assert (bundle / "models/model.safetensors").read_bytes() == source
    state = torch.load(bundle / "models/model.pt", weights_only=True)
    script = torch.jit.load(bundle / "models/model.ts").state_dict()
    for weights in (state, script):
        assert weights.keys() == ours.keys()
        assert all(np.array_equal(weights[name].numpy(), ours[name]) for name in ours)


def test_checksums_are_of_all_files_and_of_what_they_hold(bundle):
    ended = subprocess.run(
        ["sha256sum", "-c", "checksums.sha256"], cwd=bundle, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    files = {one.relative_to(bundle).as_posix() for one in bundle.rglob("*") if one.is_file()}
    listed = {line.split("  ")[1] for line in (bundle / "checksums.sha256").read_text().splitlines()}
    assert files - listed == {"checksums.sha256"}


def test_torchscript_carries_metadata_and_configuration_as_monai_deploy_reads_them(bundle):
    with zipfile.ZipFile(bundle / "models/model.ts") as archive:
        for name in ("metadata", "inference"):
            content = archive.read(f"model/extra/{name}.json")
            assert content == (bundle / f"configs/{name}.json").read_bytes()


def test_metadata_says_what_goes_in_and_out(bundle):
    metadata = json.loads((bundle / "configs/metadata.json").read_text())
    assert metadata["version"] == "1.2.0"
    assert "not for clinical use" in metadata["intended_use"]
    image, pred = (
        metadata["network_data_format"][kind][name]
        for kind, name in (("inputs", "image"), ("outputs", "pred"))
    )
    assert list(image["channel_def"].values()) == ["T1", "T1ce", "T2", "FLAIR"]
    assert list(pred["channel_def"].values()) == ["Tumor core", "Whole tumor", "Enhancing tumor"]
    assert image["spatial_shape"] == list(LEARNING.patch_voxels)


@pytest.mark.integration
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(
            ["verify_metadata", "--meta_file", "configs/metadata.json", "--filepath", "{schema}"],
            marks=pytest.mark.long,
        ),
        pytest.param(
            [
                *("verify_net_in_out", "--net_id", "network_def", "--meta_file", "configs/metadata.json"),
                *("--config_file", "configs/inference.json"),
            ],
            marks=pytest.mark.long,
        ),
        [
            *("run", "--config_file", "configs/inference.json"),
            *("--dataset_dir", "{data}", "--output_dir", "{out}"),
        ],
    ],
    ids=lambda words: words[0],
)
def test_monai_accepts_it(bundle, tmp_path, words):
    pytest.importorskip("fire")
    pytest.importorskip("ignite")
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    write_brain(tmp_path / "in/P1")
    places = {"schema": tmp_path / "schema.json", "data": tmp_path / "in", "out": tmp_path / "out"}
    words = [word.format(**places) for word in words]
    ended = subprocess.run(
        [sys.executable, "-m", "monai.bundle", *words], cwd=bundle, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    if words[0] == "run":
        assert [one.name for one in (tmp_path / "out").iterdir()] == ["P1_seg.nii.gz"]


def test_scripts_import_nothing_of_consilium():
    for name, source in read_scripts().items():
        assert not re.search(r"^\s*(from|import) consilium", source, re.MULTILINE), name


def test_nothing_else_is_replaced(bundle, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="something else than a bundle"):
        write_bundle(bundle, tmp_path)
    again = write_bundle(bundle, tmp_path / "again")
    before = sorted(one.name for one in again.rglob("*"))
    write_bundle(bundle, again, BundleOptions(version="2.0.0"))
    assert json.loads((again / "configs/metadata.json").read_text())["version"] == "2.0.0"
    assert sorted(one.name for one in again.rglob("*")) == before
    assert {one.name for one in tmp_path.iterdir()} == {"notes.txt", "again"}


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("name", ["found/P1_seg.nii.gz", ".git/HEAD", "models/other.pt", "link"])
def test_a_bundle_with_files_of_others_is_not_replaced(bundle, tmp_path, name):
    copy = write_bundle(bundle, tmp_path / "copy")
    own = copy / name
    own.parent.mkdir(exist_ok=True)
    own.symlink_to(tmp_path) if name == "link" else own.write_text("mine")
    with pytest.raises(ConfigurationError, match=f"no part of the bundle, such as {name}"):
        write_bundle(bundle, copy)
    assert own.exists()


@pytest.mark.long
def test_a_bundle_that_was_run_in_place_is_replaced(bundle, tmp_path):
    copy = write_bundle(bundle, tmp_path / "copy")
    (copy / "scripts/__pycache__").mkdir()
    (copy / "scripts/__pycache__/transforms.cpython-310.pyc").write_bytes(b"compiled")
    write_bundle(bundle, copy)
    assert not (copy / "scripts/__pycache__").exists()


def test_a_bundle_is_a_model_until_it_is_changed(bundle, tmp_path):
    copy = write_bundle(bundle, tmp_path / "copy")
    assert TrainedModel.load(copy).digest == TrainedModel.load(bundle.parent / "result").digest
    write_model(copy / "models/model.safetensors", round="3")
    with pytest.raises(DataError, match=r"is not the file that .*checksums.sha256 lists"):
        TrainedModel.load(copy)
    (copy / "checksums.sha256").unlink()
    assert TrainedModel.load(copy).round == 3


def test_a_task_whose_models_can_t_be_bundled_says_so(tmp_path):
    with brought("fundus"):
        from consilium.tasks import get_task

        task = get_task("fundus")
        model = write_model(tmp_path / "model.safetensors", task=task, learning=task.settings_type())
        with pytest.raises(ConfigurationError, match="models of task fundus can't be bundled"):
            write_bundle(model, tmp_path / "bundle")


def test_a_network_that_monai_has_not_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(networks.NETWORKS, "unet_small", lambda c, r: torch.nn.Conv3d(c, r, 1))
    with pytest.raises(ConfigurationError, match="none of MONAI's; those that are: segresnet"):
        write_bundle(write_model(tmp_path / "model.safetensors"), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.long
def test_the_gpu_network_is_bundled_too(tmp_path):
    learning = LEARNING.model_copy(update={"network": "segresnet"})
    bundle = write_bundle(write_model(tmp_path / "model.safetensors", learning=learning), tmp_path / "bundle")
    network = json.loads((bundle / "configs/inference.json").read_text())["network_def"]
    assert (network["_target_"], network["in_channels"], network["out_channels"]) == ("SegResNet", 4, 3)


def test_readers_that_load_and_keep_images_themselves_know_which_steps_to_leave_out(bundle):
    inference = json.loads((bundle / "configs/inference.json").read_text())
    first, second, *_ = inference["preprocessing"]["transforms"]
    *_, last = inference["postprocessing"]["transforms"]
    assert (first["_target_"], second["_target_"]) == ("LoadImaged", "EnsureChannelFirstd")
    assert "SaveImage" in last["_target_"]  # MONAI Deploy goes by the name
    assert issubclass(SaveImageAsSourced, SaveImaged)  # MONAI Label by the class
