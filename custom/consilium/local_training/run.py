"""Training on this machine: a job's trainer, settings and steps, without its federation."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from consilium.counts import counted
from consilium.data.files import private_folder
from consilium.federation.site.local_settings import listed_tasks
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.model_file import BEST_MODEL, LAST_MODEL
from consilium.learning.weights import Weights
from consilium.local_training.job import TrainingJob
from consilium.local_training.result import TrainingResultFolder
from consilium.local_training.scoring import ModelScorer
from consilium.local_training.sites import claim_training, folder_sites, kit_site, prepare
from consilium.participant.local_only import train_local_only
from consilium.participant.participant import Participant
from consilium.participant.site_data import SiteData
from consilium.participant.standalone_plan import StandalonePlan
from consilium.recipes.base import JobRecipe
from consilium.records.local_training import LocalTrainingRecord, TrainedRound
from consilium.report.terminal import Terminal
from consilium.simulation.display import Display
from consilium.simulation.hospitals import NamesAndLabels
from consilium.tasks.registry import only_listed_tasks

RESULT: Final = "result"
_ROUNDS: Final = "rounds"
"""Folder with the state after the last rounds, from which an interrupted training resumes."""

NO_NOISE: Final = "the job's differential privacy is left out: this model is trained without noise"
"""What is said of a job whose sites add noise: the model promises no patient anything."""


@dataclass(frozen=True)
class LocalTraining:
    """A finished training.

    Attributes:
        folder: The result: `model.safetensors`, `best_model.safetensors` and the record.
        record: What was trained on, and the scores of every site. It may be about few patients.
    """

    folder: Path
    record: LocalTrainingRecord


def train(
    job: JobRecipe | Path | str,
    sites: Mapping[str, Path | str] | Path | str,
    out: Path | str,
    *,
    changes: Mapping[str, Any] | None = None,
    evaluators: Collection[str] = (),
    min_patients: int | None = None,
    names: NamesAndLabels | None = None,
    initial: Path | str | None = None,
    compute: ComputeSettings | None = None,
    display: Display | None = None,
) -> LocalTraining:
    """Train a model without a federation, with the trainer, the settings and the steps of a job.

    One folder gives a local-only model, several a pooled one. Patients are checked and divided into training,
    validation and test patients as in the job. The model is validated after every round, and the last and
    the best one are evaluated on the test patients. A training that was interrupted resumes, with the same
    result.

    Example:
        ```python
        from consilium import train

        done = train("brain_tumor_fedavg", {"north": "/data/north"}, "runs/alone")
        print(done.folder, done.record.final["north"].scores)
        ```

    Args:
        job: A recipe, the folder of an exported job, or a name of `consilium jobs list`.
        sites: Site name to the folder with its cases; or the folder of a hospital's kit, whose cases are
            then divided as in the hospital's jobs.
        out: Folder for everything: `result/`, `cache/`, and what an interrupted training resumes from.
        changes: Dotted names of the job's settings to values.
        evaluators: Names of sites that are only evaluated on.
        min_patients: Fewest patients of a training set, and of an evaluated one; default: as at a hospital.
        names: What the sites state about their files and labels; default: it is found from the files.
        initial: A model to start from, see `simulate`; default: as the job has it.
        compute: The machine's part; default: a GPU if there is one, and all cores; a kit's own settings.
        display: Where progress is shown; default: nowhere.

    Raises:
        ConfigurationError: The job, a site or a setting can't be used.
        DataError: The model to start from, or the cache, can't be used.
        TrainingError: The training fails.
    """
    display = display or Display(Terminal(quiet=True, force_terminal=False))
    place = Path(out).resolve()
    if isinstance(sites, Mapping):
        opened = TrainingJob.open(job, changes, initial)
        folders = {name: Path(folder).expanduser() for name, folder in sites.items()}
        settings = folder_sites(
            folders,
            place,
            seed=opened.learning.seed,
            evaluators=evaluators,
            min_patients=min_patients,
            names=names,
        )
    else:
        kit = Path(sites).expanduser()
        with only_listed_tasks(listed_tasks(kit / "local/privacy.json")):
            opened = TrainingJob.open(job, changes, initial)
        settings = kit_site(kit, place, opened.learning.task)
        compute = compute or next(iter(settings.values()))
    if opened.has_noise:
        display.say(NO_NOISE)
    with claim_training(place):
        data = prepare(settings, opened.learning, say=display.say, show=display.show)
        return _Training(opened, data, place, compute or ComputeSettings(), display).run()


class _Training:
    """One training: its rounds, its models and its record."""

    def __init__(
        self,
        job: TrainingJob,
        data: Mapping[str, SiteData],
        out: Path,
        compute: ComputeSettings,
        display: Display,
    ) -> None:
        self._display = display
        self._rounds = out / _ROUNDS
        # A site's settings hold more than its machine's part, which is all that training processes need.
        machine = {name: getattr(compute, name) for name in ComputeSettings.model_fields}
        self._compute = ComputeSettings(**machine)
        self._plan = _plan(job, data)
        self._scorer = ModelScorer(job.learning, data, self._compute, job.selection)
        self._result = TrainingResultFolder(out / RESULT, job, self._plan)
        self._record = self._result.open_record(data)
        if not self._record.rounds:
            shutil.rmtree(self._rounds, ignore_errors=True)  # of another training

    def run(self) -> LocalTraining:
        """Train what is missing, and evaluate."""
        record = self._record
        if record.status == "finished":
            self._display.say("nothing has changed since this training finished: its result stays as it is")
            return LocalTraining(self._result.folder, record)
        started = time.monotonic() - record.seconds
        self._train(started)
        self._display.show("evaluating on test patients")
        record.final = self._scorer.test(self._result.load(LAST_MODEL))
        if record.best_round is not None:
            same = record.best_round == record.rounds_planned
            record.best = record.final if same else self._scorer.test(self._result.load(BEST_MODEL))
        record.status, record.seconds = "finished", time.monotonic() - started
        record.save(self._result.folder)
        shutil.rmtree(self._rounds, ignore_errors=True)
        return LocalTraining(self._result.folder, record)

    def _train(self, started: float) -> None:
        plan, memory = self._plan, private_folder(self._rounds)
        self._display.say(
            f"{plan.trained.kind} model: {counted(plan.rounds, 'round')}, {counted(plan.steps, 'step')} in "
            f"all, on {counted(len(plan.data.train), 'case')}"
        )

        def on_step(index: int, step: int, steps: int) -> None:
            self._display.show(f"round {index + 1} of {plan.rounds}, step {step} of {steps}")

        def on_round(number: int, weights: Weights, loss: float | None) -> None:
            if all(one.number != number for one in self._record.rounds):
                self._keep_round(number, weights, loss)
                self._record.seconds = time.monotonic() - started
                self._record.save(self._result.folder)

        participant = Participant(plan.data, plan.learning, self._compute, memory=memory)
        try:
            train_local_only(
                participant,
                plan.learning,
                plan.rounds,
                start=plan.start,
                memory=memory,
                on_step=on_step,
                on_round=on_round,
            )
        finally:
            participant.close()

    def _keep_round(self, number: int, weights: Weights, loss: float | None) -> None:
        """Validate the model after a round, and write it."""
        record, scorer = self._record, self._scorer
        scores = scorer.validate(weights)
        best = next((one.scores for one in record.rounds if one.number == record.best_round), {})
        if scorer.is_better(scores, best):
            self._result.save(BEST_MODEL, weights, number)
            record.best_round = number
        self._result.save(LAST_MODEL, weights, number)
        record.rounds.append(TrainedRound(number=number, loss=loss, scores=scores))
        self._display.say(f"round {number} of {record.rounds_planned}{scorer.describe(scores)}")


def _plan(job: TrainingJob, data: Mapping[str, SiteData]) -> StandalonePlan:
    if len(data) > 1:
        return StandalonePlan.pooled(data, job.learning, job.rounds, start=job.start)
    ((name, site),) = data.items()
    return StandalonePlan.local_only(name, site, job.learning, job.rounds, start=job.start)
