"""Evaluation of a trained model on a labeled folder: check, prepare, predict and measure, case by case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from consilium.counts import counted
from consilium.data.checks.accepted_findings import AcceptedFindings
from consilium.data.cohort import Cohort
from consilium.data.files import require_outside, write_atomically
from consilium.data.problem_code import Severity
from consilium.data.sources import SourceIndex
from consilium.errors import ConfigurationError
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.evaluation_summary import EvaluationSummary, summarize_evaluation
from consilium.prediction.case_run import (
    CaseRun,
    FinishedRun,
    RunProgress,
    case_ids,
    failures_to_write,
    select_cases,
)
from consilium.prediction.case_scorer import CaseScorer
from consilium.prediction.inputs import find_labeled_inputs
from consilium.prediction.output_folder import FinishedCase, OutputFolder
from consilium.prediction.trained_model import TrainedModel
from consilium.report.evaluation.page import LocalEvaluation, render_evaluation
from consilium.tasks import Task
from consilium.tasks.measures import cells_of, tables_of

SUMMARY: Final = "evaluation.json"
"""The summary over patients and the model, for programs; it stays at the hospital."""

PAGE: Final = "evaluation.html"
"""The same for people."""

_DECIMALS: Final = 6


@dataclass(frozen=True)
class EvaluatedCases(FinishedRun):
    """The cases of an evaluation, its files and its summary.

    Attributes:
        out: The folder with the files.
        table: The table of all evaluated cases in it.
        page: The page in it.
        summary: Means, intervals and quantiles over patients.
    """

    out: Path
    table: Path
    page: Path
    summary: EvaluationSummary = field(repr=False)

    @property
    def evaluated(self) -> tuple[str, ...]:
        """The cases that were evaluated now."""
        return self.new


def evaluate(
    model: TrainedModel | Path | str,
    folder: Path | str,
    out: Path | str = "evaluation",
    *,
    convention: str | None = None,
    patients: Path | None = None,
    mirror: bool = False,
    compute: ComputeSettings | None = None,
    only: Collection[str] = (),
    file_endings: Mapping[str, Sequence[str]] | None = None,
    accepted: Path | None = None,
    workers: int | None = None,
    progress: RunProgress | None = None,
) -> EvaluatedCases:
    """Evaluate a model on labeled cases, after the same checks and preparation as in training.

    Take patients that the model was not trained on. A case without a label, or with an error, is left out
    with its code and the others continue. Repeated, it evaluates only what is new: another file, model or
    setting.

    Example:
        ```python
        from consilium import evaluate

        done = evaluate("runs/first/result", "/data/clinic", "evaluation")
        print(done.page, done.summary.patients, done.summary.measures["dice"].mean)
        ```

    Args:
        model: A trained model, or where one is; see `TrainedModel.load`.
        folder: A folder of labeled cases in any layout of the task. It is only read.
        out: Where files go; made if missing, closed to other accounts.
        convention: What the values of labels mean; default: names and values decide.
        patients: Which cases are of one patient, see `consilium check`.
        mirror: Whether to average over mirrored inputs.
        compute: The machine's part; default: a GPU if there is one, and all cores.
        only: Ids of the cases to evaluate; empty for all.
        file_endings: Endings of file names beside the known ones: image, or `label`, to endings.
        accepted: A file of findings that the hospital accepts, see `consilium check`.
        workers: Processes that read and check; default: one for every four cases, at most one a core.
        progress: Called for each case.

    Raises:
        ConfigurationError: An option, the model or the output folder can't be used.
        DataError: The folder as a whole, or the model's file, can't be used.
    """
    trained = model if isinstance(model, TrainedModel) else TrainedModel.load(model)
    data = Path(folder)
    if not data.is_dir():
        raise ConfigurationError(f"{data} is no folder; name the folder of the labeled cases")
    require_outside(Path(out), data, "-o")
    accepted_findings = AcceptedFindings.read(accepted)
    with OutputFolder.open(Path(out), "evaluation") as output, failures_to_write(output.path):
        index = SourceIndex(output.state)
        scorer = CaseScorer(trained, output, compute or ComputeSettings(), mirror=mirror)
        run = CaseRun(scorer, accepted_findings, index, comparing=True)
        cohort = find_labeled_inputs(
            data,
            trained.case_format,
            index=index,
            convention=convention,
            patients_file=patients,
            file_endings=file_endings,
        )
        cohort = select_cases(cohort, only)
        _require_same_cases(output, case_ids(cohort), data)
        output.require_one_setting(scorer.settings, case_ids(cohort), "evaluated")
        done = run.process(cohort, workers, progress or (lambda done, total: None))
        return _Results(trained, data, output, cohort, done).write(scorer)


def _require_same_cases(output: OutputFolder, ids: Collection[str], data: Path) -> None:
    """Keep the evaluation of another folder: tables and page are of the cases of one run."""
    before = {one.id for one in output.all_finished()}
    if before and before.isdisjoint(ids):
        raise ConfigurationError(
            f"-o {output.path} holds the evaluation of {counted(len(before), 'case')}, none of which is in "
            f"{data}, and this run would replace its tables; name another folder"
        )


class _Results:
    """The files of an evaluation, made from the cases that are finished."""

    def __init__(
        self, model: TrainedModel, data: Path, folder: OutputFolder, cohort: Cohort, done: FinishedRun
    ) -> None:
        self._model, self._data, self._folder, self._done = model, data, folder, done
        self._patients = {case.id: case.patient for case in cohort.cases}
        finished = (folder.finished(case_id) for case_id in sorted({*done.new, *done.kept}))
        self._cases = [one for one in finished if one is not None]

    def write(self, scorer: CaseScorer) -> EvaluatedCases:
        """Write table, summary and page."""
        task, done = self._model.task, self._done
        rows = [one.scores for one in self._cases]
        patients = [self._patients[one.id] for one in self._cases]
        summary = summarize_evaluation(task.evaluation, rows, patients)
        page = LocalEvaluation(
            task=task,
            folder=self._data.name,
            model=self._model.digest,
            round=self._model.round,
            summary=summary,
            cases={one.id: one.scores for one in self._cases},
            findings=done.findings,
            left_out=len(done.left_out),
        )
        columns = ("patient", *(one.name for one in task.evaluation.measures), *_tables(task))
        table = self._folder.write_table(columns, [self._row(one) for one in self._cases])
        content = {
            **scorer.describe(),
            "summary": summary.model_dump(mode="json"),
            "left_out": dict(sorted(Counter(self._reasons()).items())),
        }
        self._folder.write_json(SUMMARY, content)
        path = self._folder.path / PAGE
        write_atomically(path, render_evaluation(page).encode(), durable=False)
        return EvaluatedCases(**vars(done), out=self._folder.path, table=table, page=path, summary=summary)

    def _reasons(self) -> list[str]:
        """The code of each case that is left out: that of its first error."""
        reasons: dict[str, str] = {}
        for one in self._done.findings:
            if one.case_id in self._done.left_out and one.severity is Severity.ERROR:
                reasons.setdefault(one.case, one.code.value)
        return list(reasons.values())

    def _row(self, one: FinishedCase) -> FinishedCase:
        evaluation = self._model.task.evaluation
        scores = {measure.name: round(one.scores[measure.name], _DECIMALS) for measure in evaluation.measures}
        cells = cells_of(evaluation.metrics, one.scores)
        return one.model_copy(update={"values": {"patient": self._patients[one.id], **scores, **cells}})


def _tables(task: Task) -> tuple[str, ...]:
    return tables_of(task.evaluation.metrics)
