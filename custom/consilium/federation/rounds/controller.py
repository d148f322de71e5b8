"""The server's side: rounds of training, then one validation of the final model at every site."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import numpy as np
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType

from consilium.counts import counted
from consilium.errors import ConfigurationError, ConsiliumError, RefusalCode
from consilium.federation.algorithms.state import Remembering
from consilium.federation.exchange.answer_form import Absence, RefusedAnswer
from consilium.federation.exchange.answers import Answers
from consilium.federation.exchange.quorum import Quorum, QuorumSettings
from consilium.federation.exchange.site_controller import SiteController
from consilium.federation.monitoring.job_events import JOB_BEGUN, announce
from consilium.federation.rounds.admission import AdmissionSettings, readiness_path, rejection
from consilium.federation.rounds.announcements import ModelAnnouncements
from consilium.federation.rounds.durable_rounds import DurableRounds
from consilium.federation.rounds.rollback import Rollback
from consilium.federation.rounds.selection import BestModel
from consilium.federation.tasks import (
    CHECKPOINT_EVENT,
    LOCAL_ONLY,
    PREPARE,
    RUN_META,
    TRAIN,
    VALIDATE,
)
from consilium.federation.transport.set_up import receive_on_disk
from consilium.federation.updates.aggregation import Aggregator, ScreenedAggregation
from consilium.federation.updates.rejections import RejectedUpdate, Rejections
from consilium.federation.updates.rules import AggregationSettings
from consilium.federation.updates.screening import Screening, ScreeningSettings
from consilium.federation.versions import component_versions
from consilium.learning.weights import Weights
from consilium.records.federation import FederationRecord, RoundRecord, SiteRound
from consilium.records.model_comparison import kept_round, key_scores, model_scores
from consilium.tasks import get_task, parse_learning

_UPDATES = "updates"

_WHEN: Final = {
    PREPARE: "while the sites prepared",
    TRAIN: "in round {number}",
    VALIDATE: "in the final validation",
    LOCAL_ONLY: "while the sites trained alone; the federation's own model was complete and evaluated",
}

_LARGEST_UPDATE = 4
"""How many times as large as the model a site's update may be; here it is as large."""


