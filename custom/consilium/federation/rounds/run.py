"""A running training job: its plan, its record, and its exchange with the sites."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from nvflare.app_common.abstract.fl_model import FLModel, ParamsType

from consilium.errors import RefusalCode
from consilium.federation.algorithms.base import Question
from consilium.federation.exchange.answer_form import Absence, RejectedAnswer
from consilium.federation.exchange.answers import TaskAnswers
from consilium.federation.exchange.declared_parts import check_numbers, read_sets
from consilium.federation.exchange.quorum import QuorumSettings
from consilium.federation.exchange.site_controller import SiteController
from consilium.federation.message_names import (
    LOCAL_ONLY,
    PREPARE,
    QUESTION_META,
    RUN_META,
    TEST,
    TRAIN,
    VALIDATE,
)
from consilium.federation.rounds.announcements import ModelAnnouncements
from consilium.federation.rounds.best_model import BestModel
from consilium.federation.rounds.failures import AbortedJob, FailedJob
from consilium.federation.rounds.plan import TrainingPlan
from consilium.federation.updates.intake import Contribution
from consilium.federation.updates.rejection_history import DeclinedQuestion, RejectedUpdate
from consilium.learning.weights import Weights, WeightSets, join_sets
from consilium.records.federation import FederationRecord, SiteRound
from consilium.records.model_comparison import kept_round, key_scores, model_scores
from consilium.records.summed_reports import SummedReports, name_scorers

_WHEN: Final[Mapping[str, str]] = {
    PREPARE: "while the sites prepared",
    VALIDATE: "in the final validation",
    TEST: "while its models were evaluated on test patients",
    LOCAL_ONLY: "while the sites trained alone; the federation's own model was complete and evaluated",
}


class TrainingRun:
    """State of a running training job, shared by its rounds and its endings.

    Args:
        controller: FLARE's end of it: asks sites, writes the log, fires events.
        plan: What the job decides.
        record: What is written down.

    Attributes:
        answers: To the question that is open, or was last.
        folder: The run folder.
    """

    def __init__(self, controller: SiteController, plan: TrainingPlan, record: FederationRecord) -> None:
        self.controller = controller
        self.plan = plan
        self.record = record
        self.answers = TaskAnswers()
        self.folder = Path(controller.get_run_dir())
        self.announcements = ModelAnnouncements(controller)
        self.best = BestModel(self.announcements, plan.selection)
        self._question: Question | None = None
        self._end = time.monotonic() + plan.seconds

    def save(self) -> None:
        """Write the record."""
        self.record.save(self.folder)

    def publish(self, weights: Weights, number: int) -> None:
        """Publish and save the global model.

        Args:
            weights: The model.
            number: The round that made it; 0 is the initial model.
        """
        learnable = self.announcements.publish(weights, number)
        self.controller.persistor.save(learnable, self.controller.fl_ctx)

    def ask(
        self,
        task: str,
        sets: WeightSets,
        index: int,
        *,
        question: Question | None = None,
        among: Collection[str] | None = None,
    ) -> None:
        """Send a question to the sites, and take their answers as they arrive.

        Args:
            task: The task's name.
            sets: The model under `MODEL`, and other weight sets; empty for none.
            index: The round, from 0.
            question: The algorithm's, where it is one.
            among: Sites that may be asked; None for all.

        Raises:
            AbortedJob: If the job was aborted before all have answered.
        """
        of_round, plan = question is not None, self.plan
        without = {} if question is None else question.without
        sites = [site for site in self.controller.connected_sites() if among is None or site in among]
        sites = [site for site in sites if site not in without]
        exclusion = plan.rejections.exclusion
        excluded = {site: reason for site in sites if of_round and (reason := exclusion(site))}
        sites = [site for site in sites if site not in excluded]
        self._question = question
        self.answers.expect(task, index, sites, excluded, without, question.turn if question else None)
        params = join_sets(sets)
        meta: dict[str, Any] = {RUN_META: self._run_id()}
        if question is not None and question.content:
            meta[QUESTION_META] = dict(question.content)
        message = FLModel(
            params_type=ParamsType.FULL if params else None,
            params=params or None,
            metrics=None if params else {},  # FLARE sends no model without either
            current_round=index,
            total_rounds=plan.rounds,
            meta=meta,
        )
        rules = plan.quorum.settings if of_round else QuorumSettings()
        deadline = _seconds(rules.deadline_minutes)
        if task == LOCAL_ONLY:  # it is as much work as all rounds
            deadline = plan.rounds * _seconds(plan.quorum.settings.deadline_minutes)
        grace, settled = _seconds(rules.grace_minutes), None
        if question is not None and question.settled is not None:
            grace, settled = min(grace, question.patience_seconds), question.settled
        self.controller.ask(
            task,
            message,
            sites,
            deadline_seconds=max(min(deadline, self._end - time.monotonic()), 0.0),
            grace_seconds=grace,
            silence_seconds=_seconds(plan.quorum.settings.silence_minutes),
            silence_with_enough_seconds=math.inf if question is None else question.silence_seconds,
            enough=settled or (lambda: plan.quorum.lack(self.answers.counted, self.answers.cases) is None),
        )
        self.answers.close()
        self.stop_if_aborted(_WHEN.get(task, f"in round {index + 1}"))

    def take(self, site: str, answer: FLModel) -> bool:
        """Take one site's answer; returns whether it counts."""
        try:
            self._take(site, answer)
        except (RejectedAnswer, RejectedUpdate) as error:
            about = "its update is rejected: " if isinstance(error, RejectedUpdate) else ""
            return self.controller.reject(site, f"{about}{error}", error.code)
        except DeclinedQuestion as error:
            return self.controller.set_aside(site, Absence(str(error), error.code))
        except OSError as error:
            reason = f"the server could not keep its update: {error.strerror}"
            return self.controller.set_aside(site, Absence(reason, RefusalCode.SERVER_DISK))
        return True

    def _take(self, site: str, answer: FLModel) -> None:
        """Take one site's answer.

        Raises:
            RejectedAnswer: If it can't be used.
            RejectedUpdate: If its update can't be.
            OSError: If the server can't keep the update.
        """
        task, question = self.answers.task, self._question
        declaration = self.plan.algorithm.settings.declaration
        if question is not None and task not in (TRAIN, VALIDATE):
            content = self.answers.read_content(answer, declaration.questions[question.task])
            question.aggregator.add(site, Contribution(read_sets(answer, declaration), content=content))
            self.answers.note(site, SiteRound(outcome="answered"))
            return
        report = self.answers.read(site, answer)
        state = SiteRound(outcome="ready" if task == PREPARE else "evaluated", report=report)
        summed = self.plan.algorithm.settings.sums_reports
        if report.train_cases is None and not summed:
            raise RejectedAnswer("its report has no number of training cases")
        check_numbers(report, declaration.numbers if task == TRAIN and answer.params else {})
        if answer.params:
            if question is None:
                raise RejectedAnswer("it sent an update that was not requested")
            sets = read_sets(answer, declaration)
            state.update_norm = question.aggregator.add(site, Contribution(sets, report))
            if task == TRAIN:
                state.outcome = "trained"
        elif task == PREPARE:
            if report.train_cases is not None:
                self.plan.screening.note_prepared(site, report.train_cases)
        elif task == TRAIN and report.role != "trains":
            self.plan.rejections.clear(site)
        self.answers.note(site, state, answer.metrics)
        answer.metrics = self.answers.combine({site: answer.metrics or {}})  # for the event

    def stop_if_aborted(self, when: str) -> None:
        """Stop the job if it was aborted.

        Raises:
            AbortedJob: If it was.
        """
        if self.controller.abort_signal.triggered:
            raise AbortedJob(f"aborted {when}")

    def stop_if_late(self, when: str) -> None:
        """Stop the job if its deadline has passed.

        Raises:
            FailedJob: If it has.
        """
        if time.monotonic() >= self._end:
            job = self.controller.fl_ctx.get_job_id()
            raise FailedJob(
                f"its deadline, deadline_hours of {self.plan.deadline_hours:g}, passed {when}. The rounds "
                f"done are kept: submit it again with resume={job}, and more hours if needed",
                RefusalCode.JOB_DEADLINE,
            )

    def note_sum(self, index: int) -> SummedReports | None:
        """Record new scores of all sites together, where only sums leave them; returns the other sums."""
        summed = self.plan.algorithm.summed
        if summed is None:
            return None
        try:
            self.answers.add_sum(summed)
        except ValueError as error:
            self.controller.warning(f"the sum of the sites' scores can't be used: {error}")
        self.note_scores(index)
        return summed.reports

    def note_scores(self, index: int) -> None:
        """Record new scores of the model that the sites received.

        It is the last round's, or the last one before that was not dropped. Where a task is repeated, the
        scores of the sites that answered only before are kept.
        """
        record = self.record
        number = kept_round(record, index)
        record.excluded = self.plan.rejections.excluded
        scores = {**model_scores(record, number), **self.answers.scores}
        if number == 0:
            record.initial_scores = scores
        else:
            record.rounds[number - 1].scores = scores
        scored = key_scores(record, number)
        if scored:
            mean = f"{record.metrics.key_name} {fmean(scored.values()):.4f}"
            self.controller.info(f"model of round {number}: {mean} over {name_scorers(scored)}")

    def select_best(self, index: int, weights: Weights) -> None:
        """Make the model that a round started from the best if it is better; its evaluation is complete.

        Args:
            index: The round, from 0.
            weights: That model: the last one before the round that was not dropped.
        """
        self.record.excluded = self.plan.rejections.excluded
        self.best.consider(self.record, kept_round(self.record, index), weights)

    def restore_before(self, index: int) -> Weights | None:
        """Drop the model that a round started from if it is worse than the one before.

        Args:
            index: The round, from 0.

        Returns:
            The one before, where it is worse.
        """
        number = kept_round(self.record, index)
        restored = self.plan.rollback.evaluate(self.record, index)
        if restored is None:
            return None
        weights, reason = restored
        self.controller.warning(f"round {number}: {reason}")
        self.record.rounds[number - 1].rolled_back = reason
        self.plan.algorithm.restore(self.plan.rollback.algorithm_before)
        self.publish(weights, kept_round(self.record, index))
        return weights

    @property
    def job(self) -> str:
        """The job's id."""
        return str(self.controller.fl_ctx.get_job_id())

    def _run_id(self) -> str:
        resumed = self.record.resumed
        return resumed[0].job if resumed else self.job


def _seconds(minutes: float | None) -> float:
    return math.inf if minutes is None else minutes * 60
