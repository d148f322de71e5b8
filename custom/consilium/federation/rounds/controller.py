"""Controller of a training job, from its admission to the evaluation of the final model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.app_constant import AppConstants

from consilium.errors import ConfigurationError, RefusalCode
from consilium.federation.algorithms import server_algorithm
from consilium.federation.algorithms.base import AlgorithmJob
from consilium.federation.component_state import Running
from consilium.federation.exchange.answer_form import Absence
from consilium.federation.exchange.quorum import Quorum, QuorumSettings
from consilium.federation.exchange.site_controller import SiteController
from consilium.federation.monitoring.job_events import JOB_BEGUN, announce
from consilium.federation.rounds.checkpoints import RoundCheckpoints
from consilium.federation.rounds.failures import AbortedJob, FailedJob
from consilium.federation.rounds.final_evaluation import FinalEvaluation
from consilium.federation.rounds.job_admission import AdmissionSettings
from consilium.federation.rounds.plan import TrainingPlan
from consilium.federation.rounds.preparation import Preparation
from consilium.federation.rounds.resumption import ResumableRounds
from consilium.federation.rounds.rollback import Rollback
from consilium.federation.rounds.run import TrainingRun
from consilium.federation.rounds.training import TrainingRounds
from consilium.federation.transport.set_up import receive_on_disk
from consilium.federation.updates.rejection_history import Rejections
from consilium.federation.updates.screening import Screening, ScreeningSettings
from consilium.federation.versions import component_versions
from consilium.learning.algorithms import parse_algorithm
from consilium.records.federation import FederationRecord
from consilium.records.model_comparison import DEFAULT_SELECTION, SelectionRule, parse_selection
from consilium.tasks import get_task, parse_learning

_ALLOWANCE = 4
"""How many times as large as the algorithm says a site's answer may be, before it is rejected unread."""


