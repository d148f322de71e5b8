"""A federation of a hospital with a GPU and one without, in FLARE's simulator."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from consilium.tasks.brain_tumor.synthetic import make_cohort
from consilium.tasks.brain_tumor.synthetic.grid import VoxelGrid
from consilium.tasks.brain_tumor.synthetic.spec import CohortSpec, HospitalSpec
from consilium.tasks.brain_tumor.synthetic.writers import CaseLayout

from .conftest import DEVICE

pytestmark = pytest.mark.gpu

COHORT = CohortSpec(
    hospitals=(
        HospitalSpec(name="north", layout=CaseLayout.BRATS_2020, cases=5),
        HospitalSpec(name="south", layout=CaseLayout.DECATHLON, cases=5),
    ),
    grid=VoxelGrid(shape=(38, 48, 38), spacing_mm=4.0),
)

STUDY = """
import json, sys
from pathlib import Path

from consilium.participant.site_settings import SiteSettings
from consilium.recipes.catalog import build_recipe
from consilium.simulation.environment import HospitalSimEnv

if __name__ == "__main__":
    name, changes, devices, hospitals, out = json.loads(sys.argv[1])
    sites = {
        site: SiteSettings(
            dataset=Path(hospitals[site]), device=device, min_count=1, min_training_patients=1,
            validation_fraction=0.2, test_fraction=0.2, cpu_threads=1,
            cache_dir=Path(out) / site / "cache", state_dir=Path(out) / site / "state",
        )
        for site, device in devices.items()
    }
    build_recipe(name, changes).execute(HospitalSimEnv(sites, workspace_root=out))
"""

SMALL = {
    "rounds": 2,
    "learning.local_steps": 2,
    "learning.local_epochs": None,
    "learning.patch_voxels": [32, 32, 32],
    "learning.spacing_mm": 4.0,
}


def simulate(name, changes, devices, folder):
    hospitals = make_cohort(COHORT, folder / "archives").hospitals
    script = folder / "study.py"
    script.write_text(STUDY)
    asked = [name, {**SMALL, **changes}, devices, {key: str(path) for key, path in hospitals.items()}]
    done = subprocess.run(
        [sys.executable, script, json.dumps([*asked, str(folder / "out")])],
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    (record,) = Path(folder / "out").rglob("federation.json")
    return json.loads(record.read_text())


@pytest.mark.parametrize(
    ("name", "changes", "devices"),
    [
        ("brain_tumor_fedavg", {}, {"north": "cpu", "south": DEVICE}),
        ("brain_tumor_ditto", {}, {"north": "cpu", "south": DEVICE}),
        ("brain_tumor_fedavg", {"gpus_per_site": 1}, {"north": DEVICE, "south": DEVICE}),
    ],
    ids=["one GPU", "personal models", "a job that asks for GPUs"],
)
def test_hospitals_with_and_without_a_gpu_train_together(tmp_path, name, changes, devices):
    record = simulate(name, changes, devices, tmp_path)
    assert len(record["rounds"]) == 2
    for finished in record["rounds"]:
        sites = finished["sites"]
        assert {site: one["outcome"] for site, one in sites.items()} == dict.fromkeys(devices, "trained")
        assert sites["north"].keys() == sites["south"].keys()
        reports = [one["report"] for one in sites.values()]
        assert reports[0].keys() == reports[1].keys()
        assert all(one["loss"] > 0 and one["steps"] == 2 for one in reports)
        assert all(one["weight"] > 0 and one["update_norm"] > 0 for one in sites.values())
    assert record["status"] == "finished"
    assert record["final_scores"].keys() == devices.keys()
