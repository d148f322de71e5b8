"""What FLARE costs in the simulator: overhead of a round, and peak memory of a simulated site.

Runs the main job with few steps on the demo's cohort. A round's overhead is its time less that of its slowest
site: less the site's whole task (judging the model, then training), and less its training alone. What
comes before the first round is shown apart: the sites' processes start and prepare their data. Memory is the
largest resident set that a site's process had, asked of the operating system twice a second.

    python benchmarks/federation.py [COHORT_FOLDER]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

import psutil

from consilium.participant.site_settings import SiteSettings
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job
from consilium.records.federation import FederationRecord
from consilium.simulation.process import SimulatedJob
from consilium.tasks.brain_tumor.synthetic import DEMO_COHORT, make_cohort

SECONDS_BETWEEN_LOOKS = 0.5


def main() -> None:
    """Run, watch, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "cohort",
        type=Path,
        nargs="?",
        default="runs/demo/hospitals",
        help="the demo's; made where it isn't there",
    )
    hospitals = make_cohort(DEMO_COHORT, parser.parse_args().cohort, workers=2).hospitals
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = export_job(build_recipe("brain_tumor_fedavg", {"learning.local_steps": 8}), folder / "job")
        sites = {
            hospital: SiteSettings(
                dataset=path.resolve(), cache_dir=folder / "cache" / hospital, cpu_threads=1
            )
            for hospital, path in hospitals.items()
        }
        peaks: dict[str, int] = defaultdict(int)
        with SimulatedJob(job, sites, folder / "simulation") as simulation:
            while simulation.running():
                for site, size in resident_bytes(set(sites)).items():
                    peaks[site] = max(peaks[site], size)
                simulation.wait(SECONDS_BETWEEN_LOOKS)
            record = FederationRecord.load(simulation.folder)
    print(f"before round 1: {record.preparation_seconds:.1f} s")
    for what in ("task_seconds", "train_seconds"):
        overheads = [
            one.seconds - max(getattr(site.report, what) for site in one.sites.values() if site.report)
            for one in record.rounds
        ]
        print(
            f"a round less its slowest site's {what}: median {statistics.median(overheads):.2f} s, "
            f"at most {max(overheads):.2f} s ({', '.join(f'{seconds:.2f}' for seconds in overheads)})"
        )
    for site, size in sorted(peaks.items()):
        print(f"peak memory, {site:8s}{size / 2**30:9.2f} GiB")


def resident_bytes(sites: set[str]) -> dict[str, int]:
    """Return the resident memory of this process's descendants that are a site's, by site."""
    sizes = {}
    for process in psutil.Process().children(recursive=True):
        try:
            command = process.cmdline()
            if "--client" in command and command[command.index("--client") + 1] in sites:
                sizes[command[command.index("--client") + 1]] = process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return sizes


if __name__ == "__main__":
    main()
