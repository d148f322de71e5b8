"""A round of training: questions, attempts, quorum, and the algorithm's step."""

from __future__ import annotations

import time

from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.app_event_type import AppEventType

from consilium.counts import counted
from consilium.errors import RefusalCode
from consilium.federation.algorithms.base import Question, RoundStart
from consilium.federation.message_names import TRAIN
from consilium.federation.rounds.failures import FailedJob, FailedRound
from consilium.federation.rounds.run import TrainingRun
from consilium.federation.rounds.steps import take_step
from consilium.federation.rounds.trainers import known_trainers
from consilium.federation.updates.intake import Aggregate
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.learning.weights import MODEL, Weights
from consilium.records.federation import RoundRecord
from consilium.records.texts import clean_text
from consilium.records.turns import note_missed_turn

_UPDATES = "updates"


class TrainingRounds:
    """Trains rounds, each until it succeeds, with the questions and steps of the algorithm.

    Args:
        run: The job that runs.
    """

    def __init__(self, run: TrainingRun) -> None:
        self._run = run
        self._scores: dict[str, dict[str, float]] = {}

    def train(self, index: int, weights: Weights) -> Weights:
        """Train one round until it counts; returns the new weights.

        Args:
            index: The round, from 0.
            weights: The model that it starts from.

        Raises:
            AbortedJob: If the job was aborted.
            FailedJob: If no attempt counts.
        """
        run, quorum = self._run, self._run.plan.quorum
        attempts = quorum.settings.attempts
        for attempt in range(1, attempts + 1):
            run.controller.info(
                f"round {index + 1} of {run.plan.rounds}{f', attempt {attempt}' if attempt > 1 else ''}"
            )
            try:
                return self._attempt(index, weights, attempt)
            except FailedRound as error:
                run.stop_if_late(f"in round {index + 1}: {error}")
                reason = str(error)
                if error.lasts:
                    break
            if attempt < attempts:
                seconds = quorum.pause_seconds(attempt)
                run.controller.warning(f"{reason}; the round is tried again in {seconds:g} s")
                run.controller.pause(seconds)
                run.stop_if_aborted(f"in round {index + 1}")
        run.select_best(index, run.plan.rollback.start(index, weights))
        raise FailedJob(reason)

    def _attempt(self, index: int, weights: Weights, attempt: int) -> Weights:
        """Train one round and return the new weights.

        Raises:
            AbortedJob: If the job was aborted.
            FailedRound: If a question has no quorum, or the aggregate can't be used.
        """
        run, plan = self._run, self._run.plan
        started = time.monotonic()
        # FLARE's context keeps how a property was first set, and `prepare` has set these two already.
        run.controller.set_fl_context(FLModel(metrics={}, current_round=index, total_rounds=plan.rounds))
        run.controller.event(AppEventType.ROUND_STARTED)
        missed = run.record.rounds[index].missed_turns if attempt > 1 else {}
        record = RoundRecord(
            number=index + 1, attempts=attempt, seconds=0.0, sites={}, missed_turns=dict(missed)
        )
        try:
            weights = self._ask_all(index, plan.rollback.start(index, weights), record)
            aggregate, remembered = self._combine(record), plan.algorithm.state()
            made = take_step(plan.algorithm, weights, aggregate)
        except FailedRound as error:
            note_missed_turn(record, str(error))
            raise
        except RejectedUpdate as error:
            note_missed_turn(record, str(error))
            run.record.rounds[index:] = [record]
            reason = self._why_no_other_attempt(error)
            if reason is None:
                raise FailedRound(f"round {record.number}: {error}") from error
            return self._skip(index, weights, record, reason)
        finally:
            plan.algorithm.close()
            record.seconds = time.monotonic() - started
            for site, reason in plan.algorithm.at_fault.items():
                if plan.rejections.exclude(site, reason):
                    run.controller.warning(f"{site} takes no further part in training: {reason}")
        run.select_best(index, weights)
        plan.rollback.keep(weights, remembered)
        run.announcements.announce_aggregate(index, aggregate.sets[MODEL], run.answers.combine(self._scores))
        record.seconds = time.monotonic() - started
        run.controller.event(AppEventType.ROUND_DONE)
        return made

    def _why_no_other_attempt(self, error: RejectedUpdate) -> str | None:
        """Return why sites would not help with another sum or mean of the round; None if they may.

        A site that says so of one that this job or the one that it resumes can't have had opened is not
        believed: it would have every round skipped that needs it, in a job that ends well.
        """
        run = self._run
        sites = run.answers.sites
        if error.code == RefusalCode.ROUND_OPENED:
            said = "; ".join(f"{site}: {one.reason}" for site, one in sorted(sites.items()) if one.reason)
            return f"{error}{f' ({said})' if said else ''}, and its sites confirmed already who is in it"
        opened = sorted(site for site, one in sites.items() if one.code == RefusalCode.ROUND_OPENED)
        if not opened or not (run.record.resumed or run.plan.algorithm.opened_before):
            return None
        return f"{', '.join(opened)} helped to open another sum or mean of this round before ({error})"

    def _skip(self, index: int, weights: Weights, record: RoundRecord, reason: str) -> Weights:
        """Let a round count without an update; returns the model that it started from.

        That is no candidate for the best one yet: its evaluation continues with the next round, which may
        drop it.

        Raises:
            FailedJob: If no round of the job has changed the model.
        """
        run = self._run
        record.rolled_back = clean_text(
            f"{reason}; the difference of two would show single updates, so the model before it was kept"
        )
        run.controller.warning(f"round {record.number}: {record.rolled_back}")
        run.controller.event(AppEventType.ROUND_DONE)
        if index + 1 == run.plan.rounds and all(one.rolled_back for one in run.record.rounds):
            raise FailedJob(f"no round has changed the model; round {record.number}: {record.rolled_back}")
        return run.plan.rollback.start(index, weights)

    def _ask_all(self, index: int, weights: Weights, record: RoundRecord) -> Weights:
        """Ask the algorithm's questions in their order; returns the model that the sites trained from.

        If that is so much worse than the one before that it is dropped, all is asked again with that one.

        Raises:
            AbortedJob: If the job was aborted.
            FailedRound: If a question has no quorum.
            RejectedUpdate: If the algorithm can't continue with the answers.
        """
        run, record.sites = self._run, {}
        exclusion, folder = run.plan.rejections.exclusion, run.folder / _UPDATES
        known = [one for one in known_trainers(run.record, run.answers.sites) if exclusion(one) is None]
        connected = {*run.controller.connected_sites()} & {*known}
        start = RoundStart(
            index, weights, folder, run.job, record.attempts, tuple(sorted(connected)), tuple(known)
        )
        for question in run.plan.algorithm.questions(start):
            trains = question.task == TRAIN
            if question.turn is not None:
                record.turn = question.turn
                run.controller.info(f"round {record.number}: only {question.turn} trains, as it is its turn")
            sets = {MODEL: weights, **question.sets} if trains else question.sets
            run.ask(question.task, sets, index, question=question, among=question.among)
            if trains and not run.plan.algorithm.settings.sums_reports:
                run.note_scores(index)
                restored = self._restore(index)
                if restored is not None:
                    return self._ask_all(index, restored, record)
            self._close(question, record)
        if run.plan.algorithm.settings.sums_reports:
            record.summed = run.note_sum(index)
            restored = self._restore(index)
            if restored is not None:
                return self._ask_all(index, restored, record)
        return weights

    def _restore(self, index: int) -> Weights | None:
        """Restore the model before the one that the sites received, if that one is dropped for its scores."""
        self._scores = self._run.answers.scores
        restored = self._run.restore_before(index)
        if restored is not None:
            self._run.plan.algorithm.close()
        return restored

    def _close(self, question: Question, record: RoundRecord) -> None:
        """Screen the answers to a question, and record them.

        Raises:
            FailedRound: If the answers make no quorum.
        """
        run, answers = self._run, self._run.answers
        for site, reason in question.aggregator.screen().items():
            run.controller.reject(site, f"its update is rejected: {reason}", RefusalCode.UPDATE)
        trains = question.task == TRAIN
        if trains:
            record.sites = {**record.sites, **answers.sites}
            run.record.rounds[record.number - 1 :] = [record]
        else:
            record.questions = {**record.questions, question.task: answers.sites}
            # Who gave no keys, for instance, is not asked to train, and is missing for that reason.
            record.sites = {**answers.absent, **record.sites}
        given = answers.counted
        lack = run.plan.quorum.lack(given, answers.cases) if question.quorum else None
        if lack is not None:
            run.record.rounds[record.number - 1 :] = [record]
            if answers.turn is not None and not given:
                missed = answers.sites.get(answers.turn)
                reason = "it is not connected" if missed is None else missed.reason or "it sent none"
                what = f"no update of {answers.turn}, whose turn it is: {reason}"
            else:
                words = f"answer to {question.task}", f"answers to {question.task}"
                if trains and answers.turn is None:
                    words = "update", "updates"
                what = f"{counted(len(given), *words)}, {lack}; {answers.explain_others(given)}"
            raise FailedRound(f"round {record.number} has {what}", lasts=self._quorum_is_unreachable())

    def _combine(self, record: RoundRecord) -> Aggregate:
        """Combine the round's answers.

        Raises:
            FailedRound: If it can't be read.
            RejectedUpdate: If it can't be used.
        """
        try:
            aggregate = self._run.plan.algorithm.combine()
        except OSError as error:
            raise FailedRound(f"round {record.number}: {error}") from error
        for site, share in aggregate.shares.items():
            record.sites[site].weight = share
            self._run.plan.rejections.clear(site)
        for site, reason in aggregate.left_out.items():
            self._run.controller.warning(f"{site}: {reason}")
            record.sites[site] = record.sites[site].model_copy(
                update={"outcome": "refused", "weight": 0.0, "reason": reason, "code": RefusalCode.UPDATE}
            )
        if aggregate.left_out:
            self._require_quorum(aggregate)
        return aggregate

    def _require_quorum(self, aggregate: Aggregate) -> None:
        """Check that the updates that were used make the job's quorum.

        Raises:
            RejectedUpdate: If they don't. Their sites confirmed this one combination of the round.
        """
        lack = self._run.plan.quorum.lack(aggregate.shares, self._run.answers.cases)
        if lack is not None:
            raise RejectedUpdate(
                f"{counted(len(aggregate.shares), 'update')} could be used, {lack}",
                code=RefusalCode.ROUND_OPENED,
            )

    def _quorum_is_unreachable(self) -> bool:
        """Whether there would be no quorum even if all sites of the job were asked again."""
        answers = self._run.answers
        known = {*self._run.record.preparation, *answers.sites} - {*answers.unable}
        return self._run.plan.quorum.lack(known, answers.cases) is not None
