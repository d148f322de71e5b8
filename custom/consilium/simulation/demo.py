"""The demo: four synthetic hospitals, the main job, its baselines, one report, and one new patient."""

from __future__ import annotations

import shlex
import time
from collections.abc import Collection
from pathlib import Path

from consilium.counts import counted
from consilium.data.cohort import find_cases
from consilium.default_task import DEFAULT, training_job
from consilium.errors import ConfigurationError
from consilium.prediction.run import predict
from consilium.prediction.trained_model import TrainedModel
from consilium.process_limits import available_cores
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job
from consilium.simulation.display import Display
from consilium.simulation.hospitals import claim_simulation, site_settings
from consilium.simulation.study import Study
from consilium.tasks.registry import synthetic_cohort
from consilium.tasks.synthetic import SyntheticCohort


def run_demo(out: Path, display: Display, task: str = DEFAULT) -> Path:
    """Make the cohort, run the main job on it with comparisons, write the report; returns its page.

    In the end the model predicts a patient of a hospital that only evaluates, who was not used for training.

    Args:
        out: Where everything goes.
        display: Where progress is shown.
        task: Whose synthetic hospitals and whose job.

    Raises:
        ConsiliumError: If a step can't be done; what is done already is kept for the next run.
    """
    with claim_simulation(out, "training"):
        started = time.monotonic()
        synthetic = synthetic_cohort(task)
        display.say(f"cohort: {counted(len(synthetic.hospitals), 'synthetic hospital')}")
        hospitals = make_hospitals(synthetic, out / "hospitals", display)
        seconds = time.monotonic() - started
        job = export_job(build_recipe(training_job(task)), out / "job")
        sites = site_settings(
            hospitals, out.resolve(), synthetic.evaluators, test_fractions=synthetic.test_fractions
        )
        study = Study(job, sites, out, compare=True, display=display)
        page = study.run({"cohort": seconds})
        for name in sorted(synthetic.evaluators & hospitals.keys())[:1]:
            predict_patient(out, hospitals[name], name, display)
        return page


def predict_patient(out: Path, folder: Path, name: str, display: Display) -> None:
    """Predict one patient of a hospital with the result of a job, and show how to predict others.

    Args:
        out: Where the job's `result/` is, and where `prediction/` goes.
        folder: The hospital's folder.
        name: The hospital.
        display: Where progress is shown.

    Raises:
        ConsiliumError: If the model or the hospital's folder can't be used.
    """
    display.show("prediction: a new patient")
    model = TrainedModel.load(out / "result")
    first = find_cases(folder, case_format=model.task.cases).cases[0]
    pictures = model.task.presentation is not None
    try:
        done = predict(model, folder, out / "prediction", only=[first.id], pictures=pictures)
    except ConfigurationError as error:  # the report is complete, whatever else somebody put into the folder
        display.say(f"prediction: left out: {error}")
    else:
        display.say(f"prediction: a patient of {name}, on whom nobody trained: {done.out}")
    command = f"consilium predict -m {shlex.quote(str(out / 'result'))} -i DIR -o OUT"
    display.say(f"your own patients: {command}{' --pictures' if pictures else ''}")


def make_hospitals(
    synthetic: SyntheticCohort, folder: Path, display: Display, *, only: Collection[str] | None = None
) -> dict[str, Path]:
    """Make synthetic hospitals where they are missing; returns the folder of each.

    Args:
        synthetic: The hospitals.
        folder: Where they go.
        display: Where progress is shown.
        only: Names of those to make; default: all.
    """
    cohort = synthetic.make(
        folder,
        only=only,
        workers=available_cores(),
        progress=lambda done, total, case: display.show(f"cohort: patient {done} of {total}"),
    )
    display.say(
        f"cohort: {counted(cohort.written, 'patient')} made" if cohort.written else "cohort: there already"
    )
    return cohort.hospitals
