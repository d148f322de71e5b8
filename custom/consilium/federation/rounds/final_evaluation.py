"""End of a training job: the final validation, and the comparison with local-only models."""

from __future__ import annotations

from consilium.counts import counted
from consilium.errors import RefusalCode
from consilium.federation.message_names import LOCAL_ONLY, VALIDATE
from consilium.federation.rounds.failures import FailedJob
from consilium.federation.rounds.run import TrainingRun
from consilium.learning.weights import MODEL, Weights
from consilium.records.model_comparison import kept_round


class FinalEvaluation:
    """Evaluation of the final model at every site, and comparison with local-only models.

    Args:
        run: The job that runs.
    """

    def __init__(self, run: TrainingRun) -> None:
        self._run = run

    def validate(self, weights: Weights) -> Weights:
        """Evaluate the final model at every site; if it is dropped, the model before is the final one.

        Returns:
            The final model.

        Raises:
            AbortedJob: If the job was aborted. What some sites have answered is not the final validation.
            FailedJob: If no site has evaluated it.
        """
        run, record, rounds = self._run, self._run.record, self._run.plan.rounds
        run.controller.info("validating the final model at every site")
        run.ask(VALIDATE, {MODEL: weights}, rounds)
        run.note_scores(rounds)
        restored = run.restore_before(rounds)
        if restored is not None:
            weights = restored
            run.ask(VALIDATE, {MODEL: weights}, rounds)
            run.note_scores(rounds)
        record.final_scores = run.answers.scores
        record.final_sites = run.answers.sites
        run.select_best(kept_round(record, rounds), weights)
        if not any(one.outcome == "evaluated" for one in record.final_sites.values()):
            run.stop_if_late("before a site had evaluated the final model")
            raise FailedJob(
                f"no site evaluated the final model; {run.answers.explain_others([])}", RefusalCode.NO_SCORES
            )
        return weights

    def compare_with_local_only(self, weights: Weights) -> None:
        """Have every site that can train do so alone, and compare its model with the final one.

        Raises:
            AbortedJob: If the job was aborted; what had come until then is in the record.
        """
        run = self._run
        known = run.record.final_sites.items()
        sites = [site for site, one in known if one.report is not None and one.report.role == "trains"]
        run.controller.info(
            f"waiting until {counted(len(sites), 'site')} trained a model alone, to compare with"
        )
        try:
            run.ask(LOCAL_ONLY, {MODEL: weights}, run.plan.rounds, among=sites)
        finally:
            run.record.local_only = run.answers.sites
