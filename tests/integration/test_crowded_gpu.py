"""Several training processes, one of which finds its GPU full: the others don't wait for its gradient."""

import os
from pathlib import Path

import numpy as np
import psutil
import pytest

from consilium.errors import RefusalCode, SiteRefusal
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.network_state import initial_weights
from consilium.learning.processes.worker_group import WorkerGroup
from consilium.learning.schedule import Schedule
from consilium.learning.training_setup import TrainingSetup
from consilium.tasks import get_task, parse_learning

pytestmark = pytest.mark.integration

UNIT_TESTS = Path(__file__).parents[1] / "unit"

CROWDED = """
import os
from pathlib import Path

import torch
from torch import nn

from consilium.tasks.brain_tumor.method import BrainTumorMethod

class Crowded(nn.Conv3d):
    def forward(self, images):
        on_device = not images.is_meta  # there, memory is estimated
        if on_device and os.environ.get("RANK") == "1" and Path(os.environ["CROWDED"]).exists():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return super().forward(images)

class CrowdedMethod(BrainTumorMethod):
    def build_network(self, settings):
        return Crowded(4, 3, 1)

class Toy(Toy):
    def __init__(self):
        self.method = CrowdedMethod(self.inputs, self.targets)
"""
"""Full in the second process, as long as a file is there."""


def test_the_round_is_declined_and_new_processes_train_the_next(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(UNIT_TESTS))
    from learning.tiny import cached_case
    from tasks.packages import LIKE_BRAIN_TUMOR, installed

    full, package = tmp_path / "full", tmp_path / "package"
    full.touch()
    package.mkdir()
    monkeypatch.setenv("CROWDED", str(full))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")]))
    labels = [np.random.default_rng(one).integers(0, 4, (20, 20, 20)) for one in range(3)]
    cases = [cached_case(tmp_path / "cases", label, name=f"P{one}") for one, label in enumerate(labels)]
    with installed(package, ("toy-crowded", "crowded", LIKE_BRAIN_TUMOR.format(name="crowded") + CROWDED)):
        values = {"task": "crowded", "batch_size": 2, "local_steps": 2, "patch_voxels": 16}
        learning = parse_learning(values, source="a test")
        start = initial_weights(get_task("crowded"), learning, 0)
        compute = ComputeSettings(device="cpu", cpu_threads=2, processes=2)
        group = WorkerGroup(TrainingSetup(learning, compute, cases), size=2, silence_s=300)
        try:
            pids = group.pids
            with pytest.raises(SiteRefusal, match=r"memory is full in training") as refused:
                group.train(start, Schedule())
            assert refused.value.code is RefusalCode.GPU_MEMORY
            assert "Tried to allocate 20.00 MiB" in str(refused.value)  # in the site's own log
            assert "Tried" not in refused.value.public_reason
            assert not any(map(psutil.pid_exists, pids))
            with pytest.raises(SiteRefusal, match=r"memory is full in prediction"):
                group.score(start, cases)
            full.unlink()
            assert group.train(start, Schedule()).steps == 2
            assert all(row is not None for row in group.score(start, cases))
        finally:
            group.close()
