"""Prediction of cases with a trained model: check, prepare, predict and write, case by case."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from consilium.counts import counted
from consilium.data.cache import CaseCache
from consilium.data.case import Case, CaseError
from consilium.data.case_check import CaseCheck
from consilium.data.checks.accepted_findings import AcceptedFindings
from consilium.data.checks.kept_findings import KeptFindings
from consilium.data.cohort import Cohort
from consilium.data.cohort_pass import process_cases
from consilium.data.files import output_folder, private_folder, require_outside, write_failure
from consilium.data.finding import Finding
from consilium.data.problem_code import Severity
from consilium.data.sources import CaseReader, SourceIndex
from consilium.errors import ConfigurationError
from consilium.learning.compute_settings import ComputeSettings
from consilium.prediction.case_writer import CaseWriter
from consilium.prediction.inputs import find_inputs
from consilium.prediction.output_folder import OutputFolder
from consilium.prediction.trained_model import TrainedModel
from consilium.process_limits import available_cores
from consilium.tasks.prediction import OutputOptions

if TYPE_CHECKING:
    from consilium.data.cached_case import CachedCase

PredictionProgress: TypeAlias = Callable[[int, int], None]
"""Called with the number of cases done and of all cases."""

_CASES_WORTH_A_PROCESS: Final = 4
"""A process takes some seconds to start, as long as two cases take to be read and checked."""

_CASES_AT_A_TIME: Final = 8
"""Cases for each process that reads, prepared before they are predicted: the disk holds no more of them."""


@dataclass(frozen=True)
class PredictedCases:
    """What came of a prediction. Ids and findings are about patients: they stay where the images are.

    Attributes:
        out: The folder with the files.
        table: The table of all cases in it.
        predicted: The cases that were predicted now.
        kept: The cases that were predicted before, from the same files with the same model and settings.
        left_out: The cases that could not be predicted.
        findings: What the checks found, by case.
        incomplete: The images of cases that lack some -> how many such cases.
    """

    out: Path
    table: Path
    predicted: tuple[str, ...] = field(repr=False)
    kept: tuple[str, ...] = field(repr=False)
    left_out: tuple[str, ...] = field(repr=False)
    findings: tuple[Finding, ...] = field(repr=False)
    incomplete: Mapping[tuple[str, ...], int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many cases there are."""
        return len(self.predicted) + len(self.kept) + len(self.left_out)


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
    progress: PredictionProgress | None = None,
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
    cohort = find_inputs(given, trained.task.cases, file_endings=file_endings)
    cohort = _select(cohort, only)
    folder = OutputFolder(output_folder(Path(out), "-o"))
    machine = compute or ComputeSettings()
    writer = CaseWriter(trained, folder, options, machine, mirror=mirror, pictures=pictures)
    run = _Run(trained, folder, accepted_findings, writer)
    with _write_failures(folder.path):
        private_folder(folder.state)
        try:
            return run.predict(cohort, workers, progress or (lambda done, total: None))
        finally:
            shutil.rmtree(folder.prepared, ignore_errors=True)


