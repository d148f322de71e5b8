"""Prediction of cases with a trained model: check, prepare, predict and write, case by case."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from consilium.data.checks.accepted_findings import AcceptedFindings
from consilium.data.files import require_outside
from consilium.data.sources import SourceIndex
from consilium.errors import ConfigurationError
from consilium.learning.compute_settings import ComputeSettings
from consilium.prediction.case_run import (
    CaseRun,
    FinishedRun,
    RunProgress,
    case_ids,
    failures_to_write,
    select_cases,
)
from consilium.prediction.case_writer import CaseWriter
from consilium.prediction.inputs import find_inputs
from consilium.prediction.output_folder import ABOUT, OutputFolder
from consilium.prediction.trained_model import TrainedModel
from consilium.tasks.prediction import OutputOptions


@dataclass(frozen=True)
class PredictedCases(FinishedRun):
    """The cases of a prediction, and its files.

    Attributes:
        out: The folder with the files.
        table: The table of all cases in it.
    """

    out: Path
    table: Path

    @property
    def predicted(self) -> tuple[str, ...]:
        """The cases that were predicted now."""
        return self.new


def predict(
    model: TrainedModel | Path | str,
    inputs: Path | str | Mapping[str, Path | str],
    out: Path | str,
    *,
    labels: str | None = None,
    probabilities: bool = False,
    pictures: bool = False,
    mirror: bool = False,
    compute: ComputeSettings | None = None,
    only: Collection[str] = (),
    file_endings: Mapping[str, Sequence[str]] | None = None,
    accepted: Path | None = None,
    workers: int | None = None,
    progress: RunProgress | None = None,
) -> PredictedCases:
    """Predict cases without labels, after the same checks and preparation as in training.

    What a model finds is not for clinical use. A case that can't be read, or that a check calls an error, is
    left out and the others continue. Repeated, it predicts only what is new: another file, model or setting.

    Example:
        ```python
        from consilium import predict

        done = predict("runs/first/result", "/data/new_patients", "predictions", pictures=True)
        print(len(done.predicted), done.table, [finding.code.value for finding in done.findings])
        ```

    Args:
        model: A trained model, or where one is; see `TrainedModel.load`.
        inputs: A folder of cases in any layout of the task, or the name of each image of one case to its
            file. It is only read; labels in it are not.
        out: Where files go; made if missing, closed to other accounts.
        labels: The convention of written labels; default: the task's.
        probabilities: Whether to write probabilities, too.
        pictures: Whether to draw each case, where the task has pictures.
        mirror: Whether to average over mirrored inputs: slower, and mostly a little better.
        compute: The machine's part; default: a GPU if there is one, and all cores.
        only: Ids of the cases to predict; empty for all.
        file_endings: Endings of file names beside the known ones: image to endings.
        accepted: A file of findings that the hospital accepts, see `consilium check`.
        workers: Processes that read and check; default: one for every four cases, at most one a core.
        progress: Called for each case.

    Raises:
        ConfigurationError: An option, the model or the output folder can't be used.
        DataError: The input folder as a whole, or the model's file, can't be used.
    """
    trained = model if isinstance(model, TrainedModel) else TrainedModel.load(model)
    given = Path(inputs) if isinstance(inputs, str | Path) else {n: Path(p) for n, p in inputs.items()}
    options = OutputOptions(_choose_convention(trained, labels), probabilities)
    if isinstance(given, Path) and given.is_dir():
        require_outside(Path(out), given, "-o")
    if pictures and trained.task.presentation is None:
        raise ConfigurationError(f"task {trained.task.name} has no pictures; leave --pictures out")
    accepted_findings = AcceptedFindings.read(accepted)
    cohort = select_cases(find_inputs(given, trained.case_format, file_endings=file_endings), only)
    machine = compute or ComputeSettings()
    with OutputFolder.open(Path(out)) as folder, failures_to_write(folder.path):
        writer = CaseWriter(trained, folder, options, machine, mirror=mirror, pictures=pictures)
        run = CaseRun(writer, accepted_findings, SourceIndex(folder.state))
        folder.require_one_setting(writer.settings, case_ids(cohort), "predicted")
        folder.write_json(ABOUT, writer.describe())
        done = run.process(cohort, workers, progress or (lambda done, total: None))
        for case_id in done.left_out:  # predicted before, from files that are not there any more
            folder.withdraw(case_id)
        table = folder.write_table(trained.task.prediction.columns)
    return PredictedCases(**vars(done), out=folder.path, table=table)


def _choose_convention(model: TrainedModel, stated: str | None) -> str | None:
    known = model.task.prediction.conventions
    if stated is None:
        return known[0] if known else None
    if stated not in known:
        allowed = f"known: {', '.join(known)}" if known else "what it writes has but one meaning: state none"
        raise ConfigurationError(f"--labels: {model.task.name} has no convention {stated!r}; {allowed}")
    return stated
