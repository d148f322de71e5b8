"""`consilium predict`: use a trained model on new cases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consilium.cli.findings_table import print_findings, print_incomplete
from consilium.cli.options import (
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
from consilium.errors import ConfigurationError

if TYPE_CHECKING:
    from consilium.prediction.run import PredictedCases
    from consilium.tasks import Task

EPILOG = """
A folder of cases in any layout that docs/data.md lists, labeled or not:

  $ consilium predict -m runs/demo/result -i /data/new -o predictions

One case whose files are named, with pictures and probabilities:

  $ consilium predict -m model.safetensors -i IMAGE=FILE -i OTHER=FILE -o predictions --pictures \\
  --probabilities

The final model of a downloaded job, averaged over mirrored images:

  $ consilium predict -m results/JOB_ID -i /data/new -o predictions --which final --mirror

OUT holds the files of each case, predictions.csv, findings.csv and about.json; all of it is about patients.
The same command resumes after Ctrl-C, and predicts again only what has changed. Not for clinical use.

Exit code: 0 all cases predicted, 1 some are left out, 2 none could be, or the command, the model or the
folder can't be used, 70 an error in Consilium itself, 130 stopped.
"""


def predict(
    model: Model,
    inputs: Annotated[
        list[str],
        typer.Option(
            "-i",
            "--input",
            metavar="DIR|IMAGE=FILE",
            help="A folder of cases or of one case; or each image of one case, by the task's names.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the predictions.", show_default=False)],
    which: WhichModel = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="CONVENTION",
            help="What the values in label maps mean: one of the task's label conventions. Default: the "
            "task's choice; about.json says what they mean.",
            show_default=False,
        ),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write the probabilities as well.")
    ] = False,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Draw each case with what was found, as a PNG.")
    ] = False,
    mirror: Mirror = False,
    case: OnlyCases = None,
    file_ending: FileEndings = None,
    accepted: Accepted = None,
    device: ModelDevice = "auto",
    threads: ModelThreads = None,
    workers: CaseWorkers = None,
    show_cases: ShowCases = False,
) -> None:
    """Segment, grade or measure new cases with a trained model. Research only, not for clinical use.

    Cases are checked and prepared as in training; a case with an error is left out with its code and remedy,
    and the others continue. Labels are not needed and not read. Each case gets what its task has: a label map
    with the geometry of its first image, or a grade; probabilities, a picture, and a line in predictions.csv.
    """
    from consilium.simulation.display import Display

    with Display() as display:
        display.show("loading torch and MONAI")
        from consilium.learning.compute_settings import ComputeSettings
        from consilium.prediction.run import predict as run
        from consilium.prediction.trained_model import TrainedModel

        trained = TrainedModel.load(model.expanduser(), which)
        case_format = trained.task.cases
        done = run(
            trained,
            _parse_inputs(inputs),
            out,
            labels=labels,
            probabilities=probabilities,
            pictures=pictures,
            mirror=mirror,
            only=case or (),
            compute=ComputeSettings.parse({"device": device, "cpu_threads": threads}, source="the options"),
            file_endings=parse_endings(file_ending or (), case_format),
            accepted=accepted,
            workers=workers,
            progress=lambda number, total: display.show(f"predicted: {number} of {total}"),
        )
    _print(done, trained.task, show_cases=show_cases)
    say_result(done.table)
    predicted = len(done.predicted) + len(done.kept)
    raise typer.Exit(0 if not done.left_out and predicted else 1 if predicted else 2)


def _parse_inputs(given: list[str]) -> Path | Mapping[str, Path]:
    """A folder, or the file of each image.

    Raises:
        ConfigurationError: Both are given, several folders, or an image twice.
    """
    if len(given) == 1 and ("=" not in given[0] or Path(given[0]).expanduser().exists()):
        return Path(given[0]).expanduser()
    files: dict[str, Path] = {}
    for one in given:
        name, equals, path = one.partition("=")
        if not (name and equals and path):
            raise ConfigurationError(
                f"-i {one!r}: give one folder, or each image of one case as IMAGE=FILE, by the task's names"
            )
        if name in files:
            raise ConfigurationError(f"-i {name} is given twice: {files[name]} and {path}")
        files[name] = Path(path).expanduser()  # no shell does it behind the =
    return files


def _print(done: PredictedCases, task: Task, *, show_cases: bool) -> None:
    from consilium.counts import counted
    from consilium.report.data_check.finding_group import group_findings
    from consilium.report.terminal import Terminal

    console = Terminal(stderr=True)
    groups = group_findings(one for one in done.findings if not one.accepted)
    print_findings(console, groups, total=done.total, show_cases=show_cases)
    print_incomplete(console, done.incomplete, task)
    kept = f", {len(done.kept)} as before" if done.kept else ""
    console.print(
        f"{counted(len(done.predicted), 'case')} predicted{kept}, {len(done.left_out)} left out. "
        "Not for clinical use."
    )
