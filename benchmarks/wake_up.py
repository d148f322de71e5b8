"""Seconds a round in which no site works, in a job whose sites request tasks every 15 s.

    python benchmarks/wake_up.py [--rounds 4] [--sites 2]

Two runs of the same job in FLARE's simulator on synthetic hospitals. In the second the server sends no
wake-ups, so that the sites wait as FLARE's own clients do. From the length of each round the longest task of
a site is subtracted, so that the speed of the machine has little part in the result.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from consilium.federation.exchange.site_controller import SiteController
from consilium.participant.site_settings import SiteSettings
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job
from consilium.records.federation import FederationRecord
from consilium.simulation.environment import run_in_simulator, server_folder
from consilium.tasks.brain_tumor.synthetic import make_cohort
from consilium.tasks.brain_tumor.synthetic.grid import VoxelGrid
from consilium.tasks.brain_tumor.synthetic.spec import CohortSpec, HospitalSpec
from consilium.tasks.brain_tumor.synthetic.writers import CaseLayout

SETTINGS = {
    "learning.local_steps": 2,
    "learning.patch_voxels": [32, 32, 32],
    "learning.spacing_mm": 4.0,
    "task_request_seconds": 15.0,
}


def main() -> None:
    """Run the job both ways and print the idle times and their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--sites", type=int, default=2)
    parser.add_argument("--run", nargs=2, metavar=("FOLDER", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(Path(options.run[0]), options.sites, woken=options.run[1] == "woken")
        return
    seconds = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        names = [f"site{number}" for number in range(options.sites)]
        layout = CaseLayout.BRATS_2021
        cohort = CohortSpec(
            hospitals=tuple(HospitalSpec(name=one, layout=layout, cases=4) for one in names),
            grid=VoxelGrid(shape=(38, 48, 38), spacing_mm=4.0),
        )
        make_cohort(cohort, root / "archives")
        export_job(build_recipe("brain_tumor_fedavg", {**SETTINGS, "rounds": options.rounds}), root / "jobs")
        for way in ("woken", "polling"):
            command = [sys.executable, __file__, "--sites", str(options.sites), "--run", name, way]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            idle = idle_seconds(root / way)
            seconds[way] = median(idle)
            each = ", ".join(f"{one:.1f}" for one in idle)
            print(f"{way}: median {seconds[way]:.1f} s without work of {each}", flush=True)
    print(f"ratio: {seconds['polling'] / seconds['woken']:.1f}")


def run(root: Path, sites: int, *, woken: bool) -> None:
    """Run the job once, in this process."""
    if not woken:
        SiteController._wake = lambda self, asked: None
    settings = {
        f"site{number}": SiteSettings(
            dataset=root / "archives" / f"site{number}",
            cache_dir=root / way_of(woken) / "caches" / f"site{number}",
            min_count=1,
            min_training_patients=1,
        )
        for number in range(sites)
    }
    run_in_simulator(root / "jobs" / "brain_tumor_fedavg", settings, root / way_of(woken))


def way_of(woken: bool) -> str:
    """Return the name of a run."""
    return "woken" if woken else "polling"


def idle_seconds(workspace: Path) -> list[float]:
    """Return each round's length without the longest task of a site."""
    rounds = FederationRecord.load(server_folder(workspace)).rounds
    return [
        one.seconds - max(site.report.task_seconds for site in one.sites.values() if site.report)
        for one in rounds
    ]


if __name__ == "__main__":
    main()