class FederatedTraining(SiteController):
    """Trains for a number of rounds, with every round's model and the final one evaluated at the sites.

    What the sites are asked in a round, how their answers combine and what the step is, the job's algorithm
    says: one of `consilium.federation.algorithms`. It is composed here, and nothing derives from this class.

    Before the first round every site checks that its versions fit and gets its data ready, however long that
    takes; with fewer than `min_sites` sites that can train, the job ends there.

    In a round each site first evaluates the model that it received, so the scores of a round's model come
    with the next round and cost no extra message; the last model gets a round of validation of its own. Then
    the final and the best model are evaluated on test patients, with distances.

    Rounds are compared over the sites that evaluated both models; see `BestModel` and `Rollback`.

    Every round is made durable before the next one starts. A job whose `meta.json` names an interrupted one
    under `resume` resumes after the last of that job's rounds, as if there had been no interruption.

    A site that declines, fails or is late costs the others nothing: it is recorded with its reason and asked
    again in the next round. A round without a quorum is tried again, and then ends the job with the reasons
    of all the others.

    The server rejects updates that can't be what they say, and informs their site with its next task. A site
    rejected too often in a row is no longer asked to train; it evaluates the final model as all do.
    A round whose model scores too far below the one before can be dropped. An abort, wherever it comes, and
    a final model that no site evaluated make a failed job.

    With `local_only`, every site that can train then trains a model alone, as many rounds as the federation,
    and compares it with the final model. Only scores come back. Which model is the best was decided before,
    and a site without such a model costs nothing but its own comparison.

    Args:
        rounds: Rounds of training.
        min_sites: Fewest sites whose updates make a round.
        learning: The fields of `LearningSettings`.
        algorithm: The algorithm's name and settings.
        quorum: The fields of `QuorumSettings`.
        admission: The fields of `AdmissionSettings`: the job starts only with a recent readiness check; None
            to start without.
        aggregation: How updates combine: for federated averaging, the fields of `AggregationSettings`.
        screening: The fields of `ScreeningSettings`.
        rollback_margin: By how much the key metric may get worse in a round that is kept; None: by any
            amount.
        selection: By which rule the best round's model is selected.
        local_only: Whether every site trains a model alone as well, to compare with.
        deadline_hours: How long the whole job may take: then it ends, and can be resumed after its last
            round; None: as long as it takes.
        initial: The fields of `InitialModel`: the model that the persistor starts from; None for drawn
            weights.
        persistor_id: Component that builds, loads and saves the weights.

    Raises:
        ConfigurationError: If a setting can't be used.
    """

    def __init__(
        self,
        rounds: int,
        min_sites: int,
        learning: dict[str, Any],
        algorithm: dict[str, Any],
        quorum: dict[str, Any] | None = None,
        admission: dict[str, Any] | None = None,
        aggregation: dict[str, Any] | None = None,
        screening: dict[str, Any] | None = None,
        rollback_margin: float | None = None,
        selection: SelectionRule = DEFAULT_SELECTION,
        local_only: bool = False,
        deadline_hours: float | None = None,
        initial: dict[str, Any] | None = None,
        persistor_id: str = AppConstants.DEFAULT_PERSISTOR_ID,
    ) -> None:
        super().__init__(persistor_id)
        self.rounds = rounds
        self.min_sites = min_sites
        self.learning = learning
        self.algorithm = algorithm
        self.quorum = quorum
        self.admission = admission
        self.aggregation = aggregation
        self.screening = screening
        self.rollback_margin = rollback_margin
        self.selection = selection
        self.local_only = local_only
        self.deadline_hours = deadline_hours
        self.initial = initial
        self.persistor_id = persistor_id
        limits = ScreeningSettings.parse(screening or {}, source="the job's screening")
        trained = parse_learning(learning, source="the job's learning settings")
        known = Screening(limits, trained, rounds)
        self._admission = admission and AdmissionSettings.parse(admission, source="the job's admission")
        self._plan = TrainingPlan(
            rounds=rounds,
            quorum=Quorum(QuorumSettings.parse(quorum or {}, source="the job's quorum"), min_sites),
            learning=trained,
            algorithm=server_algorithm(
                parse_algorithm(algorithm), AlgorithmJob(trained, rounds, aggregation or {}, known)
            ),
            screening=known,
            rejections=Rejections(limits.max_refusals),
            rollback=Rollback(rollback_margin),
            selection=parse_selection(selection),
            deadline_hours=deadline_hours,
        )
        self._plan.check_sums()
        self._run = Running[TrainingRun]()
        self._fault = ""

    def run(self) -> None:
        """Carry out the whole training; see the class."""
        announce(self, JOB_BEGUN, seconds=self._plan.seconds)
        run = self._run.begin(TrainingRun(self, self._plan, self._new_record()))
        run.save()
        try:
            self._train(run)
        except AbortedJob as error:
            reason = f"{error}: {self._fault}" if self._fault else str(error)
            self._finish(run, "failed", reason, RefusalCode.JOB_ABORTED)
        except (FailedJob, ConfigurationError) as error:
            code = error.code if isinstance(error, FailedJob) else RefusalCode.JOB_SETTINGS
            self._finish(run, "failed", str(error), code)
            self.panic(str(error))
        except Exception as error:  # FLARE ends the job then; its record must not say that it still runs
            reason = f"{type(error).__name__} at the server; the reason is in its log"
            self._finish(run, "failed", reason, RefusalCode.SERVER_ERROR)
            raise
        else:
            self._finish(run, "finished")

    def _finish(
        self,
        run: TrainingRun,
        status: Literal["finished", "failed"],
        reason: str | None = None,
        code: RefusalCode | None = None,
    ) -> None:
        """Complete the job's record.

        Args:
            run: The job.
            status: How it ended.
            reason: Why, where it failed.
            code: The kind of reason.
        """
        run.record.status, run.record.reason, run.record.code = status, reason, code
        run.save()
        if run.answers.skipped:
            skipped = ", ".join(run.answers.skipped)
            self.warning(f"not part of the last task: {skipped}; their reasons are in the record")
        self.info(f"training {status}" + (f": {reason}" if reason else ""))

    def _train(self, run: TrainingRun) -> None:
        """Train and evaluate to the end.

        Raises:
            ConfigurationError: If the job can't start, or can't resume the one that it names.
            AbortedJob: If the job was aborted.
            FailedJob: If the job can't continue.
        """
        algorithm, preparation = self._plan.algorithm, Preparation(run, self._admission or None)
        run.answers.evaluation = get_task(self._plan.learning.task).evaluation
        resumable = ResumableRounds(run, RoundCheckpoints(self.fl_ctx, self.learning, self.algorithm))
        # A resumed job needs no initial weights, and the server then no torch and no MONAI to draw them.
        resumed = resumable.resume()
        rounds_done, weights = resumed or (0, self.load_model().params)
        if resumed is None:
            algorithm.begin(weights)
        receive_on_disk(self.engine, run.folder, _ALLOWANCE * algorithm.largest_answer(weights))
        if resumed is None:
            preparation.admit()
        preparation.prepare_sites()
        rounds = TrainingRounds(run)
        for index in range(rounds_done, self.rounds):
            run.stop_if_aborted(f"before round {index + 1}")
            run.stop_if_late(f"before round {index + 1}")
            weights = rounds.train(index, weights)
            run.save()
            run.publish(weights, index + 1)
            resumable.keep(index + 1, weights)
        final_evaluation = FinalEvaluation(run)
        weights = final_evaluation.choose(weights)
        final_evaluation.test(weights)
        if self.local_only:
            run.save()
            final_evaluation.compare_with_local_only(weights)

    def _new_record(self) -> FederationRecord:
        task = get_task(self._plan.learning.task)
        return FederationRecord(
            job=self.fl_ctx.get_prop(FLContextKey.JOB_META)[JobMetaKey.JOB_NAME],
            task=task.name,
            title=task.title,
            metrics=task.evaluation.metrics,
            rounds_planned=self.rounds,
            settings={
                "rounds": self.rounds,
                "min_sites": self.min_sites,
                "algorithm": self._plan.algorithm.settings.model_dump(mode="json"),
                "quorum": self._plan.quorum.settings.model_dump(mode="json"),
                "admission": self.admission,
                "aggregation": dict(self._plan.algorithm.aggregation),
                "screening": self._plan.screening.settings.model_dump(mode="json"),
                "rollback_margin": self.rollback_margin,
                "selection": self.selection,
                "local_only": self.local_only,
                "deadline_hours": self.deadline_hours,
                "initial": self.initial,
                "learning": self.learning,
            },
            versions=component_versions(),
        )

    def take(self, site: str, answer: FLModel) -> bool:
        """Take one site's report, its scores of the weights that it received, and its update."""
        return self._run.value.take(site, answer)

    def note_refusal(self, site: str, absence: Absence) -> None:
        """Keep the reason with the answers of the task."""
        if self._run.begun:
            self._run.value.answers.reject(site, absence)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Inform each site with its task why its last answer was rejected; note a fault that ends the job."""
        super().handle_event(event_type, fl_ctx)
        if event_type == EventType.FATAL_SYSTEM_ERROR:
            self._fault = self._fault or str(fl_ctx.get_prop(FLContextKey.EVENT_DATA) or "")
        if event_type == EventType.AFTER_TASK_DATA_FILTER:
            self._plan.rejections.attach_reason(fl_ctx)

    def reject(self, site: str, reason: str, code: RefusalCode = RefusalCode.ANSWER) -> bool:
        """Reject an answer that is wrong, and count it; returns False for `take` to return."""
        self._plan.rejections.note(site, reason, code)
        return super().reject(site, reason, code)

    def note_absences(self, reasons: Mapping[str, str]) -> None:
        """Keep why a site was no longer waited for."""
        for site, reason in reasons.items():
            self.warning(f"{site}: {reason}")
            self._run.value.answers.miss(site, reason)
