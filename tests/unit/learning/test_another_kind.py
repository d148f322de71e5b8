"""Learning knows of no kind of task: one that has nothing of a segmentation trains and is evaluated."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "custom" / "consilium"

STUDY = """
import sys
from pathlib import Path

import numpy as np

from grading import GradingSettings, graded_cases
from consilium.learning.estimate import disk_need, gpu_bytes, shared_memory_bytes
from consilium.learning.network_state import initial_weights
from consilium.learning.processes.single_process import SingleProcess
from consilium.learning.training_setup import TrainingSetup
from consilium.learning.schedule import Schedule
from consilium.learning.compute_settings import ComputeSettings
from consilium.participant.participant import Participant
from consilium.participant.site_data import SiteData
from consilium.tasks import get_task, parse_learning


def accuracy(learner, weights):
    return np.mean([score["accuracy"] for score in learner.score(weights, cases)])


if __name__ == "__main__":
    cases = graded_cases(Path(sys.argv[1]))
    values = {"task": "toy_grading", "batch_size": 3, "local_steps": 60, "learning_rate": 0.1}
    learning = parse_learning(values, source="a test")
    assert isinstance(learning, GradingSettings) and learning.summary == "linear"
    start, compute = initial_weights(get_task("toy_grading"), learning, 0), ComputeSettings(device="cpu")
    alone = SingleProcess(TrainingSetup(learning, compute, cases))
    result = alone.train(start, Schedule())
    assert result.loss < 1.0, result.loss
    assert accuracy(alone, result.weights) > accuracy(alone, start)
    assert accuracy(alone, result.weights) == 1

    data, weights = SiteData(cases[:6], (), cases[6:], draw_seed=1), []
    for processes in (1, 2):
        site = Participant(data, learning, ComputeSettings(device="cpu", processes=processes))
        try:
            weights.append(site.train(start, Schedule()).weights)
            scores = site.score(weights[-1], final=True)
            assert [row["accuracy"] for row in scores] == [1, 1, 1]
        finally:
            site.close()
    for name, value in weights[0].items():
        np.testing.assert_allclose(weights[1][name], value, rtol=1e-3, atol=1e-4)

    assert gpu_bytes(learning) > 2**30
    assert shared_memory_bytes(learning, workers=2) == 2 * 2 * 3 * (2 * 2 * 6 + 1)
    assert disk_need([], learning).cache == 0
    print([name for name in sys.modules if name.startswith("consilium.tasks.segmentation")])
"""


@pytest.mark.integration
def test_a_grading_trains_alone_and_in_two_processes_without_a_segmentation_being_imported(tmp_path):
    (tmp_path / "study.py").write_text(STUDY)
    info = tmp_path / "grading-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: grading\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[consilium.tasks]\ntoy_grading = grading:Grading\n")
    path = [str(PACKAGE.parent), str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "study.py", str(tmp_path / "cases")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("package", ["learning", "participant"])
def test_no_word_of_one_kind_of_task_stands_in_what_serves_all(package):
    kind = re.compile(r"patch(?!ed)|region|spacing|tissue|modalit|voxel|segment|tumou?r|\bdice\b|hd95", re.I)
    found = [
        f"{path.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for path in sorted((PACKAGE / package).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if kind.search(line.replace("brain_tumor", ""))  # an example names a task
    ]
    assert found == []
