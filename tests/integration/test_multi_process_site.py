"""One site, several training processes: gloo on the CPU stands for what NCCL does between GPUs."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from consilium.errors import Cancelled, SiteRefusal, TrainingError
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.model_file import load_model, save_model
from consilium.learning.network_state import initial_weights
from consilium.learning.processes import launcher, worker_group
from consilium.learning.processes.worker_group import WorkerGroup
from consilium.learning.schedule import Schedule
from consilium.learning.training_setup import TrainingSetup
from consilium.participant.participant import Participant
from consilium.participant.site_data import prepare_site
from consilium.participant.site_settings import SiteSettings
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings
from waiting import wait_until

from .studies import ANY_NUMBER

pytestmark = pytest.mark.integration

LEARNING = BrainTumorSettings(
    network="segresnet",  # it has dropout
    spacing_mm=8.0,
    patch_voxels=(16, 16, 16),
    batch_size=3,  # on two processes: one patch and two
    local_steps=4,
)
ENDLESS = LEARNING.model_copy(update={"network": "unet_small", "local_steps": 1_000_000})
ENDLESS_START = initial_weights(get_task(ENDLESS.task), ENDLESS, 0)
UNIT_TESTS = Path(__file__).parents[1] / "unit"
DEADLINE_SECONDS = 120


@pytest.fixture(scope="module")
def site(hospitals, tmp_path_factory):
    folder = tmp_path_factory.mktemp("multi")
    return SiteSettings(
        dataset=hospitals["north"],
        cache_dir=folder / "cache",
        state_dir=folder / "state",
        split_salt="tests",
        device="cpu",
        cpu_threads=2,
        processes=2,
        **ANY_NUMBER,
    )


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def group(site):
    """Two processes in a round that would take days; they are started again after a test that ends them."""
    data = prepare_site(site, ENDLESS)
    group = WorkerGroup(TrainingSetup(ENDLESS, site, data.train), size=2, silence_s=300)
    yield group
    pids = group.pids
    group.close()
    assert not any(map(psutil.pid_exists, pids))


def distance(first, second):
    return np.sqrt(sum(float(np.square(first[name] - second[name]).sum()) for name in first))


def start_endless_round(group, act, *, at_step=2, **options):
    """Train until the error that `act` brings about; returns the steps that were reported."""
    reported = []

    def on_step(step, steps, loss):
        reported.append(step)
        if step == at_step:
            act()

    group.train(ENDLESS_START, Schedule(), on_step=on_step, **options)
    raise AssertionError(f"the round ended after {reported}")


def test_nobody_outside_this_machine_can_connect_to_the_processes(group):
    tree = [psutil.Process(group.pids[0]).parent(), *map(psutil.Process, group.pids)]
    addresses = {
        connection.laddr.ip
        for process in tree
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses <= {"127.0.0.1", "::1"}
    assert "torch.distributed.run" in tree[0].cmdline()
    assert group.folder.stat().st_mode & 0o077 == 0


def test_a_round_is_stopped_within_a_step_and_the_processes_live_on(group):
    pids, stop = group.pids, []
    with pytest.raises(Cancelled, match="of 1000000"):
        start_endless_round(group, lambda: stop.append(True), cancelled=lambda: bool(stop))
    with pytest.raises(Cancelled):
        group.train(ENDLESS_START, Schedule(), cancelled=lambda: True)
    assert group.pids == pids
    assert len(set(pids)) == 2


def test_a_non_finite_loss_ends_the_round_as_in_one_process_and_the_processes_live_on(group):
    pids = group.pids
    huge = {name: value * np.float32(1e30) for name, value in ENDLESS_START.items()}
    with pytest.raises(
        TrainingError, match=r"the loss became \S+ at step 1 of 1000000 in round 2.*learning_rate"
    ):
        group.train(huge, Schedule(1, 3))
    with pytest.raises(TrainingError, match="do not fit the network"):
        group.train({"bias": np.zeros(3, np.float32)}, Schedule())
    assert group.pids == pids


def test_a_process_that_dies_ends_the_others_and_the_log_says_which_and_how(group):
    pids = group.pids
    with pytest.raises(TrainingError, match=rf"ended unexpectedly(.|\n)*SIGKILL\) received by PID {pids[1]}"):
        start_endless_round(group, lambda: os.kill(pids[1], signal.SIGKILL))
    assert not any(map(psutil.pid_exists, pids))
    assert group.pids == []


@pytest.mark.long
def test_processes_that_hang_are_ended_and_the_next_round_starts_new_ones(group):
    group._silence_s = 60
    stop = []
    with pytest.raises(Cancelled):
        start_endless_round(group, lambda: stop.append(True), cancelled=lambda: bool(stop))
    group._silence_s = 2
    pids = group.pids
    with pytest.raises(TrainingError, match="2 training processes did anything for 2 s"):
        start_endless_round(group, lambda: os.kill(pids[1], signal.SIGSTOP))
    assert not any(map(psutil.pid_exists, pids))


@pytest.mark.parametrize("minimum", [2, pytest.param(3, marks=pytest.mark.long)])
def test_patients_of_all_processes_count_together(site, minimum):
    """Two patients are shown, one in each process."""
    cases, losses = prepare_site(site, LEARNING).train[:2], []
    assert len(cases) == 2
    learning = LEARNING.model_copy(update={"batch_size": 2, "local_steps": 1})
    start = initial_weights(get_task(learning.task), learning, 0)
    group = WorkerGroup(TrainingSetup(learning, site, cases, min_patients=minimum), size=2)

    def train():
        return group.train(start, Schedule(), on_step=lambda step, steps, loss: losses.append(loss))

    try:
        if minimum == 2:
            assert train().loss == losses[0] > 0
        else:
            with pytest.raises(SiteRefusal, match="fewer than 3 patients"):
                train()
            assert losses == [None]
            assert len(group.pids) == 2  # they wait for the next round
    finally:
        group.close()


@pytest.fixture
def five_cases(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(UNIT_TESTS))
    from learning.tiny import cached_case

    random = np.random.default_rng(0)
    labels = [random.integers(0, 4, (20, 20, 20)) for _ in range(5)]
    return [
        cached_case(tmp_path, label, np.eye(4)[label].transpose(3, 0, 1, 2), name=f"P{index}")
        for index, label in enumerate(labels)
    ]


@pytest.mark.long
@pytest.mark.parametrize("workers", [0, 1])
def test_processes_agree_on_the_steps_of_a_round_after_a_case_was_lost(five_cases, workers):
    """With local_epochs a lost case means fewer steps, and only one of the processes may have met it."""
    learning = LEARNING.model_copy(
        update={"network": "unet_small", "batch_size": 2, "local_steps": None, "local_epochs": 2.0}
    )
    start = initial_weights(get_task(learning.task), learning, 0)
    compute = ComputeSettings(device="cpu", cpu_threads=2, loader_workers=workers)
    group = WorkerGroup(TrainingSetup(learning, compute, five_cases), size=2, silence_s=300)
    try:
        assert group.train(start, Schedule(0, 3)).steps == 5
        (five_cases[1].folder / "image.npy").unlink()
        assert group.train(start, Schedule(1, 3)).unreadable == (five_cases[1].id,)
        assert group.train(start, Schedule(2, 3)).steps == 4
        pids = group.pids
        for case in five_cases:
            shutil.rmtree(case.folder)
        with pytest.raises(TrainingError, match=r"^none of the training cases can be read any more$"):
            group.train(start, Schedule(2, 3))
        assert group.pids == pids
    finally:
        group.close()


LONG_TMPDIR = "x" * 120


@pytest.mark.long
def test_a_long_tmpdir_is_no_obstacle_and_no_file_with_names_stays(five_cases, tmp_path, monkeypatch):
    """Slurm's are long, and the path of a socket is not."""
    folder = tmp_path / LONG_TMPDIR
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(multiprocessing.current_process(), "_config", {"authkey": b"", "semprefix": "/mp"})
    learning = ENDLESS.model_copy(update={"local_steps": 2})
    compute = ComputeSettings(device="cpu", cpu_threads=2, loader_workers=1)
    group = WorkerGroup(TrainingSetup(learning, compute, five_cases), size=2, silence_s=300)
    try:
        assert group.train(ENDLESS_START, Schedule()).steps == 2
        assert group.folder.parent == folder
        assert not list(group.folder.glob("*.json"))
    finally:
        group.close()
    assert not list(folder.glob("consilium-*"))


