"""Participant: one hospital in a study, which trains and evaluates models on its cases."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from consilium.counts import counted
from consilium.data.cache import CachedCase
from consilium.errors import SiteRefusal
from consilium.learning.algorithms import DEFAULT_ALGORITHM
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.device import process_count
from consilium.learning.processes.single_process import SingleProcess
from consilium.learning.processes.worker_group import WorkerGroup
from consilium.learning.round_state import RoundStateStore
from consilium.learning.rounds import OnStep, TrainingResult
from consilium.learning.schedule import Schedule
from consilium.learning.training_setup import TrainingSetup
from consilium.learning.weights import Weights, WeightSets
from consilium.participant.hospital_payments import HospitalPayments
from consilium.participant.privacy_payments import PrivacyPayments
from consilium.participant.site_data import SiteData
from consilium.tasks import get_task
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.metrics import Scores
from consilium.tasks.partial_labels import partial_evaluation

_logger = logging.getLogger(__name__)

_PERSONAL: Final = "personal"
"""Folder in a training's memory, and the set in it: weights that this site has for itself."""


class Participant:
    """Trains and evaluates models on one site's prepared cases, with as many processes as the site grants.

    Example:
        ```python
        from consilium import ComputeSettings, Participant, Schedule, get_task, initial_weights

        participant = Participant(cases, learning, ComputeSettings())  # see `prepare_site`
        weights = initial_weights(get_task(learning.task), learning, seed=0)
        result = participant.train(weights, Schedule(round_index=0, rounds=1))
        scores = participant.score(result.weights, final=True)
        participant.close()
        ```

    Args:
        data: The cases.
        learning: What the job decides.
        compute: What the site decides.
        memory: Folder for the state that a round starts from, kept across restarts; None for none.
        algorithm: What the job decides about it; None for `DEFAULT_ALGORITHM`.
        payments: Pays for the rounds of an algorithm with differential privacy, which trains nothing that is
            not paid for.
        hospital: Pays for noise that hides the hospital as a whole; None for a training of which nothing
            leaves.

    Attributes:
        evaluation: The task's, without the targets that the site's labels lack.

    Raises:
        ConfigurationError: If the machine lacks what `compute` asks for.
        TrainingError: If the training processes don't start.
    """

    def __init__(
        self,
        data: SiteData,
        learning: LearningSettings,
        compute: ComputeSettings,
        *,
        memory: Path | None = None,
        algorithm: AlgorithmSettings | None = None,
        payments: PrivacyPayments | None = None,
        hospital: HospitalPayments | None = None,
    ) -> None:
        self.data = data
        self.memory = memory
        self._payments = payments
        self._hospital = hospital
        self.evaluation = partial_evaluation(get_task(learning.task).evaluation, data.missing_targets)
        self._algorithm = algorithm or DEFAULT_ALGORITHM
        self._personal = RoundStateStore(
            memory / _PERSONAL if memory else None, self._algorithm.personal_rounds
        )
        processes = _processes(data, learning, compute)
        setup = TrainingSetup(
            learning,
            compute,
            data.train,
            min_patients=data.min_update_patients,
            min_loss_patients=data.min_loss_patients,
            draw_seed=data.draw_seed,
            memory=memory,
            algorithm=algorithm,
            missing_targets=data.missing_targets,
        )
        self._learner: SingleProcess | WorkerGroup = (
            WorkerGroup(setup, size=processes) if processes > 1 else SingleProcess(setup)
        )

    @property
    def validates(self) -> bool:
        """Whether models are scored on the validation patients: not where the algorithm withholds scores.

        Noise that hides the hospital hides nothing of scores, so they stay here with it, too.
        """
        return not self._algorithm.withholds_scores and self.hospital_noise is None

    @property
    def hospital_noise(self) -> float | None:
        """Noise that hides the hospital as a whole, in norms that its update is clipped to; None for none."""
        return None if self._hospital is None else self._hospital.noise_multiplier

    def protect(self, update: Weights) -> Weights:
        """Return the update of a round as it may leave the site: with the hospital's own noise, if any.

        Args:
            update: The change of every shared weight.

        Raises:
            TrainingError: If its noise isn't paid for, or it can't be clipped.
        """
        return update if self._hospital is None else self._hospital.protect(update)

    def train(
        self,
        weights: Weights,
        schedule: Schedule,
        *,
        sets: WeightSets | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        on_step: OnStep = lambda step, steps, loss: None,
    ) -> TrainingResult:
        """Train one round; see `Trainer.train`. Cases that can no longer be read leave `data`.

        Weights that the algorithm keeps here are this site's own, and not those received.

        Raises:
            SiteRefusal: If this site only evaluates, the round showed too few patients, too many of its
                cases can no longer be read, or the privacy budget of the patients, or of the hospital as a
                whole, doesn't allow the round.
        """
        if self.data.role == "evaluates":
            raise SiteRefusal("this site only evaluates")
        hides = self.hospital_noise is not None
        if self._payments is not None:
            schedule = self._payments.pay(schedule, hidden=hides)
        if self._hospital is not None:
            self._hospital.pay(schedule.round_index)
        own = self._own_weights(schedule.round_index)
        start = {**weights, **{name: own[name] for name in own if self._algorithm.stays(name)}}
        result = self._learner.train(
            start,
            schedule,
            sets=sets,
            cancelled=cancelled,
            on_step=(lambda step, steps, loss: on_step(step, steps, None)) if hides else on_step,
        )
        if hides:
            result = replace(result, loss=None)
        if result.personal:
            self._personal.keep(schedule.round_index + 1, {_PERSONAL: result.personal}, {})
        self.data = self.data.without(result.unreadable)
        return result

    def personalize(self, weights: Weights, rounds_done: int) -> Weights:
        """Return a received model as this site uses it: with the weights of its own, where it has any.

        Args:
            weights: The model.
            rounds_done: Rounds after which it was sent.
        """
        return weights if self._algorithm.personal_is_choice else self._with_own(weights, rounds_done)

    def choose(
        self,
        weights: Weights,
        rounds_done: int,
        rounds: int,
        *,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Weights:
        """Return the model that this site would use of a finished job: by default `personalize`.

        Where the algorithm leaves the choice, that is this site's own last model or the received one,
        whichever is better on its validation patients; the received one if they are alike, or there are none.

        Args:
            weights: The received model.
            rounds_done: Rounds after which it was sent.
            rounds: Rounds of the job.
            cancelled: Asked before every case.

        Raises:
            SiteRefusal: If too many of the site's cases can no longer be read.
        """
        if not self._algorithm.personal_is_choice:
            return self.personalize(weights, rounds_done)
        own = self._with_own(weights, rounds)
        if own is weights or not self.data.validation:
            return weights
        key = self.evaluation.metrics.key_metric
        scores = [
            self.summarize(one, final=False, cancelled=cancelled).get(key.name) for one in (own, weights)
        ]
        if scores[0] is None or scores[1] is None or key.gain(scores[0], scores[1]) <= 0:
            return weights
        return own

    def _with_own(self, weights: Weights, rounds_done: int) -> Weights:
        own = self._own_weights(rounds_done)
        return {**weights, **own} if own else weights

    def score(
        self,
        weights: Weights,
        *,
        cases: Sequence[CachedCase] | None = None,
        final: bool,
        cancelled: Callable[[], bool] = lambda: False,
        on_case: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[Scores]:
        """Score weights on the site's cases, or on others; those that can't be read leave `data`.

        Args:
            weights: The model.
            cases: Others than the site's own.
            final: Whether it is a final model. It is scored by all metrics, on the test cases; one of a round
                on the validation cases.
            cancelled: Asked before every case.
            on_case: Called with the cases done and the cases in all.

        Returns:
            Scores of the cases that are evaluated on from now on, in their order.

        Raises:
            SiteRefusal: If too many of the site's cases can no longer be read.
        """
        return [row for _, row in self._score(weights, cases, final, cancelled, on_case)]

    def summarize(
        self,
        weights: Weights,
        *,
        cases: Sequence[CachedCase] | None = None,
        final: bool,
        cancelled: Callable[[], bool] = lambda: False,
        on_case: Callable[[int, int], None] = lambda done, total: None,
    ) -> Scores:
        """Return the means of `score`, whose arguments these are, over patients: each counts once."""
        found = [(row, case.patient) for case, row in self._score(weights, cases, final, cancelled, on_case)]
        return self.evaluation.summarize(*zip(*found, strict=True)) if found else {}

    def _score(
        self,
        weights: Weights,
        cases: Sequence[CachedCase] | None,
        final: bool,
        cancelled: Callable[[], bool],
        on_case: Callable[[int, int], None],
    ) -> list[tuple[CachedCase, Scores]]:
        evaluated = (self.data.test if final else self.data.validation) if cases is None else cases
        scores = self._learner.score(weights, evaluated, final=final, cancelled=cancelled, on_case=on_case)
        rows = [*zip(evaluated, scores, strict=True)]
        self.data = self.data.without([case.id for case, score in rows if score is None])
        kept = {case.id for case in self.data.evaluated_cases}
        return [
            (case, self.evaluation.restrict(score))
            for case, score in rows
            if score is not None and (case.id in kept or cases is not None)
        ]

    def _own_weights(self, rounds_done: int) -> Weights:
        return kept.arrays[_PERSONAL] if (kept := self._personal.recall(rounds_done)) else {}

    def close(self) -> None:
        """End the processes that were started for training, and close the site's ledger."""
        self._learner.close()
        for payments in [one for one in (self._payments, self._hospital) if one is not None]:
            payments.close()


def _processes(data: SiteData, learning: LearningSettings, compute: ComputeSettings) -> int:
    granted = process_count(compute)
    if data.role == "evaluates":
        return 1
    if granted > learning.batch_size:
        _logger.warning(
            "this site grants %s, but a batch of this job has %s, which limits their number",
            counted(granted, "training process", "training processes"),
            counted(learning.batch_size, "sample"),
        )
    return min(granted, learning.batch_size)
