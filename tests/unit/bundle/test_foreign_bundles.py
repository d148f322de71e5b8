"""A bundle from outside: nothing in it runs, and only a sound model of a known network is used."""

import json
import os
import shutil
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bundle.conftest import LEARNING, write_model
from bundle.test_same_voxels import write_brain
from consilium.bundle.writer import write_bundle
from consilium.errors import ConfigurationError, ConsiliumError, DataError
from consilium.learning.model_file import read_metadata
from consilium.learning.model_store import ModelStore
from consilium.prediction.checksums import CHECKSUMS, list_checksums
from consilium.prediction.run import predict
from consilium.prediction.trained_model import TrainedModel
from consilium.prediction.warm_start import WarmStart


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    return write_bundle(write_model(folder / "result/model.safetensors", job="theirs"), folder / "theirs")


@pytest.fixture
def bundle(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "theirs")


def accept(bundle):
    """List the files as they are now, as somebody does who changed them on purpose."""
    (bundle / CHECKSUMS).write_text(list_checksums(bundle))


def test_configurations_and_scripts_are_never_run(bundle, tmp_path, monkeypatch):
    ran = tmp_path / "it-ran"
    program = f"open({str(ran)!r}, 'w')"
    command = {"_target_": "os.system", "command": f"touch {ran}"}
    for name in ("inference", "evaluate", "metadata"):
        evil = {
            "imports": [f"$__import__('os') and {program}"],
            "network_def": command,
            "version": f"${program}",
        }
        (bundle / f"configs/{name}.json").write_text(json.dumps(evil))
    for script in (bundle / "scripts").iterdir():
        script.write_text(f"{program}\n")
    for name in ("sitecustomize.py", "consilium.py", "monai.py", "models/torch.py"):
        (bundle / name).write_text(f"{program}\n")
    accept(bundle)
    monkeypatch.chdir(bundle)
    write_brain(tmp_path / "in/P1")
    done = predict(".", tmp_path / "in", tmp_path / "out", workers=1)
    start = WarmStart.open(bundle, LEARNING)
    again = write_bundle(bundle, tmp_path / "again")
    assert done.predicted
    assert start.initial.origin[-1].name == "theirs"
    assert not ran.exists()
    assert "os.system" not in "".join(one.read_text() for one in again.rglob("*.json"))
    assert "it-ran" not in "".join(one.read_text() for one in again.rglob("*.py"))


def change(weights, **changes):
    first = next(iter(weights))
    return {
        **weights,
        **{first if name == "first" else name: one(weights[first]) for name, one in changes.items()},
    }


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"first": lambda one: np.full_like(one, np.nan)}, "not finite"),
        ({"first": lambda one: np.full_like(one, -np.inf)}, "not finite"),
        ({"first": lambda one: one.astype(np.float64)}, "is F64"),
        ({"first": lambda one: one.astype(np.uint8)}, "is U8"),
        ({"first": lambda one: one[:1]}, "of shape"),
        ({"../../evil": lambda one: one}, r"unknown '\.\./\.\./evil'"),
    ],
)
def test_weights_of_no_network_are_refused(bundle, damage, message):
    path = bundle / "models/model.safetensors"
    weights, metadata = load_file(path), read_metadata(path)
    save_file(change(weights, **damage), path, metadata)
    accept(bundle)
    with pytest.raises(DataError, match=message):
        TrainedModel.load(bundle)
    with pytest.raises(DataError, match=message):
        WarmStart.open(bundle, LEARNING)


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 1 << 60),
        struct.pack("<Q", 90_000_000) + b"{",
        struct.pack("<Q", 400_000) + b"[" * 400_000,
        struct.pack("<Q", 2) + b"{}",
        b"",
    ],
    ids=["huge", "longer than the file", "deep", "empty", "nothing"],
)
def test_a_damaged_header_is_an_error_of_one_line(bundle, content):
    (bundle / "models/model.safetensors").write_bytes(content)
    accept(bundle)
    with pytest.raises(ConsiliumError) as raised:
        TrainedModel.load(bundle)
    assert "\n" not in str(raised.value)


def test_a_file_of_another_size_than_its_header_states_is_not_read(bundle):
    path = bundle / "models/model.safetensors"
    os.truncate(path, 1 << 40)  # takes no room on the disk
    with pytest.raises(DataError, match="not a readable safetensors file"):
        TrainedModel.load(bundle)


def test_a_link_to_something_else_is_no_model(bundle, tmp_path):
    path = bundle / "models/model.safetensors"
    (tmp_path / "secret").write_text("password: 1234")
    path.unlink()
    path.symlink_to(tmp_path / "secret")
    accept(bundle)
    with pytest.raises(DataError, match="not a readable safetensors file") as raised:
        write_bundle(bundle, tmp_path / "again")
    assert "1234" not in str(raised.value)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ConfigurationError, match=r"without models/model\.safetensors"):
        TrainedModel.load(bundle)


@pytest.mark.parametrize("kind", ["nowhere", "folder", "pipe", "empty"])
def test_a_list_of_checksums_that_is_none_is_not_passed_over(bundle, kind, tmp_path):
    listed = bundle / CHECKSUMS
    listed.unlink()
    if kind == "nowhere":
        listed.symlink_to(tmp_path / "nothing")
    elif kind == "folder":
        listed.mkdir()
    elif kind == "pipe":
        os.mkfifo(listed)
    else:
        listed.write_bytes(b"")
    with pytest.raises(DataError, match=CHECKSUMS):
        TrainedModel.load(bundle)


def test_the_name_of_a_job_is_no_path(bundle, tmp_path):
    write_model(bundle / "models/model.safetensors", job="../../../evil")
    accept(bundle)
    start = WarmStart.open(bundle, LEARNING)
    ModelStore.beside(tmp_path / "jobs/second").add(start.content)
    write_bundle(bundle, tmp_path / "again")
    assert {one.name for one in tmp_path.iterdir()} == {"theirs", "jobs", "again"}


def test_a_bundle_of_another_program_says_what_it_lacks(bundle):
    (bundle / "models/model.safetensors").unlink()
    with pytest.raises(ConfigurationError, match=r"jobs export NAME --from .*/models/model\.pt"):
        TrainedModel.load(bundle)
