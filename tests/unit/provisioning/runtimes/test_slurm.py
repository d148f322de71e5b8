"""Kits whose jobs Slurm runs: prepared on one machine, for another."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, JobConstants, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.fl_exception import UnsafeComponentError
from nvflare.apis.workspace import Workspace
from nvflare.app_opt.job_launcher.slurm.config import CommandResult, SlurmLauncherError
from nvflare.fuel.utils.class_utils import instantiate_class
from site_check.federation import SERVER, read

from consilium.errors import ConfigurationError
from consilium.federation.site.slurm_jobs import SiteSlurmLauncher
from consilium.provisioning.kit import Kit
from consilium.provisioning.runtimes.prepare import prepare_kit
from consilium.provisioning.start_scripts import UMASK_LINE

CONTAINER = {"sandbox": "apptainer", "image": "consilium-site.sif"}
PLAIN = {"sandbox": "none"}


def launcher_of(kit):
    (component,) = (
        one
        for one in read(kit / "local" / "resources.json.default")["components"]
        if one["id"] == "slurm_launcher"
    )
    return instantiate_class(component["path"], component["args"])


def boot(launcher, kit, monkeypatch):
    """Let a launcher hear that the site starts, without a scheduler."""
    monkeypatch.setattr(launcher.manager, "initialize", lambda: None)
    if launcher.manager.jobs_dir is None:
        launcher.manager.jobs_dir = kit / "jobs"
        launcher.manager.jobs_dir.mkdir(exist_ok=True)
    context = FLContext()
    context.set_prop(FLContextKey.WORKSPACE_OBJECT, Workspace(str(kit), "north", "config"))
    context.set_prop(ReservedKey.IDENTITY_NAME, "north", private=True, sticky=False)
    launcher.handle_event(EventType.SYSTEM_BOOTSTRAP, context)
    return launcher.manager.config


@pytest.fixture(params=["slurm", "k8s", "docker"])
def runtime(request):
    return request.param


def test_a_prepared_kit_names_no_path_of_the_machine_that_prepared_it(prepare, runtime):
    made = prepare(runtime)
    for path in made.rglob("*"):
        if path.is_file():
            assert str(prepare.folder) not in path.read_text(), path
            assert sys.prefix not in path.read_text(), path
            assert "/nowhere" not in path.read_text(), path


@pytest.mark.parametrize("folder", ["a folder, with all: that", "plain"])
def test_a_kit_can_be_prepared_in_any_folder(prepare, tmp_path, monkeypatch, runtime, folder):
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    prepare.folder = Path()
    assert Kit(prepare(runtime)).runtime == runtime


@pytest.mark.parametrize("launcher", [CONTAINER, PLAIN], ids=["container", "plain"])
def test_the_image_need_not_be_here(prepare, launcher):
    kit = prepare("slurm", job_launcher=launcher)
    assert Kit(kit).runtime == "slurm"
    assert isinstance(launcher_of(kit), SiteSlurmLauncher)


@pytest.mark.parametrize(
    ("image", "place"),
    [
        ("consilium-site.sif", "{kit}/consilium-site.sif"),
        ("$CONSILIUM_IMAGES/site.sif", "{images}/site.sif"),
        ("${CONSILIUM_IMAGES}/site.sif", "{images}/site.sif"),
        ("~/site.sif", "{images}/site.sif"),
    ],
)
def test_kit_and_image_are_found_where_the_kit_lies_at_last(prepare, tmp_path, monkeypatch, image, place):
    images = tmp_path / "images"
    images.mkdir()
    monkeypatch.setenv("CONSILIUM_IMAGES", str(images))
    monkeypatch.setenv("HOME", str(images))
    moved = prepare("slurm", job_launcher={**CONTAINER, "image": image}).rename(tmp_path / "elsewhere")
    found = Path(place.format(kit=moved, images=images))
    found.touch()
    config = boot(launcher_of(moved), moved, monkeypatch)
    assert config.workspace_path == str(moved)
    assert config.image == str(found)
    assert config.python_path == "/usr/local/bin/python3"
    assert config.parent_host


def test_an_image_that_is_missing_at_the_hospital_stops_the_site_with_its_path(prepare, monkeypatch):
    kit = prepare("slurm", job_launcher=CONTAINER)
    with pytest.raises(UnsafeComponentError, match=f"{kit}/consilium-site.sif.*no such file; put it there"):
        boot(launcher_of(kit), kit, monkeypatch)


def test_without_a_container_jobs_run_in_the_site_s_environment(prepare, monkeypatch):
    kit = prepare("slurm", job_launcher=PLAIN)
    config = boot(launcher_of(kit), kit, monkeypatch)
    assert (config.sandbox, config.image, config.python_path) == ("none", None, sys.executable)


def test_in_an_allocation_slurm_knows_where_the_site_is(prepare, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert launcher_of(prepare("slurm", job_launcher=PLAIN)).config.parent_host is None


def test_a_job_s_own_process_looks_for_nothing(prepare, monkeypatch):
    """It has the kit's files and no environment of the site."""
    monkeypatch.setenv("NVFLARE_SLURM_CHILD_PROCESS", "1")
    launcher = launcher_of(prepare("slurm", job_launcher=CONTAINER))
    launcher.handle_event(EventType.SYSTEM_BOOTSTRAP, SimpleNamespace())
    assert launcher.manager is None


