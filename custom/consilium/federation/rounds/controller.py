"""The server's side: rounds of training, then one validation of the final model at every site."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType

from consilium.errors import ConfigurationError, ConsiliumError
from consilium.federation.algorithm_state import Remembering
from consilium.federation.answer_form import RefusedAnswer
from consilium.federation.rounds.admission import AdmissionSettings, readiness_path, refusal
from consilium.federation.rounds.announcements import ModelAnnouncements
from consilium.federation.rounds.answers import Answers
from consilium.federation.rounds.durable_rounds import DurableRounds
from consilium.federation.rounds.quorum import Quorum, QuorumSettings
from consilium.federation.rounds.rollback import Rollback
from consilium.federation.rounds.selection import BestModel
from consilium.federation.site_controller import SiteController
from consilium.federation.tasks import (
    CHECKPOINT_EVENT,
    PREPARE,
    RUN_META,
    TRAIN,
    VALIDATE,
)
from consilium.federation.transport.set_up import receive_on_disk
from consilium.federation.updates.aggregation import Aggregator, ScreenedAggregation
from consilium.federation.updates.refused import Refusals, RefusedUpdate
from consilium.federation.updates.rules import AggregationSettings
from consilium.federation.updates.screening import Screening, ScreeningSettings
from consilium.federation.versions import component_versions
from consilium.learning.settings import LearningSettings
from consilium.learning.weights import Weights
from consilium.report.records import FederationRecord, RoundRecord, SiteRound
from consilium.tasks import get_task

_UPDATES = "updates"

_LARGEST_UPDATE = 4
"""How many times as large as the model a site's update may be; here it is as large."""


