"""`consilium train`: train a model without a federation, on one folder of cases or on several."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consilium.cli.options import (
    Changes,
    FileEndings,
    ModelDevice,
    ModelThreads,
    OutFolder,
    StartFrom,
    parse_endings,
)
from consilium.cli.site_options import (
    AcceptedFiles,
    Conventions,
    Evaluators,
    Missing,
    MissingInputs,
    PatientsFiles,
    parse_conventions,
    parse_files,
    parse_missing_at_sites,
    parse_sites,
)
from consilium.cli.terminal import LOADING, say_result
from consilium.default_task import training_job
from consilium.errors import ConfigurationError

if TYPE_CHECKING:
    from consilium.local_training.run import LocalTraining
    from consilium.records.local_training import TestedScores
    from consilium.tasks.metrics import Metric

EPILOG = f"""
A local-only model, of one hospital's cases:

  $ consilium train {training_job()} --site north=/data/north --out runs/north

A pooled model, of the cases of several folders:

  $ consilium train {training_job()} --site a=/data/a --site b=/data/b \\
  --out runs/pooled --set rounds=10

The model that a hospital compares a federation with, on the sets of patients of its jobs:

  $ consilium train {training_job()} --kit /opt/consilium/north --out runs/north

Then use it as any other model:

  $ consilium evaluate -m runs/north/result /data/clinic

OUT/result/ holds model.safetensors (after the last round), best_model.safetensors (the best on validation
patients) and training.json. The same command resumes after Ctrl-C or a crash, with the same result.

Exit code: 0 trained, 2 an error, with the next step in its message, 70 an error in Consilium
itself, 130 stopped.
"""


def train(
    job: Annotated[
        str,
        typer.Argument(
            metavar="JOB",
            help="The job whose trainer, settings and steps are used: a name of `consilium jobs list`, or "
            "an exported job folder.",
            show_default=False,
        ),
    ],
    out: OutFolder,
    site: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=DIR",
            help="A hospital and the folder of its cases. One: a local-only model; several: a pooled one.",
            show_default=False,
        ),
    ] = None,
    kit: Annotated[
        Path | None,
        typer.Option(
            metavar="KIT",
            help="Instead of --site: a hospital's startup kit, whose settings name the folder of its cases.",
            show_default=False,
        ),
    ] = None,
    change: Changes = None,
    start_from: StartFrom = None,
    evaluates: Evaluators = None,
    convention: Conventions = None,
    file_ending: FileEndings = None,
    missing: MissingInputs = None,
    patients: PatientsFiles = None,
    accepted: AcceptedFiles = None,
    min_patients: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            help="Fewest patients to train on, and to validate or test on. Default: as at a hospital, 3.",
            show_default=False,
        ),
    ] = None,
    device: ModelDevice = "auto",
    threads: ModelThreads = None,
) -> None:
    """Train a model without a federation: on one hospital's cases, or on several folders pooled.

    Trainer, settings and number of steps are those of the job, so that the model can be compared with the
    federation's. Cases are checked, and patients divided into training, validation and test patients, as in
    the job; the folders are only read. A job's differential privacy is not part of it: the model is trained
    without noise, and promises no patient anything.
    """
    from consilium.simulation.display import Display

    if bool(site) == (kit is not None):
        raise ConfigurationError(
            "name the cases: either --site NAME=DIR, once or several times, or --kit KIT"
        )
    of_kit = (evaluates, convention, file_ending, missing, patients, accepted, min_patients)
    if kit is not None and any(of_kit):
        raise ConfigurationError(
            "the kit's local/privacy.json says everything about its cases: leave --evaluates, --convention, "
            "--file-ending, --missing, --patients, --accepted and --min-patients out"
        )
    folders = parse_sites(site or ())
    with Display() as display:
        display.show(LOADING)
        from consilium.learning.compute_settings import ComputeSettings
        from consilium.local_training.job import TrainingJob
        from consilium.local_training.run import train as run
        from consilium.settings import parse_changes
        from consilium.simulation.hospitals import NamesAndLabels
        from consilium.tasks import get_task

        changes = parse_changes(change or ())
        conventions: Mapping[str, str] = {}
        endings: Mapping[str, tuple[str, ...]] = {}
        lacking = Missing()
        if convention or file_ending or missing:
            task = get_task(TrainingJob.open(job, changes).learning.task)
            conventions = parse_conventions(convention or (), folders, task.cases)
            endings = parse_endings(file_ending or (), task.cases)
            lacking = parse_missing_at_sites(missing or (), folders, task)
        stated = device != "auto" or threads is not None
        machine = {"device": device, "cpu_threads": threads}
        done = run(
            job,
            kit or folders,
            out,
            changes=changes,
            evaluators=evaluates or (),
            min_patients=min_patients,
            names=NamesAndLabels(
                conventions=conventions,
                file_endings=endings,
                missing_inputs=lacking.inputs,
                missing_targets=lacking.targets,
                patients_files=parse_files("--patients", patients or (), folders),
                accepted_files=parse_files("--accepted", accepted or (), folders),
            ),
            initial=start_from,
            compute=ComputeSettings.parse(machine, source="the options") if stated else None,
            display=display,
        )
    _print(done)
    say_result(done.folder)


def _print(done: LocalTraining) -> None:
    """Print what both models score on each site's test patients."""
    from rich.text import Text

    from consilium.counts import counted
    from consilium.report.terminal import Terminal, folding_table
    from consilium.tasks import get_task

    record, console = done.record, Terminal(stderr=True)
    metrics = get_task(record.task).evaluation.metrics
    models = {f"after round {record.rounds_planned}": record.final}
    if record.best_round is not None:
        models[f"best (round {record.best_round})"] = record.best
    if not record.final:
        console.print("No site has test patients: nothing is known of the models' quality.")
        return
    table = folding_table(
        ("site", "test patients", *models), title=Text(f"{metrics.key_name} on test patients")
    )
    for site, patients in record.sites.items():
        cells = [_cell(one[site], metrics.key_metric) if site in one else "" for one in models.values()]
        table.add_row(site, str(patients.test), *cells)
    console.print(table)
    console.print(
        f"{record.kind} model, {counted(len(record.sites), 'site')}; 95 % intervals over patients in "
        "brackets. Not for clinical use."
    )


def _cell(found: TestedScores, metric: Metric) -> str:
    interval = found.intervals.get(metric.name)
    text = metric.text(found.scores[metric.name])
    return (
        text if interval is None else f"{text} ({metric.text(interval.low)} to {metric.text(interval.high)})"
    )