def test_the_start_script_starts_the_site_where_it_lies(prepare, tmp_path):
    kit = prepare("slurm").rename(tmp_path / "a folder")
    script = kit / "startup" / "start_slurm.sh"
    assert UMASK_LINE in script.read_text()
    (kit / "startup" / "sub_start.sh").write_text('#!/bin/sh\necho "$NVFL_WORKSPACE" "$@"\n')
    done = subprocess.run([script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{kit} --once\n"


def test_the_site_itself_can_be_a_job(prepare, tmp_path):
    kit = prepare("slurm", parent={"sbatch_directives": {"time": "7-00:00:00"}}).rename(tmp_path / "moved")
    text = (kit / "startup" / "parent.slurm").read_text()
    assert "#SBATCH --time=7-00:00:00" in text
    assert 'WORKSPACE_ROOT="${SLURM_SUBMIT_DIR:?' in text


@pytest.mark.parametrize(
    ("launcher", "said"),
    [
        ({"sandbox": "apptainer"}, "sandbox 'apptainer' needs an image"),
        ({"sandbox": "none", "image": "site.sif"}, "sandbox 'none' has no image"),
        ({"sandbox": "docker", "image": "x"}, "sandbox: allowed: 'apptainer', 'pyxis' or 'none'"),
        ({}, "sandbox: it is missing"),
        ({**PLAIN, "sbatch_directives": {"gres": "gpu:1"}}, "unsupported sbatch_directives"),
        ({**PLAIN, "imagee": "site.sif"}, "imagee"),
        ({**PLAIN, "python_path": "python3"}, "python_path"),
    ],
)
def test_settings_that_can_t_be_used_are_rejected_and_nothing_is_written(prepare, launcher, said):
    with pytest.raises(ConfigurationError) as refused:
        prepare("slurm", job_launcher=launcher)
    assert said in str(refused.value)
    assert not (prepare.folder / "prepared" / "north").exists()
    assert list((prepare.folder / "prepared").iterdir()) == []


def test_the_server_is_prepared_for_no_batch_job(prepare):
    with pytest.raises(ConfigurationError, match="a batch job has an end"):
        prepare("slurm", SERVER)


@pytest.mark.parametrize("content", ["runtime: podman", "- slurm", "runtime: [", "\0"])
def test_a_configuration_of_no_runtime_is_rejected(prepare, kits, content):
    path = prepare.folder / "config.yaml"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=str(path)):
        prepare_kit(kits / "north", path, prepare.folder / "output")


def test_a_kit_is_prepared_once_and_nothing_is_overwritten(prepare):
    made = prepare("slurm")
    with pytest.raises(ConfigurationError, match="exists; name a new folder"):
        prepare("slurm")
    prepare.kits = made.parent
    prepare.folder = prepare.folder / "again"
    prepare.folder.mkdir()
    with pytest.raises(ConfigurationError, match="is prepared for slurm already"):
        prepare("slurm")


def test_what_a_hospital_has_tightened_stays(prepare, kits, tmp_path, runtime):
    local = shutil.copytree(kits / "north", tmp_path / "kits" / "north") / "local"
    resources = read(local / "resources.json.default")
    resources["class_allow_list"] = resources["class_allow_list"][:1]
    (local / "resources.json").write_text(json.dumps(resources))
    prepare.kits = tmp_path / "kits"
    made = prepare(runtime) / "local"
    assert read(made / "resources.json.default")["class_allow_list"] == resources["class_allow_list"]
    assert not (made / "resources.json").exists()


def test_others_can_t_open_a_prepared_kit(prepare, runtime):
    made = prepare(runtime)
    assert [path for path in (made, *made.rglob("*")) if path.stat().st_mode & 0o077] == []


class Scheduler:
    """Stands for Slurm's commands, with one job of an earlier process of the site."""

    name = f"nvfl-north-{hashlib.sha256(b'a job').hexdigest()[:8]}"

    def __init__(self, marker, polls, available=True):
        self.marker, self.polls, self.available, self.cancelled = marker, polls, available, []

    def _run(self, argv, timeout):
        self.polls -= 1
        rows = f"7|{self.marker}|{self.name}\n" if self.polls >= 0 else ""
        return CommandResult(0 if self.available else 1, f"{rows}8||wrap\n9|nvfl:x|nvfl-north-00000000\n", "")

    def cancel(self, job_id, timeout):
        self.cancelled.append(job_id)


@pytest.fixture
def orphaned(prepare, monkeypatch):
    """A site that was killed while Slurm ran its job `a job`, and started again."""

    def make(scheduler, boots=False):
        kit = prepare("slurm", job_launcher={**PLAIN, "poll_interval": 0.01})
        launcher = launcher_of(kit)
        manager = launcher.manager
        manager.config = replace(manager.config, executables={"squeue": "squeue"})
        manager.adapter, manager.jobs_dir = scheduler, kit / "jobs"
        (manager.jobs_dir / hashlib.sha256(b"a job").hexdigest()).mkdir(parents=True)
        if boots:
            boot(launcher, kit, monkeypatch)
        return launcher

    return make


def launch(launcher):
    context = FLContext()
    context.set_prop(ReservedKey.IDENTITY_NAME, "north", private=True, sticky=False)
    with pytest.raises(SlurmLauncherError) as refused:  # FLARE's own part has no job here to submit
        launcher.launch_job({JobConstants.JOB_ID: "a job"}, context)
    return str(refused.value)


def test_a_job_that_runs_for_a_dead_site_is_cancelled_and_may_start_again(orphaned):
    launcher = orphaned(Scheduler("nvfl:a job", polls=2))
    launch(launcher)
    assert launcher.manager.adapter.cancelled == ["7", "7"]
    assert list(launcher.manager.jobs_dir.iterdir()) == []


def test_a_job_of_somebody_else_is_left_alone(orphaned):
    launcher = orphaned(Scheduler("not of FLARE", polls=1))
    launch(launcher)
    assert launcher.manager.adapter.cancelled == []


def test_the_same_job_of_another_site_of_this_account_is_left_alone(orphaned):
    scheduler = Scheduler("nvfl:a job", polls=1)
    scheduler.name = scheduler.name.replace("north", "south")
    launch(orphaned(scheduler))
    assert scheduler.cancelled == []


def test_what_is_left_stays_while_slurm_does_not_answer(orphaned):
    launcher = orphaned(Scheduler("nvfl:a job", polls=1, available=False))
    assert "squeue does not answer" in launch(launcher)
    assert list(launcher.manager.jobs_dir.iterdir())


def test_a_job_that_does_not_end_is_not_started_beside_itself(orphaned, monkeypatch):
    monkeypatch.setattr("consilium.federation.site.slurm_jobs._SECONDS_TO_END", 0.05)
    launcher = orphaned(Scheduler("nvfl:a job", polls=10**6))
    assert "Slurm's job 7 of an earlier process of this site does not end" in launch(launcher)
    assert list(launcher.manager.jobs_dir.iterdir())


def test_a_job_that_this_process_started_is_flare_s_to_reject(orphaned):
    launcher = orphaned(Scheduler("nvfl:a job", polls=1))
    launcher.manager._handles["a job"] = object()
    launch(launcher)
    assert list(launcher.manager.jobs_dir.iterdir())


def test_what_an_earlier_process_left_ends_when_the_site_starts(orphaned):
    launcher = orphaned(Scheduler("nvfl:a job", polls=1), boots=True)
    assert launcher.manager.adapter.cancelled == ["7"]
    assert list(launcher.manager.jobs_dir.iterdir()) == []


def test_a_site_starts_although_slurm_does_not_answer(orphaned):
    launcher = orphaned(Scheduler("nvfl:a job", polls=1, available=False), boots=True)
    assert list(launcher.manager.jobs_dir.iterdir())