class FederatedTraining(SiteController):
    """Trains for a number of rounds, judges every round's model, and the final one at every site.

    Before the first round every site checks that its versions fit and gets its data ready, however long that
    takes; with fewer than `min_sites` sites that can train, the job ends there.

    In a round each site first judges the model that it received, so the scores of a round's model come with
    the next round and cost no extra message; the last model gets a round of validation of its own, with
    distances. The best model is the one whose own scores were best, not the one whose updates came from
    well-scored sites.

    Every round is made durable before the next one starts. A job whose `meta.json` names an interrupted one
    under `resume` goes on from the last of that job's rounds, as if nothing had been between.

    A site that refuses, fails or is late costs the others nothing: it is recorded with its reason and asked
    again in the next round. A round without a quorum is tried again, and then ends the job with the reasons
    of all the others.

    The server refuses updates that can't be what they say, and tells their site with its next task. A site
    refused too often in a row is not asked to train any more; the final model is judged there as everywhere.
    A round whose model scores too far below the one before can be dropped.

    Args:
        rounds: Rounds of training.
        min_sites: Fewest sites whose updates make a round.
        quorum: The fields of `QuorumSettings`.
        admission: The fields of `AdmissionSettings`: the job starts only with a recent readiness check; None
            to start without.
        aggregation: The fields of `AggregationSettings`.
        screening: The fields of `ScreeningSettings`.
        rollback_margin: By how much the mean Dice may fall in a round that is kept; None: however much.
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
        self._refusals = Refusals(self._limits.max_refusals)
        self.rollback_margin = rollback_margin
        self._rollback = Rollback(rollback_margin)
        self.persistor_id = persistor_id
        self._answers = Answers()
        self._announcements = ModelAnnouncements(self)
        self._best = BestModel(self._announcements)
        self._aggregator: Aggregator | None = None
        # Made when the job runs: these need its context.
        self._record: FederationRecord | None = None
        self._durable: DurableRounds | None = None
        self._screening: Screening | None = None

    def run(self) -> None:
        """Carry out the whole training; see the class."""
        folder = Path(self.get_run_dir())
        self._record = self._new_record()
        self._record.save(folder)
        learning = LearningSettings.parse(self.persistor.learning, source="the job's learning settings")
        self._screening = Screening(self._limits, learning, self.rounds)
        self._answers.regions = get_task(learning.task).regions
        try:
            self._durable = DurableRounds(self.fl_ctx, self.persistor.learning)
            resumed = self._resume()
        except ConfigurationError as error:
            return self._give_up(str(error))
        # A job that goes on needs no first weights, and the server then no torch and no MONAI to draw them.
        rounds_done, weights = resumed or (0, self.load_model().params)
        receive_on_disk(
            self.engine, folder, _LARGEST_UPDATE * sum(np.asarray(one).nbytes for one in weights.values())
        )
        started = (rounds_done > 0 or self._admit()) and self._prepare_sites()
        self._record.save(folder)
        if not started:
            return None
        for index in range(rounds_done, self.rounds):
            if self.abort_signal.triggered:
                return self._finish("failed", "aborted")
            updated = self._repeat_round(index, weights)
            self._record.save(folder)
            if updated is None:
                return None
            weights = updated
            self.persistor.save(self._announcements.publish(weights, index + 1), self.fl_ctx)
            self._make_durable(index + 1, weights)
        self._validate_finally(weights)
        return self._finish("finished", None)

    def _new_record(self) -> FederationRecord:
        return FederationRecord(
            job=self.fl_ctx.get_prop(FLContextKey.JOB_META)[JobMetaKey.JOB_NAME],
            rounds_planned=self.rounds,
            settings={
                "rounds": self.rounds,
                "min_sites": self.min_sites,
                "quorum": self._quorum.settings.model_dump(mode="json"),
                "admission": self.admission,
                "aggregation": self._rule.model_dump(mode="json"),
                "screening": self._limits.model_dump(mode="json"),
                "rollback_margin": self.rollback_margin,
                "learning": self.persistor.learning,
            },
            versions=component_versions(),
        )

    def _resume(self) -> tuple[int, Weights] | None:
        """Go on where an interrupted job stopped, if any; returns the rounds done and the weights after them.

        Raises:
            ConfigurationError: If this job names one that it can't or may not resume.
        """
        assert self._durable is not None  # made in run()
        resumed = self._durable.resume()
        if resumed is None:
            return None
        state, new = resumed.state, self._running_record()
        self._record = record = state.record.model_copy(
            update={"rounds_planned": new.rounds_planned, "settings": new.settings, "versions": new.versions}
        )
        self._answers.cases = dict(state.cases)
        self._best.restore(record, state.best_score, self._durable.best(state))
        for name, part in self._remembering().items():
            if name in resumed.algorithm:
                part.restore(resumed.algorithm[name])
        self.persistor.save(self._announcements.publish(resumed.weights, resumed.number), self.fl_ctx)
        self.info(f"going on after round {resumed.number} of job {record.resumed[-1].job}")
        return resumed.number, resumed.weights

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
                best_score=self._best.score,
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

    def _admit(self) -> bool:
        """Look for the readiness check that the job demands; returns whether it may start."""
        if not self._admission:
            return True
        learning = LearningSettings.parse(self.persistor.learning, source="the job's learning settings")
        path = readiness_path(self.engine.get_workspace(), learning.task)
        reason = refusal(path, self._admission, self.connected_sites())
        if reason is not None:
            self._give_up(reason)
        return reason is None

    def _prepare_sites(self) -> bool:
        """Let every site get ready; returns whether enough of them can train."""
        record = self._running_record()
        started = time.monotonic()
        self.info("waiting until every site has prepared its data")
        self._ask(PREPARE, None, 0)
        record.preparation, record.preparation_seconds = self._answers.sites, time.monotonic() - started
        if self.abort_signal.triggered:
            self._finish("failed", "aborted")
            return False
        able = self._answers.able
        lack = self._quorum.lack(able, self._answers.cases)
        if lack is not None:
            self._give_up(f"{len(able)} site(s) can train, {lack}; {self._answers.explain_others(able)}")
        return lack is None

    def _repeat_round(self, index: int, weights: Weights) -> Weights | None:
        """Train one round until it counts; returns the new weights, or None if the job ended."""
        attempts = self._quorum.settings.attempts
        for attempt in range(1, attempts + 1):
            self.info(f"round {index + 1} of {self.rounds}{f', attempt {attempt}' if attempt > 1 else ''}")
            try:
                return self._train_round(index, weights, attempt)
            except _FailedRound as error:
                reason = str(error)
            if self.abort_signal.triggered:
                break
            if attempt < attempts:
                seconds = self._quorum.pause_seconds(attempt)
                self.warning(f"{reason}; the round is tried again in {seconds:g} s")
                self.pause(seconds)
        if self.abort_signal.triggered:
            self._finish("failed", f"aborted in round {index + 1}")
        else:
            self._give_up(reason)
        return None

    def _train_round(self, index: int, weights: Weights, attempt: int) -> Weights:
        """Train one round and return the new weights.

        Raises:
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
                self.refuse(site, f"its update is refused: {reason}")
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
        self._rollback.keep(weights, self._key_scores())
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
        """Let the sites judge a model and train from it; returns the model that they trained from.

        If it is so much worse than the one before that it is dropped, they are asked again with that one.
        """
        self._aggregator = self.new_aggregator(weights, index)
        self._ask(TRAIN, weights, index)
        if self._rollback.went_back(index):
            return weights  # its scores are in the record already
        self._note_scores(index, weights)
        if self._is_dropped(index):
            return self._gather_updates(index, self._rollback.start(index, weights))
        return weights

    def _is_dropped(self, index: int) -> bool:
        """Whether the model that was just judged gives way to the one before."""
        reason = self._rollback.judge(index, self._key_scores())
        if reason is not None:
            self.warning(f"round {index}: {reason}")
            self._running_record().rounds[index - 1].rolled_back = reason
        return reason is not None

    def _aggregate(self, index: int, aggregator: Aggregator) -> Weights:
        """Combine the round's updates.

        Raises:
            _FailedRound: If the round has no quorum, or its aggregate can't be used.
        """
        if self.abort_signal.triggered:
            raise _FailedRound("aborted")
        trained = self._answers.trained
        lack = self._quorum.lack(trained, self._answers.cases)
        if lack is not None:
            raise _FailedRound(
                f"round {index + 1} has {len(trained)} update(s), {lack}; "
                f"{self._answers.explain_others(trained)}"
            )
        try:
            change, shares = aggregator.result()
        except (RefusedUpdate, OSError) as error:
            raise _FailedRound(f"round {index + 1}: {error}") from error
        for site, share in shares.items():
            self._answers.sites[site].weight = share
            self._refusals.clear(site)
        return change

    def _key_scores(self) -> dict[str, float]:
        return self._answers.key_scores(lambda site: self._refusals.exclusion(site) is None)

    def _validate_finally(self, weights: Weights) -> None:
        record = self._running_record()
        self.info("validating the final model at every site")
        self._ask(VALIDATE, weights, self.rounds)
        self._note_scores(self.rounds, weights)
        if self._is_dropped(self.rounds):
            weights = self._rollback.start(self.rounds, weights)
            self.persistor.save(self._announcements.publish(weights, self.rounds), self.fl_ctx)
            self._ask(VALIDATE, weights, self.rounds)
        record.final_scores = self._answers.scores
        record.final_sites = self._answers.sites

    def _ask(self, task: str, weights: Weights | None, index: int) -> None:
        """Send a task to every site, with or without weights, and take the answers in as they come."""
        sites = self.connected_sites()
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
        self.ask(
            task,
            question,
            sites,
            deadline_seconds=_seconds(rules.deadline_minutes),
            grace_seconds=_seconds(rules.grace_minutes),
            silence_seconds=_seconds(rules.silence_minutes),
            enough=lambda: self._quorum.lack(self._answers.trained, self._answers.cases) is None,
        )
        self._answers.close()

    def take(self, site: str, answer: FLModel) -> bool:
        """Take one site's report, its scores of the weights that it received, and its update."""
        try:
            self._take(site, answer)
        except (RefusedAnswer, RefusedUpdate) as error:
            about = "its update is refused: " if isinstance(error, RefusedUpdate) else ""
            return self.refuse(site, f"{about}{error}")
        except OSError as error:
            return self.set_aside(site, f"the server could not keep its update: {error.strerror}")
        return True

    def _take(self, site: str, answer: FLModel) -> None:
        """Take one site's answer.

        Raises:
            RefusedAnswer: If it can't be used.
            RefusedUpdate: If its update can't be.
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

    def note_refusal(self, site: str, reason: str) -> None:
        """Keep the reason with the answers of the task."""
        self._answers.refuse(site, reason)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Tell each site with its task why its last answer was refused."""
        super().handle_event(event_type, fl_ctx)
        if event_type == EventType.AFTER_TASK_DATA_FILTER:
            self._refusals.tell(fl_ctx)

    def refuse(self, site: str, reason: str) -> bool:
        """Refuse an answer that is wrong, and count it; returns False for `take` to return."""
        self._refusals.note(site, reason)
        return self.set_aside(site, reason)

    def note_absences(self, reasons: Mapping[str, str]) -> None:
        """Keep why a site was no longer waited for."""
        for site, reason in reasons.items():
            self.warning(f"{site}: {reason}")
            self._answers.sites[site].reason = reason

    def _note_scores(self, index: int, weights: Weights) -> None:
        """Keep the scores that just came with the model they belong to: the one that the sites received."""
        record = self._running_record()
        if index == 0:
            record.initial_scores = self._answers.scores
        else:
            record.rounds[index - 1].scores = self._answers.scores
        scores = self._key_scores()
        mean = self._best.judge(record, index, weights, scores)
        if mean is not None:
            self.info(f"model after {index} round(s): mean Dice over {len(scores)} site(s) {mean:.4f}")

    def _give_up(self, reason: str) -> None:
        self._finish("failed", reason)
        self.panic(reason)

    def _finish(self, status: str, reason: str | None) -> None:
        record = self._running_record()
        record.status, record.reason = status, reason  # type: ignore[assignment]
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
    """A round that doesn't count, with the reason for the operator."""
