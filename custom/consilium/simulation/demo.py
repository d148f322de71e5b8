"""The demo: four synthetic hospitals, the main job, its baselines and one report."""

from __future__ import annotations

import time
from pathlib import Path

from consilium.counts import counted
from consilium.data.files import output_folder
from consilium.learning.cores import available_cores
from consilium.recipes.catalog import build_recipe, export_job
from consilium.simulation.display import Display
from consilium.simulation.study import Study
from consilium.tasks.registry import DEFAULT, synthetic_cohort


def run_demo(out: Path, display: Display, task: str = DEFAULT) -> Path:
    """Make the cohort, run the main job on it with comparisons, write the report; returns its page.

    Args:
        out: Where everything goes.
        display: Where progress is shown.
        task: Whose synthetic hospitals and whose job.

    Raises:
        ConsiliumError: If a step can't be done; what is done already is kept for the next run.
    """
    output_folder(out, "--out")
    started = time.monotonic()
    synthetic = synthetic_cohort(task)
    display.say(f"cohort: {counted(len(synthetic.hospitals), 'synthetic hospital')}")
    cohort = synthetic.make(
        out / "hospitals",
        workers=available_cores(),
        progress=lambda done, total, case: display.show(f"cohort: patient {done} of {total}"),
    )
    seconds = time.monotonic() - started
    display.say(
        f"cohort: {counted(cohort.written, 'patient')} made" if cohort.written else "cohort: there already"
    )
    job = export_job(build_recipe(f"{task}_fedavg"), out / "job")
    study = Study(job, cohort.hospitals, out, evaluators=synthetic.evaluators, compare=True, display=display)
    return study.run({"cohort": seconds})