class FederatedTraining(SiteController):
    """Trains for a number of rounds, and has every round's model evaluated at the sites, and the final one.

    Before the first round every site checks that its versions fit and gets its data ready, however long that
    takes; with fewer than `min_sites` sites that can train, the job ends there.

    In a round each site first evaluates the model that it received, so the scores of a round's model come
    with the next round and cost no extra message; the last model gets a round of validation of its own, with
    distances. Rounds are compared over the sites that evaluated both models; see `BestModel` and `Rollback`.

    Every round is made durable before the next one starts. A job whose `meta.json` names an interrupted one
    under `resume` resumes after the last of that job's rounds, as if there had been no interruption.

    A site that refuses, fails or is late costs the others nothing: it is recorded with its reason and asked
    again in the next round. A round without a quorum is tried again, and then ends the job with the reasons
    of all the others.

    The server refuses updates that can't be what they say, and tells their site with its next task. A site
    refused too often in a row is not asked to train any more; it evaluates the final model as all do.
    A round whose model scores too far below the one before can be dropped. An abort, wherever it comes, and
    a final model that no site evaluated make a failed job.

    With `local_only`, every site that can train then trains a model alone, as many rounds as the federation,
    and compares it with the final model. Only scores come back. Which model is the best was decided before,
    and a site without such a model costs nothing but its own comparison.

    Args:
        rounds: Rounds of training.
        min_sites: Fewest sites whose updates make a round.
        quorum: The fields of `QuorumSettings`.
        admission: The fields of `AdmissionSettings`: the job starts only with a recent readiness check; None
            to start without.
        aggregation: The fields of `AggregationSettings`.
        screening: The fields of `ScreeningSettings`.
        rollback_margin: By how much the key metric may get worse in a round that is kept; None: by any
            amount.
        local_only: Whether every site trains a model alone as well, to compare with.
        deadline_hours: How long the whole job may take: then it ends, and can be resumed after its last
            round; None: as long as it takes.
        persistor_id: Component that builds, loads and saves the weights.
    """

    def __init__(
        self,
        rounds: int,
        min_sites: int,
        quorum: dict[str, Any] | None = None,
        admission: dict[str, Any] | None = None,
        aggregation: dict[str, Any] | None = None,
        screening: dict[str, Any] | None = None,
        rollback_margin: float | None = None,
        local_only: bool = False,
        deadline_hours: float | None = None,
        persistor_id: str = AppConstants.DEFAULT_PERSISTOR_ID,
    ) -> None:
        super().__init__(persistor_id)
        self.rounds = rounds
        self.min_sites = min_sites
        self.quorum = quorum
        self._quorum = Quorum(QuorumSettings.parse(quorum or {}, source="the job's quorum"), min_sites)
        self.admission = admission
        self._admission = admission and AdmissionSettings.parse(admission, source="the job's admission")
        self.aggregation = aggregation
        self._rule = AggregationSettings.parse(aggregation or {}, source="the job's aggregation")
        self.screening = screening
        self._limits = ScreeningSettings.parse(screening or {}, source="the job's screening")
        self._refusals = Rejections(self._limits.max_refusals)
        self.rollback_margin = rollback_margin
        self._rollback = Rollback(rollback_margin)
        self.local_only = local_only
        self.deadline_hours = deadline_hours
        self._end = math.inf
        self.persistor_id = persistor_id
        self._answers = Answers()
        self._announcements = ModelAnnouncements(self)
        self._best = BestModel(self._announcements)
        self._aggregator: Aggregator | None = None
        self._fault = ""
        # Made when the job runs: these need its context.
        self._record: FederationRecord | None = None
        self._durable: DurableRounds | None = None
        self._screening: Screening | None = None

    def run(self) -> None:
        """Carry out the whole training; see the class."""
        folder = Path(self.get_run_dir())
        seconds = math.inf if self.deadline_hours is None else self.deadline_hours * 3600
        self._end = time.monotonic() + seconds
        announce(self, JOB_BEGUN, seconds=seconds)
        self._record = self._new_record()
        self._record.save(folder)
        try:
            self._train(folder)
        except _AbortedJob as error:
            reason = f"{error}: {self._fault}" if self._fault else str(error)
            self._finish("failed", reason, RefusalCode.JOB_ABORTED)
        except (_FailedJob, ConfigurationError) as error:
            code = error.code if isinstance(error, _FailedJob) else RefusalCode.JOB_SETTINGS
            self._finish("failed", str(error), code)
            self.panic(str(error))
        except Exception as error:
            # FLARE ends the job then, and its record must not say that it still runs.
            reason = f"{type(error).__name__} at the server; the reason is in its log"
            self._finish("failed", reason, RefusalCode.SERVER_ERROR)
            raise
        else:
            self._finish("finished", None)

    def _train(self, folder: Path) -> None:
        """Train and evaluate to the end.

        Raises:
            ConfigurationError: If the job can't start, or can't resume the one that it names.
            _AbortedJob: If the job was aborted.
            _FailedJob: If the job can't continue.
        """
        learning = parse_learning(self.persistor.learning, source="the job's learning settings")
        self._screening = Screening(self._limits, learning, self.rounds)
        self._answers.evaluation = get_task(learning.task).evaluation
        self._durable = DurableRounds(self.fl_ctx, self.persistor.learning)
        # A resumed job needs no initial weights, and the server then no torch and no MONAI to draw them.
        rounds_done, weights = self._resume() or (0, self.load_model().params)
        receive_on_disk(
            self.engine, folder, _LARGEST_UPDATE * sum(np.asarray(one).nbytes for one in weights.values())
        )
        if not rounds_done:
            self._admit()
        self._prepare_sites()
        record = self._running_record()
        record.save(folder)
        for index in range(rounds_done, self.rounds):
            self._stop_if_aborted(f"before round {index + 1}")
            self._stop_if_late(f"before round {index + 1}")
            weights = self._repeat_round(index, weights)
            record.save(folder)
            self.persistor.save(self._announcements.publish(weights, index + 1), self.fl_ctx)
            self._make_durable(index + 1, weights)
        weights = self._validate_finally(weights)
        if self.local_only:
            record.save(folder)
            self._compare_with_local_only(weights)

    def _new_record(self) -> FederationRecord:
        learning = parse_learning(self.persistor.learning, source="the job's learning settings")
        task = get_task(learning.task)
        return FederationRecord(
            job=self.fl_ctx.get_prop(FLContextKey.JOB_META)[JobMetaKey.JOB_NAME],
            task=task.name,
            title=task.title,
            metrics=task.evaluation.metrics,
            rounds_planned=self.rounds,
            settings={
                "rounds": self.rounds,
                "min_sites": self.min_sites,
                "quorum": self._quorum.settings.model_dump(mode="json"),
                "admission": self.admission,
                "aggregation": self._rule.model_dump(mode="json"),
                "screening": self._limits.model_dump(mode="json"),
                "rollback_margin": self.rollback_margin,
                "local_only": self.local_only,
                "deadline_hours": self.deadline_hours,
                "learning": self.persistor.learning,
            },
            versions=component_versions(),
        )

    def _resume(self) -> tuple[int, Weights] | None:
        """Resume the interrupted job that this one names, if any.

        Returns:
            The rounds done and the weights after them; None for a job that starts from the beginning.

        Raises:
            ConfigurationError: If this job names one that it can't or may not resume.
        """
        assert self._durable is not None  # made in run()
        resumed = self._durable.resume()
        if resumed is None:
            return None
        if resumed.number > self.rounds:
            raise ConfigurationError(
                f"the job to resume has done {counted(resumed.number, 'round')}, and this one asks for "
                f"{self.rounds}; "
                f"set rounds to {resumed.number} or more"
            )
        state, new = resumed.state, self._running_record()
        self._record = record = state.record.model_copy(
            update={"rounds_planned": new.rounds_planned, "settings": new.settings, "versions": new.versions}
        )
        self._answers.cases = dict(state.cases)
        for name, part in self._remembering().items():
            if name in resumed.algorithm:
                part.restore(resumed.algorithm[name])
        self._restore_best(record, self._durable.best(state))
        self.persistor.save(self._announcements.publish(resumed.weights, resumed.number), self.fl_ctx)
        self.info(f"going on after round {resumed.number} of job {record.resumed[-1].job}")
        return resumed.number, resumed.weights

    def _restore_best(self, record: FederationRecord, weights: Weights | None) -> None:
        if record.best_round is not None and weights is None:
            self.warning(
                f"the model of round {record.best_round}, the best so far, is not among the checkpoints any "
                "more; the best is selected from the rounds that follow"
            )
        self._best.restore(record, weights)

    def _remembering(self) -> dict[str, Remembering]:
        """The parts of the algorithm that know something from the rounds before: each is made durable."""
        return {
            "screening": self._known_updates(),
            "refusals": self._refusals,
            "rollback": self._rollback,
        }

    def _make_durable(self, rounds_done: int, weights: Weights) -> None:
        """Keep a round for a later process of the server's; a full disk costs that, and not the job."""
        assert self._durable is not None  # made in run()
        try:
            seconds = self._durable.keep(
                rounds_done,
                weights,
                record=self._running_record(),
                cases=self._answers.cases,
                algorithm={name: part.state() for name, part in self._remembering().items()},
            )
        except OSError as error:
            self.error(
                f"round {rounds_done} could not be made durable ({error.strerror}); the job goes on, but "
                "after an interruption it would go on from an earlier round"
            )
            return
        if seconds is not None:
            data = {"round": rounds_done, "time": time.time(), "seconds": seconds}
            self.fire_event_with_data(CHECKPOINT_EVENT, self.fl_ctx, FLContextKey.EVENT_DATA, data)

    def _admit(self) -> None:
        """Look for the readiness check that the job demands.

        Raises:
            _FailedJob: If the job may not start.
        """
        if not self._admission:
            return
        learning = parse_learning(self.persistor.learning, source="the job's learning settings")
        path = readiness_path(self.engine.get_workspace(), learning.task)
        reason = rejection(path, self._admission, self.connected_sites())
        if reason is not None:
            raise _FailedJob(reason)

    def _prepare_sites(self) -> None:
        """Let every site get ready.

        Raises:
            _AbortedJob: If the job was aborted.
            _FailedJob: If too few of them can train.
        """
        record = self._running_record()
        started = time.monotonic()
        self.info("waiting until every site has prepared its data")
        self._ask(PREPARE, None, 0)
        record.preparation, record.preparation_seconds = self._answers.sites, time.monotonic() - started
        able = self._answers.able
        lack = self._quorum.lack(able, self._answers.cases)
        if lack is not None:
            self._stop_if_late("before all sites had prepared their data")
            raise _FailedJob(
                f"{counted(len(able), 'site')} can train, {lack}; {self._answers.explain_others(able)}"
            )

    def _repeat_round(self, index: int, weights: Weights) -> Weights:
        """Train one round until it counts; returns the new weights.

        Raises:
            _AbortedJob: If the job was aborted.
            _FailedJob: If no attempt counts.
        """
        attempts = self._quorum.settings.attempts
        for attempt in range(1, attempts + 1):
            self.info(f"round {index + 1} of {self.rounds}{f', attempt {attempt}' if attempt > 1 else ''}")
            try:
                return self._train_round(index, weights, attempt)
            except _FailedRound as error:
                self._stop_if_late(f"in round {index + 1}: {error}")
                reason = str(error)
                if error.lasts:
                    break
            if attempt < attempts:
                seconds = self._quorum.pause_seconds(attempt)
                self.warning(f"{reason}; the round is tried again in {seconds:g} s")
                self.pause(seconds)
                self._stop_if_aborted(f"in round {index + 1}")
        self._select_best(index, weights)
        raise _FailedJob(reason)

    def _train_round(self, index: int, weights: Weights, attempt: int) -> Weights:
        """Train one round and return the new weights.

        Raises:
            _AbortedJob: If the job was aborted.
            _FailedRound: If the round has no quorum, or its aggregate can't be used.
        """
        record = self._running_record()
        started = time.monotonic()
        # FLARE's context keeps how a property was first set, and `prepare` has set these two already.
        self.set_fl_context(FLModel(metrics={}, current_round=index, total_rounds=self.rounds))
        self.event(AppEventType.ROUND_STARTED)
        try:
            weights = self._gather_updates(index, self._rollback.start(index, weights))
            assert self._aggregator is not None  # every round has its own
            for site, reason in self._aggregator.screen().items():
                self.refuse(site, f"its update is refused: {reason}", RefusalCode.UPDATE)
            round_record = RoundRecord(
                number=index + 1,
                attempts=attempt,
                seconds=time.monotonic() - started,
                sites=self._answers.sites,
            )
            record.rounds[index:] = [round_record]
            change = self._aggregate(index, self._aggregator)
        finally:
            if self._aggregator is not None:
                self._aggregator.close()
        self._select_best(index, weights)
        self._rollback.keep(weights)
        self._announcements.announce_aggregate(index, change, self._answers.scores)
        round_record.seconds = time.monotonic() - started
        self.event(AppEventType.ROUND_DONE)
        return self.step(weights, change)

    def step(self, weights: Weights, change: Weights) -> Weights:
        """Return the global weights after a round: here, the sum; a server optimizer takes its step here.

        Args:
            weights: What the sites trained from.
            change: The aggregate of their differences.
        """
        # A step never changes what kind of numbers the model holds.
        return {
            name: np.asarray(value + change[name], dtype=np.asarray(value).dtype)
            for name, value in weights.items()
        }

    def new_aggregator(self, weights: Weights, index: int) -> Aggregator:
        """Return what takes the updates of one round; another one may never see them in the clear.

        Args:
            weights: What the sites train from.
            index: The round, from 0.
        """
        folder = Path(self.get_run_dir()) / _UPDATES
        return ScreenedAggregation(weights, index, self._rule, self._known_updates(), folder)

    def _gather_updates(self, index: int, weights: Weights) -> Weights:
        """Let the sites evaluate a model and train from it; returns the model that they trained from.

        If it is so much worse than the one before that it is dropped, they are asked again with that one.
        """
        self._aggregator = self.new_aggregator(weights, index)
        self._ask(TRAIN, weights, index)
        self._note_scores(index)
        restored = self._restore_before(index)
        if restored is None:
            return weights
        self._aggregator.close()
        return self._gather_updates(index, restored)

    def _restore_before(self, number: int) -> Weights | None:
        """Drop a round's model if it is worse than the one before; returns that one, or None."""
        record = self._running_record()
        restored = self._rollback.evaluate(record, number)
        if restored is None:
            return None
        weights, reason = restored
        self.warning(f"round {number}: {reason}")
        record.rounds[number - 1].rolled_back = reason
        self.persistor.save(self._announcements.publish(weights, kept_round(record, number)), self.fl_ctx)
        return weights

    def _aggregate(self, index: int, aggregator: Aggregator) -> Weights:
        """Combine the round's updates.

        Raises:
            _FailedRound: If the round has no quorum, or its aggregate can't be used.
        """
        trained = self._answers.trained
        lack = self._quorum.lack(trained, self._answers.cases)
        if lack is not None:
            reason = (
                f"round {index + 1} has {counted(len(trained), 'update')}, {lack}; "
                f"{self._answers.explain_others(trained)}"
            )
            raise _FailedRound(reason, lasts=self._lacks_for_good())
        try:
            change, shares = aggregator.result()
        except (RejectedUpdate, OSError) as error:
            raise _FailedRound(f"round {index + 1}: {error}") from error
        for site, share in shares.items():
            self._answers.sites[site].weight = share
            self._refusals.clear(site)
        return change

    def _lacks_for_good(self) -> bool:
        """Whether all sites of the job, were they asked again, would make no quorum either."""
        known = {*self._running_record().preparation, *self._answers.sites} - {*self._answers.unable}
        return self._quorum.lack(known, self._answers.cases) is not None

    def _validate_finally(self, weights: Weights) -> Weights:
        """Evaluate the final model at every site; if it is dropped, the model before is the final one.

        Returns:
            The final model.

        Raises:
            _AbortedJob: If the job was aborted. What some sites have answered is not the final validation.
            _FailedJob: If no site has evaluated it.
        """
        record = self._running_record()
        self.info("validating the final model at every site")
        self._ask(VALIDATE, weights, self.rounds)
        self._note_scores(self.rounds)
        restored = self._restore_before(self.rounds)
        if restored is not None:
            weights = restored
            self._ask(VALIDATE, weights, self.rounds)
            self._note_scores(self.rounds)
        record.final_scores = self._answers.scores
        record.final_sites = self._answers.sites
        self._select_best(kept_round(record, self.rounds), weights)
        if not any(one.outcome == "evaluated" for one in record.final_sites.values()):
            self._stop_if_late("before a site had evaluated the final model")
            raise _FailedJob(
                f"no site evaluated the final model; {self._answers.explain_others([])}",
                RefusalCode.NO_SCORES,
            )
        return weights

    def _compare_with_local_only(self, weights: Weights) -> None:
        """Have every site that can train do so alone, and compare its model with the final one.

        Raises:
            _AbortedJob: If the job was aborted; what had come until then is in the record.
        """
        record = self._running_record()
        known = record.final_sites.items()
        sites = [site for site, one in known if one.report is not None and one.report.role == "trains"]
        self.info(f"waiting until {counted(len(sites), 'site')} trained a model alone, to compare with")
        try:
            self._ask(LOCAL_ONLY, weights, self.rounds, among=sites)
        finally:
            record.local_only = self._answers.sites

    def _ask(
        self, task: str, weights: Weights | None, index: int, *, among: Sequence[str] | None = None
    ) -> None:
        """Send a task to every site, with or without weights, and take the answers in as they come.

        Args:
            task: The task's name.
            weights: A model.
            index: The round, from 0.
            among: Sites that may be asked; None for all.

        Raises:
            _AbortedJob: If the job was aborted before all have answered.
        """
        sites = [site for site in self.connected_sites() if among is None or site in among]
        excluded: dict[str, str] = {}
        if task == TRAIN:
            reasons = {site: self._refusals.exclusion(site) for site in sites}
            excluded = {site: reason for site, reason in reasons.items() if reason}
            sites = [site for site in sites if site not in excluded]
        self._answers.expect(task, index, sites, excluded)
        question = FLModel(
            params_type=None if weights is None else ParamsType.FULL,
            params=None if weights is None else dict(weights),
            metrics={} if weights is None else None,  # FLARE sends no model without either
            current_round=index,
            total_rounds=self.rounds,
            meta={RUN_META: self._run_id()},
        )
        rules = self._quorum.settings if task == TRAIN else QuorumSettings()
        deadline = _seconds(rules.deadline_minutes)
        if task == LOCAL_ONLY:  # it is as much work as all rounds
            deadline = self.rounds * _seconds(self._quorum.settings.deadline_minutes)
        self.ask(
            task,
            question,
            sites,
            deadline_seconds=max(min(deadline, self._end - time.monotonic()), 0.0),
            grace_seconds=_seconds(rules.grace_minutes),
            silence_seconds=_seconds(rules.silence_minutes),
            enough=lambda: self._quorum.lack(self._answers.trained, self._answers.cases) is None,
        )
        self._answers.close()
        self._stop_if_aborted(_WHEN[task].format(number=index + 1))

    def _stop_if_aborted(self, when: str) -> None:
        """Stop the job if it was aborted.

        Raises:
            _AbortedJob: If it was.
        """
        if self.abort_signal.triggered:
            raise _AbortedJob(f"aborted {when}")

    def _stop_if_late(self, when: str) -> None:
        """Stop the job if its deadline has passed.

        Raises:
            _FailedJob: If it has.
        """
        if time.monotonic() >= self._end:
            raise _FailedJob(
                f"its deadline, deadline_hours of {self.deadline_hours:g}, passed {when}. The rounds done "
                f"are kept: submit it again with resume={self.fl_ctx.get_job_id()}, and more hours if needed",
                RefusalCode.JOB_DEADLINE,
            )

    def take(self, site: str, answer: FLModel) -> bool:
        """Take one site's report, its scores of the weights that it received, and its update."""
        try:
            self._take(site, answer)
        except (RefusedAnswer, RejectedUpdate) as error:
            about = "its update is refused: " if isinstance(error, RejectedUpdate) else ""
            return self.refuse(site, f"{about}{error}", error.code)
        except OSError as error:
            reason = f"the server could not keep its update: {error.strerror}"
            return self.set_aside(site, Absence(reason, RefusalCode.SERVER_DISK))
        return True

    def _take(self, site: str, answer: FLModel) -> None:
        """Take one site's answer.

        Raises:
            RefusedAnswer: If it can't be used.
            RejectedUpdate: If its update can't be.
            OSError: If the server can't keep the update.
        """
        task = self._answers.task
        report = self._answers.read(site, answer)
        state = SiteRound(outcome="ready" if task == PREPARE else "evaluated", report=report)
        if answer.params:
            if task != TRAIN:
                raise RefusedAnswer("it sent an update that nobody asked for")
            assert self._aggregator is not None  # every round has its own
            state.update_norm = self._aggregator.add(site, answer.params, report)
            state.outcome = "trained"
        elif task == PREPARE:
            self._known_updates().note_prepared(site, report.train_cases)
        elif task == TRAIN:
            self._refusals.clear(site)
        self._answers.note(site, state, answer.metrics)

    def note_refusal(self, site: str, absence: Absence) -> None:
        """Keep the reason with the answers of the task."""
        self._answers.refuse(site, absence)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Tell each site with its task why its last answer was refused; note a fault that ends the job."""
        super().handle_event(event_type, fl_ctx)
        if event_type == EventType.FATAL_SYSTEM_ERROR:
            self._fault = self._fault or str(fl_ctx.get_prop(FLContextKey.EVENT_DATA) or "")
        if event_type == EventType.AFTER_TASK_DATA_FILTER:
            self._refusals.attach_reason(fl_ctx)

    def refuse(self, site: str, reason: str, code: RefusalCode = RefusalCode.ANSWER) -> bool:
        """Refuse an answer that is wrong, and count it; returns False for `take` to return."""
        self._refusals.note(site, reason, code)
        return super().refuse(site, reason, code)

    def note_absences(self, reasons: Mapping[str, str]) -> None:
        """Keep why a site was no longer waited for."""
        for site, reason in reasons.items():
            self.warning(f"{site}: {reason}")
            self._answers.miss(site, reason)

    def _note_scores(self, index: int) -> None:
        """Keep the scores that just came with the model that the sites received.

        It is the last round's, or the last one before that was not dropped. Where a task is repeated, the
        scores of the sites that answered only before are kept.
        """
        record = self._running_record()
        number = kept_round(record, index)
        record.excluded = self._refusals.excluded
        scores = {**model_scores(record, number), **self._answers.scores}
        if number == 0:
            record.initial_scores = scores
        else:
            record.rounds[number - 1].scores = scores
        scored = key_scores(record, number)
        if scored:
            mean = f"{record.metrics.key_name} {fmean(scored.values()):.4f}"
            self.info(f"model of round {number}: {mean} over {counted(len(scored), 'site')}")

    def _select_best(self, number: int, weights: Weights) -> None:
        """Make a round's model the best if it is better; its evaluation is complete."""
        record = self._running_record()
        record.excluded = self._refusals.excluded
        self._best.consider(record, number, weights)

    def _finish(self, status: str, reason: str | None, code: RefusalCode | None = None) -> None:
        record = self._running_record()
        record.status, record.reason, record.code = status, reason, code  # type: ignore[assignment]
        record.save(Path(self.get_run_dir()))
        if self._answers.skipped:
            skipped = ", ".join(self._answers.skipped)
            self.warning(f"not part of the last task: {skipped}; their reasons are in the record")
        self.info(f"training {status}" + (f": {reason}" if reason else ""))

    def _known_updates(self) -> Screening:
        assert self._screening is not None  # made in run()
        return self._screening

    def _run_id(self) -> str:
        resumed = self._running_record().resumed
        return resumed[0].job if resumed else str(self.fl_ctx.get_job_id())

    def _running_record(self) -> FederationRecord:
        assert self._record is not None  # made first thing in run()
        return self._record


def _seconds(minutes: float | None) -> float:
    return math.inf if minutes is None else minutes * 60


class _FailedRound(ConsiliumError):
    """A round that doesn't count.

    Args:
        reason: For the operator.
        lasts: Whether another attempt would end like this one.
    """

    def __init__(self, reason: str, *, lasts: bool = False) -> None:
        super().__init__(f"{reason}; another attempt would give the same" if lasts else reason)
        self.lasts = lasts


class _FailedJob(ConsiliumError):
    """A job that can't start or continue.

    Args:
        reason: For the operator.
        code: The kind of reason.
    """

    def __init__(self, reason: str, code: RefusalCode = RefusalCode.NO_QUORUM) -> None:
        super().__init__(reason)
        self.code = code


class _AbortedJob(ConsiliumError):
    """A job that was aborted, and when."""
