"""The server's side of an evaluation: sends each model to every site, and records the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.job_def import JobMetaKey
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from pydantic import ValidationError

from consilium.counts import counted
from consilium.errors import ConfigurationError, DataError, RefusalCode
from consilium.federation.component_state import Running
from consilium.federation.exchange.answer_form import Absence
from consilium.federation.exchange.site_controller import SiteController
from consilium.federation.message_names import EVALUATE, LOCAL_ONLY, REPORT_META
from consilium.learning.evaluated_model import EvaluatedModel
from consilium.learning.model_store import ModelStore
from consilium.prediction.evaluated_models import open_evaluated_model
from consilium.prediction.trained_model import TrainedModel
from consilium.records.bounds import MissingSite, name_faults
from consilium.records.evaluation import (
    EVALUATION_FILE,
    LOCAL_MODELS,
    EvaluationRecord,
    ModelEntry,
    SiteEvaluation,
)
from consilium.records.evaluation_bounds import check_evaluation
from consilium.tasks import LearningSettings, get_task, parse_learning


@dataclass(frozen=True)
class _Question:
    """The model that the sites are asked about."""

    number: int
    entry: ModelEntry


class ModelEvaluation(SiteController):
    """Asks every site about each of the job's models, one after the other, and trains nothing.

    All model files are read and checked before any site is asked: they come from outside. A site that can't
    answer about any model of the job is not asked about the others, and is named with each of them.

    With `local_only` each site is asked about its own model first. It is sent no weights then, and sends
    none: it has the model.

    Args:
        models: The fields of `EvaluatedModel`, one for each model.
        learning: The fields of `LearningSettings`, with which the models were trained.
        timeout_minutes: How long sites may take for a model; those that are not done by then are missing.
        local_only: Whether the sites evaluate their own models as well.

    Raises:
        ConfigurationError: If a setting can't be used.
    """

    def __init__(
        self,
        models: list[dict[str, Any]],
        learning: dict[str, Any],
        timeout_minutes: float = 240.0,
        local_only: bool = False,
    ) -> None:
        super().__init__()
        self.models = models
        self.learning = learning
        self.timeout_minutes = timeout_minutes
        self.local_only = local_only
        self._models = [EvaluatedModel.parse(one, source="the job's models") for one in models]
        self._settings: LearningSettings = parse_learning(learning, source="the job's learning settings")
        self._record = Running[EvaluationRecord]()
        self._question: _Question | None = None

    def run(self) -> None:
        """Ask about each model, and write the record."""
        task = get_task(self._settings.task)
        record = self._record.begin(
            EvaluationRecord(
                job=self.fl_ctx.get_prop(FLContextKey.JOB_META)[JobMetaKey.JOB_NAME],
                task=task.name,
                title=task.title,
                settings={
                    "learning": self.learning,
                    "timeout_minutes": self.timeout_minutes,
                    "local_only": self.local_only,
                },
            )
        )
        try:
            self._check_models(record)
        except (ConfigurationError, DataError) as error:
            self._end(record, str(error), RefusalCode.MODEL_FILE)
            self.error(f"no site is asked: {error}")
            return
        models = {one.name: one for one in self._models}
        for number, name in enumerate(record.models):
            if not self.abort_signal.triggered:
                self._ask_about(number, name, models.get(name), record)
                record.save(self._path)
        if self.abort_signal.triggered:
            self._end(record, "aborted before all sites had answered", RefusalCode.JOB_ABORTED)
        elif not any(one.sites for one in record.models.values() if one.digest is not None):
            self._end(record, "no site answered about any model", RefusalCode.NO_SCORES)
        else:
            record.status = "finished"
            record.save(self._path)

    def take(self, site: str, answer: FLModel) -> bool:
        """Keep one site's answer."""
        question = self._question
        if question is None or answer.current_round != question.number:
            return self.reject(site, "its answer is about another model")
        if answer.params or answer.metrics:
            return self.reject(site, "it sent an update or scores that were not requested")
        try:
            evaluation = SiteEvaluation.model_validate(answer.meta.get(REPORT_META))
        except ValidationError as error:
            faults = name_faults(error, SiteEvaluation)
            return self.reject(site, f"its answer can't be read; wrong is {faults}")
        own = self._record.value.models.get(LOCAL_MODELS)
        local = None if own is None or own is question.entry else own.sites.get(site)
        if own is not None and own is not question.entry and local is None:
            evaluation.gains = {}  # over an answer that came too late, or was rejected
        try:
            check_evaluation(evaluation, get_task(self._settings.task).evaluation, local)
        except ValueError as error:
            return self.reject(site, f"its answer can't be used: {error}", RefusalCode.SCORES)
        question.entry.sites[site] = evaluation
        return True

    def note_refusal(self, site: str, absence: Absence) -> None:
        """Keep why a site has no answer."""
        if self._question is not None:
            missing = MissingSite(reason=absence.reason, code=absence.code)
            self._question.entry.missing[site] = missing

    @property
    def _path(self) -> Path:
        return Path(self.get_run_dir()) / EVALUATION_FILE

    def _end(self, record: EvaluationRecord, reason: str, code: RefusalCode) -> None:
        record.status, record.reason, record.code = "failed", reason, code
        record.save(self._path)

    def _check_models(self, record: EvaluationRecord) -> None:
        """Read every model once, and note where it comes from.

        Raises:
            ConfigurationError: The job names none, or the server lacks one.
            DataError: A file can't be used.
        """
        if not self._models:
            raise ConfigurationError(
                "the job names no model: write it with `consilium jobs export JOB --model NAME=MODEL`"
            )
        if self.local_only:
            record.models[LOCAL_MODELS] = ModelEntry(digest=None)
        for model in self._models:
            opened = self._read_model(model)
            record.models[model.name] = ModelEntry(digest=model.digest, job=opened.job, round=opened.round)

    def _read_model(self, model: EvaluatedModel) -> TrainedModel:
        local = Path(self.engine.get_workspace().get_site_config_dir())
        return open_evaluated_model(ModelStore.of_server(local), model, self._settings)

    def _ask_about(
        self, number: int, name: str, model: EvaluatedModel | None, record: EvaluationRecord
    ) -> None:
        """Ask about one model; None for the sites' own."""
        entry = record.models[name]
        before = {
            site: missing
            for other in list(record.models.values())[:number]
            for site, missing in other.missing.items()
            if missing.code is not None and missing.code.lasts
        }
        sites = self.connected_sites()
        entry.missing.update({site: missing for site, missing in before.items() if site in sites})
        self._note_absent(entry, sites, record)
        asked = [site for site in sites if site not in before]
        self._question = _Question(number, entry)
        self.info(f"asking {counted(len(asked), 'site')} about {name}")
        task, question = LOCAL_ONLY, FLModel(metrics={})  # they have the model: nothing is sent
        if model is not None:
            weights = dict(self._read_model(model).weights)
            task, question = EVALUATE, FLModel(params_type=ParamsType.FULL, params=weights)
        question.current_round, question.total_rounds = number, len(record.models)
        self.ask(task, question, asked, deadline_seconds=self.timeout_minutes * 60)
        late = f"no answer within {counted(self.timeout_minutes, 'minute')}"
        for site in asked:
            if site not in entry.sites:
                entry.missing.setdefault(site, MissingSite(reason=late, code=RefusalCode.LATE))

    def _note_absent(self, entry: ModelEntry, connected: Sequence[str], record: EvaluationRecord) -> None:
        """Name the sites that were there for an earlier model and are gone."""
        gone = MissingSite(
            reason="it was not connected when the others were asked", code=RefusalCode.NOT_CONNECTED
        )
        for site in record.sites:
            if site not in connected:
                entry.missing.setdefault(site, gone)