class _Run:
    """One run over the cases of an input."""

    def __init__(
        self, model: TrainedModel, folder: OutputFolder, accepted: AcceptedFindings, writer: CaseWriter
    ) -> None:
        self._model, self._folder, self._accepted, self._writer = model, folder, accepted, writer
        self._task = model.task
        self._format = self._task.cases
        self._index = SourceIndex(folder.state)
        self._findings = KeptFindings(folder.state, self._format, accepted)
        self._cache = CaseCache(
            folder.prepared,
            case_format=self._format,
            settings=self._format.preparation(model.learning),
        )
        self._checks: dict[str, CaseCheck] = {}
        self._problems: dict[str, Finding] = {}

    def predict(self, cohort: Cohort, workers: int | None, progress: PredictionProgress) -> PredictedCases:
        """Predict the cases of a cohort, some at a time."""
        self._folder.write_about(self._writer.describe())
        total = len(cohort.cases)
        kept = [case.id for case in cohort.cases if self._is_finished(case)]
        new = [case for case in cohort.cases if case.id not in set(kept)]
        predicted: list[str] = []
        progress(len(kept), total)
        workers = workers or max(1, min(available_cores(), len(new) // _CASES_WORTH_A_PROCESS))
        at_a_time = _CASES_AT_A_TIME * workers
        for start in range(0, len(new), at_a_time):
            for case, cached in self._prepare(cohort, new[start : start + at_a_time], workers):
                if cached is not None and self._predict_case(case, cached):
                    predicted.append(case.id)
                progress(len(kept) + len(predicted) + len(self._problems), total)
        findings = self._all_findings(cohort)
        done = {*kept, *predicted}
        left_out = {case.id for case in cohort.cases} | {one.case for one in cohort.problems}
        self._folder.write_findings(findings)
        return PredictedCases(
            self._folder.path,
            self._folder.write_table(self._task.prediction.columns),
            tuple(predicted),
            tuple(kept),
            tuple(sorted(left_out - done)),
            findings,
            Counter(tuple(case.images) for case in cohort.left_out),
        )

    def _prepare(
        self, cohort: Cohort, cases: Sequence[Case], workers: int
    ) -> Iterator[tuple[Case, CachedCase | None]]:
        """Check and prepare some cases, as for training; None for one that is left out."""
        made = process_cases(
            replace(cohort, cases=tuple(cases)),
            (self._findings, self._cache),
            case_format=self._format,
            index=self._index,
            workers=workers,
        )
        self._checks |= made.of(self._findings)
        self._problems |= made.problems
        ready = made.of(self._cache)
        for case in cases:
            if case.id not in ready and case.id not in self._problems:
                errors = [one for one in self._found_in(case.id) if one.severity is Severity.ERROR]
                self._problems[case.id] = errors[0]
            yield case, ready.get(case.id)

    def _predict_case(self, case: Case, cached: CachedCase) -> bool:
        """Predict one case; returns whether that was possible."""
        try:
            self._writer.write(case, cached, self._writer.key(case, self._index))
        except CaseError as error:
            self._problems[case.id] = error.problem
            return False
        self._folder.write_table(self._task.prediction.columns)
        shutil.rmtree(cached.folder, ignore_errors=True)
        return True

    def _is_finished(self, case: Case) -> bool:
        """Whether a case was predicted from the same files, with the same model and settings."""
        finished = self._folder.finished(case.id)
        if finished is None or not set(self._writer.extras) <= set(finished.extras):
            return False
        with suppress(CaseError):
            if finished.key == self._writer.key(case, self._index):
                return self._recall_check(case)
        return False

    def _recall_check(self, case: Case) -> bool:
        """Look up what was found in a case; returns False for what is an error by now."""
        with suppress(CaseError):
            key = CaseReader(case, self._index.recall(case)).key(None, self._format.name)
            check = self._findings.recall(key, case, None)
            if check is not None and self._findings.usable(check):
                self._checks[case.id] = check
                return True
        return False

    def _found_in(self, case_id: str) -> Iterator[Finding]:
        check = self._checks.get(case_id)
        return check.findings(self._accepted.apply) if check else iter(())

    def _all_findings(self, cohort: Cohort) -> tuple[Finding, ...]:
        in_cases = [finding for case_id in self._checks for finding in self._found_in(case_id)]
        known = {(one.case_id, one.code) for one in in_cases}
        failed = [one for one in self._problems.values() if (one.case_id, one.code) not in known]
        against_model = self._format.checks.against_job(self._checks, self._model.learning)
        found = [*cohort.problems, *cohort.notices, *in_cases, *failed, *against_model]
        return tuple(sorted(found, key=lambda one: one.case_id or ""))


def _choose_convention(model: TrainedModel, stated: str | None) -> str | None:
    known = model.task.prediction.conventions
    if stated is None:
        return known[0] if known else None
    if stated not in known:
        allowed = f"known: {', '.join(known)}" if known else "what it writes has but one meaning: state none"
        raise ConfigurationError(f"--labels: {model.task.name} has no convention {stated!r}; {allowed}")
    return stated


def _select(cohort: Cohort, only: Collection[str]) -> Cohort:
    if not only:
        return cohort
    known = {case.id for case in cohort.cases} | {one.case for one in cohort.problems}
    if absent := sorted(set(only) - known):
        raise ConfigurationError(
            f"--case: {counted(len(absent), 'case')} not found in the input, such as {absent[0]!r}"
        )
    return replace(
        cohort,
        cases=tuple(case for case in cohort.cases if case.id in only),
        problems=tuple(one for one in cohort.problems if one.case in only),
        left_out=tuple(case for case in cohort.left_out if case.id in only),
        notices=tuple(one for one in cohort.notices if one.case_id is None or one.case_id in only),
    )


@contextmanager
def _write_failures(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(write_failure(folder, error)) from error
