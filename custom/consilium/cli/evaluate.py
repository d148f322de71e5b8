"""`consilium evaluate`: measure a trained model on labeled cases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consilium.cli.findings_table import print_findings, print_incomplete
from consilium.cli.options import (
    CONVENTION_HELP,
    PATIENTS_HELP,
    Accepted,
    CaseWorkers,
    FileEndings,
    Mirror,
    Model,
    ModelDevice,
    ModelThreads,
    OnlyCases,
    ShowCases,
    WhichModel,
    parse_endings,
)
from consilium.cli.terminal import say_result

if TYPE_CHECKING:
    from consilium.prediction.evaluate import EvaluatedCases
    from consilium.tasks import Task

EPILOG = """
The best model of a result, on a hospital's folder in any layout that docs/data.md lists:

  $ consilium evaluate -m runs/demo/result /data/clinic -o evaluation

The final model of a downloaded job, averaged over mirrored images:

  $ consilium evaluate -m results/JOB_ID /data/clinic -o evaluation --which final --mirror

OUT holds evaluation.html, evaluation.json, evaluation.csv with a line per case, and findings.csv; all of it
is about patients. The same command resumes after Ctrl-C, and evaluates again only what has changed.

Exit code: 0 all cases evaluated, 1 some are left out, 2 none could be, or the command, the model or the
folder can't be used, 70 an error in Consilium itself, 130 stopped.
"""


def evaluate(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The labeled cases; it is only read.", show_default=False)
    ],
    model: Model,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the results.")] = Path("evaluation"),
    which: WhichModel = None,
    convention: Annotated[
        str | None, typer.Option(metavar="CONVENTION", help=CONVENTION_HELP, show_default=False)
    ] = None,
    patients: Annotated[
        Path | None, typer.Option(metavar="FILE", help=PATIENTS_HELP, show_default=False)
    ] = None,
    mirror: Mirror = False,
    case: OnlyCases = None,
    file_ending: FileEndings = None,
    accepted: Accepted = None,
    device: ModelDevice = "auto",
    threads: ModelThreads = None,
    workers: CaseWorkers = None,
    show_cases: ShowCases = False,
) -> None:
    """Measure a trained model on labeled cases, patient by patient. Research only, not for clinical use.

    Cases are checked and prepared as in training; one with an error or without a label is left out with its
    code and remedy, and the others continue. Use patients that the model was not trained on.
    """
    from consilium.simulation.display import Display

    with Display() as display:
        display.show("loading torch and MONAI")
        from consilium.learning.compute_settings import ComputeSettings
        from consilium.prediction.evaluate import evaluate as run
        from consilium.prediction.trained_model import TrainedModel

        trained = TrainedModel.load(model.expanduser(), which)
        done = run(
            trained,
            folder.expanduser(),
            out,
            convention=convention,
            patients=patients,
            mirror=mirror,
            only=case or (),
            compute=ComputeSettings.parse({"device": device, "cpu_threads": threads}, source="the options"),
            file_endings=parse_endings(file_ending or (), trained.task.cases),
            accepted=accepted,
            workers=workers,
            progress=lambda number, total: display.show(f"evaluated: {number} of {total}"),
        )
    _print(done, trained.task, show_cases=show_cases)
    say_result(done.page)
    evaluated = len(done.evaluated) + len(done.kept)
    raise typer.Exit(0 if not done.left_out and evaluated else 1 if evaluated else 2)


def _print(done: EvaluatedCases, task: Task, *, show_cases: bool) -> None:
    from consilium.counts import counted
    from consilium.report.data_check.finding_group import group_findings
    from consilium.report.evaluation.rows import measure_rows, shows_quantiles
    from consilium.report.terminal import Terminal, folding_table

    console = Terminal(stderr=True)
    groups = group_findings(one for one in done.findings if not one.accepted)
    print_findings(console, groups, total=done.total, show_cases=show_cases)
    print_incomplete(console, done.incomplete, task)
    table = folding_table(("", "metric", "mean", "95 % interval", "median"))
    for title, rows in measure_rows(task, done.summary).items():
        for number, row in enumerate(rows):
            shown = row.quantiles if shows_quantiles(done.summary) else ()
            median = shown[len(shown) // 2] if shown else ""
            table.add_row("" if number else title, row.measure.label, row.mean, row.interval, median)
    if table.row_count:
        console.print(table)
    kept = f", {len(done.kept)} as before" if done.kept else ""
    console.print(
        f"{counted(len(done.evaluated), 'case')} evaluated{kept}, {len(done.left_out)} left out; "
        f"{counted(done.summary.patients, 'patient')}. Not for clinical use."
    )