@pytest.mark.long
@pytest.mark.parametrize("fault", ["bind", "torchrun"])
def test_processes_that_can_t_be_started_leave_no_file(five_cases, tmp_path, monkeypatch, fault):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if fault == "bind":
        monkeypatch.setattr(worker_group, "socket_folder", lambda: tmp_path / LONG_TMPDIR)
    else:
        monkeypatch.setattr(launcher, "_command", lambda folder, size: [str(tmp_path / "absent")])
    with pytest.raises(OSError, match=r"AF_UNIX path too long|No such file"):
        WorkerGroup(TrainingSetup(ENDLESS, ComputeSettings(device="cpu"), five_cases), size=2)
    assert not list(tmp_path.glob("consilium-*"))


def test_two_processes_give_what_one_gives_and_end_with_a_site_that_is_killed(site, tmp_path, one_thread):
    start = initial_weights(get_task(LEARNING.task), LEARNING, 0)
    save_model(tmp_path / "start.safetensors", start, {})
    request = {
        "site": site.model_dump(mode="json", exclude_defaults=True),
        "learning": LEARNING.model_dump(mode="json"),
    }
    (tmp_path / "request.json").write_text(json.dumps(request))
    alone = site.model_copy(update={"processes": 1, "cpu_threads": 1})
    participant = Participant(prepare_site(alone, LEARNING, name="north"), LEARNING, alone)
    path = os.pathsep.join([str(UNIT_TESTS), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path}
    command = [sys.executable, str(Path(__file__).with_name("site_process.py")), str(tmp_path)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        losses, weights = [], start
        for index in range(2):
            result = participant.train(weights, Schedule(index, 2))
            losses.append(result.loss)
            weights = result.weights
        metrics = get_task(LEARNING.task).evaluation.summarize(participant.score(weights, final=True))

        answered = tmp_path / "answer.json"
        wait_until(lambda: answered.exists() or process.poll() is not None, "the site's answer")
        assert answered.exists(), (tmp_path / "log").read_text()
        answer = json.loads(answered.read_text())
        together, _ = load_model(tmp_path / "end.safetensors")
    finally:
        process.kill()  # no farewell: the operating system does this to a site that is out of memory
        process.wait()

    assert answer["losses"] == pytest.approx(losses, rel=1e-5)
    # A norm, not a maximum: where a gradient is nothing but rounding, Adam makes whole steps of it.
    assert distance(weights, together) < 1e-3 * distance(weights, start)
    for name, value in metrics.items():
        assert answer["metrics"][name] == pytest.approx(value, rel=1e-3), name
    assert len(answer["processes"]) == 3  # torchrun and two of them
    left = [psutil.Process(pid) for pid in answer["processes"] if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(left, timeout=DEADLINE_SECONDS)
    assert not alive
    folder = Path(answer["folder"])
    assert "trained.safetensors" in answer["files"]
    assert not {"setup.json", "cases.json"} & set(answer["files"])  # they name patients
    assert not [file for file in folder.iterdir() if file.suffix in (".json", ".safetensors")]
    shutil.rmtree(folder)
