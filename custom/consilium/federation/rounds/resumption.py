"""Saving of a training job's completed rounds, and resumption from them."""

from __future__ import annotations

import time
from collections.abc import Mapping

from nvflare.apis.fl_constant import FLContextKey

from consilium.counts import counted
from consilium.errors import ConfigurationError
from consilium.federation.component_state import Stateful
from consilium.federation.message_names import CHECKPOINT_EVENT
from consilium.federation.rounds.checkpoints import RoundCheckpoints
from consilium.federation.rounds.run import TrainingRun
from consilium.learning.weights import Weights


class ResumableRounds:
    """Saves each round of a job, and resumes an interrupted one.

    Args:
        run: The job that runs.
        rounds: Its checkpoints.
    """

    def __init__(self, run: TrainingRun, rounds: RoundCheckpoints) -> None:
        self._run = run
        self._rounds = rounds

    def resume(self) -> tuple[int, Weights] | None:
        """Resume the interrupted job that this one names, if any.

        Returns:
            The rounds done and the weights after them; None for a job that starts from the beginning.

        Raises:
            ConfigurationError: If this job names one that it can't or may not resume.
        """
        run, resumed = self._run, self._rounds.resume()
        if resumed is None:
            return None
        if resumed.number > run.plan.rounds:
            raise ConfigurationError(
                f"the job to resume has done {counted(resumed.number, 'round')}, and this one asks for "
                f"{run.plan.rounds}; set rounds to {resumed.number} or more"
            )
        state, new = resumed.state, run.record
        run.record = state.record.model_copy(
            update={"rounds_planned": new.rounds_planned, "settings": new.settings, "versions": new.versions}
        )
        run.answers.cases = dict(state.cases)
        run.plan.algorithm.begin(resumed.weights)
        for name, part in self._parts().items():
            if name in resumed.parts:
                part.restore(resumed.parts[name])
        self._restore_best(self._rounds.best(state))
        run.publish(resumed.weights, resumed.number)
        run.controller.info(f"resumed after round {resumed.number} of job {run.record.resumed[-1].job}")
        return resumed.number, resumed.weights

    def keep(self, rounds_done: int, weights: Weights) -> None:
        """Keep a round for a later process of the server's; a full disk costs that, and not the job.

        Args:
            rounds_done: The round, from 1.
            weights: The model after it.
        """
        run = self._run
        try:
            seconds = self._rounds.keep(
                rounds_done,
                weights,
                record=run.record,
                cases=run.answers.cases,
                parts={name: part.state() for name, part in self._parts().items()},
            )
        except OSError as error:
            run.controller.error(
                f"round {rounds_done} could not be made durable ({error.strerror}); the job continues, but "
                "after an interruption it would resume from an earlier round"
            )
            return
        if seconds is not None:
            data = {"round": rounds_done, "time": time.time(), "seconds": seconds}
            controller = run.controller
            controller.fire_event_with_data(
                CHECKPOINT_EVENT, controller.fl_ctx, FLContextKey.EVENT_DATA, data
            )

    def _parts(self) -> Mapping[str, Stateful]:
        """What knows something from the rounds before."""
        plan = self._run.plan
        return {
            "screening": plan.screening,
            "refusals": plan.rejections,
            "rollback": plan.rollback,
            "algorithm": plan.algorithm,
        }

    def _restore_best(self, weights: Weights | None) -> None:
        run = self._run
        if run.record.best_round is not None and weights is None:
            run.controller.warning(
                f"the model of round {run.record.best_round}, the best so far, is not among the checkpoints "
                "any more; the best is selected from the rounds that follow"
            )
        run.best.restore(run.record, weights)
