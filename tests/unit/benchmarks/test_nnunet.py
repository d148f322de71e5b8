import ast
import json
import sys
from pathlib import Path

import pytest

import nnunet
from consilium.errors import ConfigurationError
from consilium.learning.compute_settings import ComputeSettings
from consilium.tasks.segmentation import networks
from nnunet import find_sites, read_learning
from nnunet_parts import environment
from nnunet_parts.comparison import WAYS, Comparison, Question

WORKER = Path(environment.__file__).with_name("worker.py")


def options(*arguments):
    return nnunet._parser().parse_args(arguments)


def question(**changes):
    asked = {
        "learning": read_learning("brain_tumor_fedavg", []),
        "sites": {"a": Path("a")},
        "evaluators": [],
        "conventions": {},
        "steps": 96,
        "mirror": False,
        "compute": ComputeSettings(device="cpu", cpu_threads=1),
        **changes,
    }
    return Question(**asked)


def test_settings_are_those_of_the_job_with_changes():
    learning = read_learning("brain_tumor_fedavg", ["patch_voxels=64", "learning_rate=0.001"])
    assert learning.patch_voxels == (64, 64, 64)
    assert learning.learning_rate == 0.001


def test_a_job_that_trains_nothing_cannot_be_compared():
    with pytest.raises(ConfigurationError, match="train a segmentation"):
        read_learning("brain_tumor_stats", [])


def test_own_folders_replace_the_synthetic_hospitals(tmp_path):
    given = options("--site", "a=/data/a", "--site", "b=/data/b", "--evaluates", "b")
    sites, evaluators = find_sites(given, "brain_tumor", tmp_path)
    assert sites == {"a": Path("/data/a"), "b": Path("/data/b")}
    assert evaluators == {"b"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--site", "a"),
        ("--site", "a="),
        ("--site", "a=/1", "--site", "a=/2"),
        ("--site", "a=/1", "--evaluates", "b"),
    ],
)
def test_sites_that_cannot_be_meant_are_errors(tmp_path, arguments):
    with pytest.raises(ConfigurationError):
        find_sites(options(*arguments), "brain_tumor", tmp_path)


def test_steps_that_end_within_a_round_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["nnunet.py", "--out", str(tmp_path), "--steps", "100"])
    with pytest.raises(SystemExit, match="multiple of 16"):
        nnunet.main()


@pytest.mark.parametrize("changes", [{"steps": 960}, {"evaluators": ["a"]}, {"sites": {"a": Path("b")}}])
def test_a_folder_holds_one_comparison(tmp_path, changes):
    Comparison(tmp_path, question(), tmp_path / "env")
    Comparison(tmp_path, question(mirror=True), tmp_path / "env")  # more predictions of the same models
    with pytest.raises(ConfigurationError, match="other settings"):
        Comparison(tmp_path, question(**changes), tmp_path / "env")


def test_nnunet_s_trainer_gets_the_network_of_the_job_in_words(tmp_path):
    defined = Comparison(tmp_path, question(), tmp_path / "env")._definition()
    assert (defined["_target_"], defined["in_channels"], defined["out_channels"]) == ("UNet", 4, 3)
    assert json.loads(json.dumps(defined)) == defined


def test_a_network_that_is_not_of_monai_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(networks.NETWORKS, "unet_small", lambda channels, regions: None)
    with pytest.raises(ConfigurationError, match="leave `recipe` out of --ways"):
        Comparison(tmp_path, question(), tmp_path / "env")._definition()


def test_the_help_explains_every_way():
    text = nnunet._parser().format_help()
    assert all(f"\n  {way} " in text for way in WAYS)


def test_the_worker_needs_no_package_of_ours_and_marks_its_lines_as_expected():
    names = [
        name
        for node in ast.walk(ast.parse(WORKER.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
    ]
    assert not any(name.startswith(("consilium", "nnunet_parts")) for name in names)
    assert f'MARK = "{environment.MARK}"\n' in WORKER.read_text()
